"""CBST's thresholds and labels against sorting and a slow loop; CRST's regularisers."""

import math

import pytest
import torch
from self_training import batch, made

from rsadapt.adapt.cbst import Cbst, class_balanced
from rsadapt.adapt.confidence import WIDTH


def predicted(count=2):
    logits = torch.randn(count, 3, 12, 10).double() * torch.tensor([1.0, 2, 4]).view(3, 1, 1)
    return logits.log_softmax(1), torch.rand(count, 12, 10) < 0.8


def test_portion_grows_by_round():
    portions = [Cbst().portion_of(number) for number in range(9)]
    assert portions == pytest.approx([0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5])
    assert Cbst(portion=0.1, growth=0.3, most=0.3).portion_of(1) == 0.3


@pytest.mark.parametrize("done", [0, 9])
def test_thresholds_are_those_of_all_batches_of_the_round_sorted(done):
    method = Cbst()
    parts = made(method)
    parts.done = done  # of 12: the first and the last of four rounds
    seen = [predicted() for _ in range(3)]
    for log_probabilities, valid in seen:
        found = method.label(parts, log_probabilities, valid)
    for number in range(3):
        sure = [
            value
            for predictions, valid in seen
            for value, label in zip(
                predictions.exp().amax(1)[valid].tolist(),
                predictions.argmax(1)[valid].tolist(),
                strict=True,
            )
            if label == number
        ]
        portion = 0.2 if done == 0 else 0.35
        exact = sorted(sure, reverse=True)[math.ceil(portion * len(sure) - 1e-6) - 1]
        least = math.exp(math.log(exact) * 2**WIDTH)  # a bin less
        assert least - 1e-6 <= found.thresholds[number] <= exact + 1e-6


def test_labels_are_those_of_a_slow_loop():
    log_probabilities, valid = predicted()
    method = Cbst()
    found = method.label(made(method), log_probabilities, valid)
    p, thresholds = log_probabilities.exp().tolist(), found.thresholds.tolist()
    for n in range(2):
        for row in range(12):
            for col in range(10):
                ratios = [p[n][k][row][col] / thresholds[k] for k in range(3)]
                labelled = bool(valid[n, row, col]) and max(ratios) >= 1
                assert found.labelled[n, row, col] == labelled
                aim = [float(labelled and ratio == max(ratios)) for ratio in ratios]
                assert found.aims[n, :, row, col].tolist() == aim
    assert 0.15 < found.labelled.sum() / valid.sum() < 0.4


def test_a_class_may_be_labelled_that_is_not_the_likeliest():
    p = torch.tensor([0.6, 0.4, 0.0]).log().view(1, 3, 1, 1)
    limit = -torch.tensor([0.7, 0.3, 1.0]).log()
    aims, labelled = class_balanced(p, limit, lrent=0)
    assert aims.flatten().tolist() == [0, 1, 0]
    assert labelled.all()
    assert not class_balanced(p, -torch.tensor([0.7, 0.5, 1.0]).log(), lrent=0)[1].any()


def test_lrents_labels_minimise_their_objective():
    """CRST: y minimises -sum y log(p / t) + a sum y log y, and is kept where that is below 0."""
    log_probabilities, _ = predicted()
    limit = -torch.tensor([0.9, 0.6, 0.8]).double().log()
    aims, labelled = class_balanced(log_probabilities, limit, lrent=0.25)

    def objective(y):
        relative = log_probabilities + limit.view(3, 1, 1)
        return (-y * relative + 0.25 * torch.xlogy(y, y)).sum(1)

    torch.testing.assert_close(aims.sum(1), torch.ones(2, 12, 10).double())
    least = objective(aims)
    assert torch.equal(labelled, least <= 0)
    assert 0 < labelled.sum() < labelled.numel()
    for _ in range(50):
        other = torch.rand_like(aims).pow(4)
        assert (objective(other / other.sum(1, keepdim=True)) >= least - 1e-12).all()
    hard = class_balanced(log_probabilities, limit, lrent=0)[0]
    torch.testing.assert_close(class_balanced(log_probabilities, limit, lrent=1e-4)[0], hard)


def test_what_was_not_seen_this_round_is_labelled_by_nothing():
    method = Cbst()
    parts = made(method)
    method.label(parts, *predicted())
    parts.done = 3
    method.after(parts)
    assert not parts.memory["record"].value.any()
    target = batch(labelled=False)
    method.step(parts, batch(labelled=True), target, lambda loss: loss.backward())
    assert parts.memory["record"].value.sum() == target.valid.sum()
