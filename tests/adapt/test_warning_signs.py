"""Signs show on curves that were made to show them, and not on sound ones."""

import math

import pytest

from rsadapt.adapt.warning_signs import LEAST_LINES, MOST_STEPS, signs, window

CLASSES = ["road", "sky", "car"]
STEPS = 2000


def line(step, **changes):
    """A line of a sound run, but for changes by name."""
    losses = {
        "segmentation_1": 1.2 * 0.99**step + 0.3,
        "segmentation_2": 1.1 * 0.99**step + 0.2,
        "adversarial_1": 1.0,
        "adversarial_2": 1.1,
        "discriminator_1": 0.5,
        "discriminator_2": 0.45,
    }
    figures = {
        f"accuracy_{domain}_{level}": 0.8 for domain in ("source", "target") for level in (1, 2)
    }
    figures |= {"share_source": [0.5, 0.46, 0.04], "share_target": [0.4, 0.57, 0.03]}
    for name, value in changes.items():
        group = losses if name in losses else figures
        assert name in group
        group[name] = value(step) if callable(value) else value
    return {"step": step, "losses": losses, "figures": figures}


def names(lines, objective="bce", steps=STEPS):
    return [s.name for s in signs(lines, steps=steps, classes=CLASSES, objective=objective)]


def lines(every=10, until=1000, **changes):
    return [line(step, **changes) for step in range(every, until + 1, every)]


@pytest.mark.parametrize("every", [1, 10, 100])
@pytest.mark.parametrize("until", [20, 300, 2000])
def test_sound_run_shows_none(every, until):
    assert not until // every or names(lines(every, until)) == []


def test_window_spans_a_tenth_of_the_run_and_twenty_lines_and_no_more_than_needed():
    assert window(lines(until=190), steps=STEPS) == 0
    assert window(lines(until=210), steps=STEPS) == 20
    assert window(lines(every=1, until=210), steps=STEPS) == 200
    assert window(lines(every=100, until=1900), steps=STEPS) == 0
    assert window(lines(every=100, until=2000), steps=STEPS) == LEAST_LINES
    assert window(lines(until=MOST_STEPS + 10), steps=150_000) == MOST_STEPS // 10


CHANCES = [("bce", math.log(2)), ("least_squares", 0.25)]


@pytest.mark.parametrize(("objective", "chance"), CHANCES)
def test_discriminator_at_chance_is_stuck(objective, chance):
    low = {"discriminator_2": 0.1}
    assert names(lines(discriminator_1=chance, **low), objective) == ["discriminator_1 stuck"]
    wavers = {"discriminator_1": lambda step: chance + 0.05 * math.sin(step)}
    assert names(lines(**wavers, **low), objective) == ["discriminator_1 stuck"]
    assert names(lines(discriminator_1=chance - 0.02, **low), objective) == []


def test_discriminator_without_fail_is_saturated():
    sure = {"accuracy_source_2": 1.0, "accuracy_target_2": 0.995}
    assert names(lines(discriminator_2=0.01, **sure)) == ["discriminator_2 saturated"]
    assert names(lines(discriminator_2=0.2, **sure)) == []
    assert names(lines(discriminator_2=0.01, accuracy_source_2=1.0)) == []
    late = {"discriminator_2": lambda step: 0.01 if step > 950 else 0.4}
    assert names(lines(**late, **sure)) == []


def test_growing_adversarial_loss_has_exploded():
    growing = {"adversarial_2": lambda step: math.exp(step / 200)}
    assert names(lines(until=400, **growing)) == []
    assert names(lines(until=1000, **growing)) == ["adversarial_2 exploded"]


def test_class_that_left_the_target_has_vanished():
    left = {"share_target": lambda step: [0.4, 0.6, 0.0] if step > 600 else [0.4, 0.57, 0.03]}
    (sign,) = signs(lines(until=900, **left), steps=STEPS, classes=CLASSES)
    assert sign.name == "car vanished"
    assert "car is 0.00% of the target's predictions and 4.0% of the source's" in sign.text
    assert names(lines(until=700, **left)) == []
    (sign,) = signs(
        lines(until=900, **left, share_source=[0.5, 0.5, 0.0]), steps=STEPS, classes=CLASSES
    )
    assert "of them before" in sign.text
    first = {"share_target": lambda step: [0.4, 0.57, 0.03] if step < 200 else [0.4, 0.6, 0.0]}
    assert names(lines(**first, share_source=[0.5, 0.5, 0.0])) == []
    rare = {"share_source": [0.5, 0.495, 0.005], "share_target": [0.4, 0.6, 0.0]}
    assert names(lines(**rare)) == []


@pytest.mark.parametrize(
    ("loss", "cure"),
    [
        ("adversarial_1", "lower method.adversarial"),
        ("entropy_1", "lower method.entropy"),
        ("pseudo_1", "lower method.pseudo"),
        ("taught_1", "lower method.taught"),
        ("other", "lower the weight of the target's losses"),
    ],
)
def test_the_cure_names_the_weight_that_the_method_has(loss, cure):
    share = {"share_source": [0.5, 0.46, 0.04], "share_target": [0.4, 0.6, 0.0]}
    log = [{"step": n, "losses": {loss: 0.1}, "figures": share} for n in range(10, 1000, 10)]
    (sign,) = signs(log, steps=STEPS, classes=CLASSES)
    assert cure in sign.text


def test_segmentation_loss_that_stays_high_does_not_fall():
    assert names(lines(segmentation_2=1.09)) == ["segmentation not falling"]
    assert names(lines(segmentation_2=1.09, segmentation_1=0.1)) == ["segmentation not falling"]
    assert names(lines(segmentation_2=lambda step: 1.09 - step / 5000)) == []
    assert names(lines(segmentation_2=0.3)) == []  # as of trained weights
    assert names(lines(until=700, segmentation_2=1.09)) == []


def test_runs_without_discriminators_have_fewer_signs():
    supervised = [
        {"step": step, "losses": {"segmentation_1": 2.0}, "figures": {}} for step in range(1, 1000)
    ]
    assert names(supervised) == ["segmentation not falling"]
    silent = [{"step": step, "losses": {}, "figures": {}} for step in range(1, 1000)]
    assert names(silent) == []
