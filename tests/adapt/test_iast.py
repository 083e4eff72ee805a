"""IAST's moving thresholds and labels against a slow loop over images."""

import math

import pytest
import torch
from self_training import made

from rsadapt.adapt.confidence import histograms
from rsadapt.adapt.iast import Iast


def predicted(count):
    """The third class is missing in every second image."""
    logits = torch.randn(count, 3, 12, 10).double() * torch.tensor([1.0, 2, 4]).view(3, 1, 1)
    logits[1::2, 2] = -40
    return logits.log_softmax(1), torch.rand(count, 12, 10) < 0.8


def slow_thresholds(log_probabilities, valid, method):
    """Sorted confidences, image after image, class after class."""
    theta, every = [method.first] * 3, []
    for image, where in zip(log_probabilities, valid, strict=True):
        sure, label = image.exp().max(0)
        for k in range(3):
            found = sorted(sure[where & (label == k)].tolist(), reverse=True)
            if found:
                rank = math.ceil(method.alpha * theta[k] ** method.gamma * len(found))
                psi = found[max(rank, 1) - 1]
                theta[k] = method.beta * theta[k] + (1 - method.beta) * psi
        every.append(list(theta))
    return torch.tensor(every)


@pytest.mark.parametrize("method", [Iast(), Iast(alpha=0.5, beta=0.3, gamma=2.0, first=0.6)])
def test_thresholds_follow_the_images(method):
    log_probabilities, valid = predicted(8)
    expected = slow_thresholds(log_probabilities, valid, method)
    parts, found = made(method), []
    for at in range(0, 8, 2):
        labels = method.label(parts, log_probabilities[at : at + 2], valid[at : at + 2])
        found.append(labels.thresholds)
    torch.testing.assert_close(torch.stack(found), expected[1::2], atol=2e-3, rtol=0)
    every = method.moving(torch.full((3,), method.first), histograms(log_probabilities, valid))
    torch.testing.assert_close(every, expected, atol=2e-3, rtol=0)
    assert every[1, 2] == every[0, 2] != every[2, 2]
    assert torch.equal(torch.stack(found), every[1::2])


def test_images_are_labelled_by_their_own_thresholds():
    method = Iast(alpha=0.5, beta=0.2, gamma=1.0, first=0.7)
    log_probabilities, valid = predicted(4)
    every = method.moving(torch.full((3,), 0.7), histograms(log_probabilities, valid))
    found = method.label(made(method), log_probabilities, valid)
    for n, row, col in torch.ones(4, 12, 10).nonzero().tolist():
        p = log_probabilities[n, :, row, col].exp()
        label = int(p.argmax())
        labelled = bool(valid[n, row, col]) and bool(p[label] >= every[n, label])
        assert found.labelled[n, row, col] == labelled
        aim = [float(labelled and k == label) for k in range(3)]
        assert found.aims[n, :, row, col].tolist() == aim
    assert 0.1 < found.labelled.sum() / valid.sum() < 0.9


def test_of_a_hard_class_less_is_labelled():
    counts = histograms(*predicted(1))
    hard, easy = (Iast(beta=0.0).moving(torch.full((3,), t), counts)[0] for t in (0.5, 0.99))
    assert (hard > easy).all()
