"""Validators without labels against slow references, and against figures known beforehand."""

import math

import pytest
import torch

from rsadapt.errors import ShapeError
from rsadapt.infer.validators import TEMPERATURE, Validators, look
from rsadapt.sample import Batch


def draw(samples=3, classes=4, side=6):
    logits = 3 * torch.randn(samples, classes, side, side)
    mirrored = logits + torch.randn_like(logits)
    return logits, mirrored, torch.rand(samples, side, side) > 0.3


def counted(logits, mirrored, valid, drawn=1000):
    found = Validators(logits.shape[1], len(logits), drawn)
    found.update(range(len(logits)), logits, mirrored, valid)
    return found


def slowly(logits, mirrored, valid):
    """Each figure pixel by pixel, all of them drawn."""
    answers, same = [], []
    for number, row, col in valid.nonzero().tolist():
        scores = [math.exp(value) for value in logits[number, :, row, col].tolist()]
        answers.append([score / sum(scores) for score in scores])
        other = mirrored[number, :, row, col].tolist()
        same.append(scores.index(max(scores)) == other.index(max(other)))
    classes = len(answers[0])

    def entropy(shares):
        return -sum(share * math.log(share) for share in shares if share)

    mean = sum(map(entropy, answers)) / len(answers)
    middle = [sum(column) / len(answers) for column in zip(*answers, strict=True)]
    density = 0.0
    for i, mine in enumerate(answers):
        close = []
        for j, other in enumerate(answers):
            if i != j:
                cosine = sum(a * b for a, b in zip(mine, other, strict=True))
                cosine /= math.hypot(*mine) * math.hypot(*other)
                close.append(math.exp(cosine / TEMPERATURE))
        density += entropy([each / sum(close) for each in close]) / len(answers)
    return {
        "entropy": mean / math.log(classes),
        "neighbourhood_density": density,
        "information": (entropy(middle) - mean) / math.log(classes),
        "agreement": sum(same) / len(same),
        "pixels": len(answers),
    }


def test_figures_are_those_of_a_slow_loop():
    drawn = draw()
    assert counted(*drawn).figures() == pytest.approx(slowly(*drawn), rel=1e-5)


def test_invalid_pixels_count_nowhere():
    logits, mirrored, valid = draw()
    before = counted(logits, mirrored, valid)
    hidden = ~valid[:, None].expand_as(logits)
    logits[hidden], mirrored[hidden] = torch.nan, torch.inf
    after = counted(logits, mirrored, valid)
    assert after.figures() == before.figures()


def test_processes_add_up_digit_by_digit():
    logits, mirrored, valid = draw(samples=5, side=20)
    whole = counted(logits, mirrored, valid, drawn=50)
    parts = []
    for numbers in ([3, 0], [4], [2, 1]):
        part = Validators(4, 5, 50)
        part.update(numbers, logits[numbers], mirrored[numbers], valid[numbers])
        parts.append((part.sums, part.drawn))
    together = Validators(4, 5, 50)
    sums, drawn = (torch.stack(each).sum(0) for each in zip(*parts, strict=True))
    together.merge(lambda mine: sums if mine.ndim == 1 else drawn)
    assert together.figures() == whole.figures()
    assert whole.drawn.shape == (5, 10, 4)  # memory does not grow with pixels


def test_known_figures():
    classes, sure = 4, 100.0
    labels = torch.arange(64).reshape(1, 8, 8) % classes
    logits = sure * torch.nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2).float()
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    found = counted(logits, logits, valid).figures()
    assert found["entropy"] == pytest.approx(0)
    assert found["information"] == pytest.approx(1)
    assert found["agreement"] == 1
    assert found["neighbourhood_density"] == pytest.approx(math.log(15), rel=1e-5)  # 15 alike
    flat = counted(torch.zeros_like(logits), -logits, valid).figures()
    assert (flat["entropy"], flat["agreement"]) == (pytest.approx(1), 0.75)
    assert flat["information"] == pytest.approx(0, abs=1e-6)


def test_nothing_valid_gives_no_figures():
    logits, mirrored, valid = draw()
    found = counted(logits, mirrored, torch.zeros_like(valid)).figures()
    assert set(found.values()) == {None, 0}


def test_one_class_has_no_entropy():
    logits, mirrored, valid = draw(classes=1)
    found = counted(logits, mirrored, valid).figures()
    assert (found["entropy"], found["information"], found["agreement"]) == (None, None, 1)


def test_networks_answer_images_mirrored_and_are_turned_back():
    image = torch.randn(2, 3, 5, 7)
    valid = torch.ones(2, 5, 7, dtype=torch.bool)
    same, other = Validators(3, 2), Validators(3, 2)
    look(same, [((0, 1), Batch(image, valid))], lambda x, size: x, device="cpu")
    assert same.agreement == 1
    slope = torch.linspace(-9, 9, 7).expand(2, 3, 5, 7) * torch.tensor([1, -1, 0]).view(3, 1, 1)
    look(other, [((0, 1), Batch(image, valid))], lambda x, size: slope, device="cpu")
    assert other.agreement == pytest.approx(1 / 7)  # the middle alone


def test_answers_that_do_not_fit_are_refused():
    logits, mirrored, valid = draw()
    with pytest.raises(ShapeError, match="for 3 samples"):
        counted(logits, mirrored, valid[:, 1:])
