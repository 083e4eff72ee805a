"""Output-space adaptation against the step written out plainly."""

import copy

import pytest
import torch
from slow_game import SIZE, gradients, make, make_batch, slow_step
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Parts
from rsadapt.adapt.output_space import OutputSpace
from rsadapt.nets.discriminator import Discriminator
from rsadapt.sample import Batch

EACH = pytest.mark.parametrize("objective", ["bce", "least_squares"])


def method(levels, objective="bce"):
    return OutputSpace([0.1, 0.4, 1.0][-levels:], [0.002, 0.3, 0.7][-levels:], objective)


@EACH
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_gradients_are_those_of_the_step_written_out(levels, objective):
    parts, rule = make(levels), method(levels, objective)
    network, others = copy.deepcopy(parts.network), copy.deepcopy(list(parts.others.values()))
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    rule.step(parts, source, target, lambda loss: loss.backward())
    slow_step(network, others, source, target, rule)
    for ours, theirs in zip(
        (parts.network, *parts.others.values()), (network, *others), strict=True
    ):
        for found, expected in zip(gradients(ours), gradients(theirs), strict=True):
            assert expected.any()
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_discriminators_learn_only_in_the_second_half():
    parts = make(2)
    seen = []

    def backward(loss):
        loss.backward()
        judges = [gradients(other) for other in parts.others.values()]
        seen.append([any(grad is not None for grad in grads) for grads in judges])

    method(2).step(parts, make_batch(labelled=True), make_batch(labelled=False), backward)
    assert seen == [[False, False], [False, False], [True, False], [True, True]]
    assert all(p.requires_grad for other in parts.others.values() for p in other.parameters())


def test_network_learns_only_in_the_first_half():
    parts = make(2)
    seen = []

    def backward(loss):
        loss.backward()
        seen.append([grad.clone() for grad in gradients(parts.network)])

    method(2).step(parts, make_batch(labelled=True), make_batch(labelled=False), backward)
    for later in seen[2:]:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(seen[1], later, strict=True))


@EACH
def test_nothing_is_learned_from_invalid_pixels(objective):
    """Where a network looks at single pixels, what invalid ones hold changes no gradient."""
    network = nn.Conv2d(2, 3, 1).double()

    class Levels(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = network

        def forward(self, image):
            return [self.layer(image)]

    source, target = make_batch(labelled=True), make_batch(labelled=False)
    found = []
    for noise in (0.0, 9.0):
        one = Levels()
        torch.manual_seed(1)
        judge = Discriminator(3, width=2).double()
        parts = Parts(
            one, lambda x, _: x, DomainStatistics(one, "both"), {"discriminator_1": judge}
        )
        spoilt = [
            Batch(
                batch.image + noise * torch.randn(batch.image.shape) * ~batch.valid[:, None],
                batch.valid,
                batch.label,
            )
            for batch in (source, target)
        ]
        one.zero_grad()
        losses = method(1, objective).step(parts, *spoilt, lambda loss: loss.backward())
        found.append([*gradients(one), *gradients(judge), *losses.values()])
        found[-1] = [value.clone() for value in found[-1]]
    for plain, noisy in zip(*found, strict=True):
        torch.testing.assert_close(noisy, plain, rtol=1e-10, atol=1e-13)


def test_target_labels_make_no_difference():
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    found = []
    for label in (None, torch.zeros(2, SIZE, SIZE).long(), torch.randint(0, 3, (2, SIZE, SIZE))):
        torch.manual_seed(2)
        parts = make(2)
        labelled = Batch(target.image, target.valid, label)
        method(2).step(parts, source, labelled, lambda loss: loss.backward())
        found.append(gradients(parts.network))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_losses_for_the_log_are_unweighted_and_named_by_level():
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    logged = []
    for rule in (OutputSpace([1.0, 1.0], [1.0, 1.0]), OutputSpace([0.0, 3.0], [7.0, 0.0])):
        torch.manual_seed(3)
        logged.append(rule.step(make(2), source, target, lambda loss: loss.backward()))
    kinds = ("segmentation", "adversarial", "discriminator")
    assert list(logged[0]) == [f"{kind}_{level}" for kind in kinds for level in (1, 2)]
    assert logged[0] == logged[1]
    assert not any(loss.requires_grad for loss in logged[0].values())


def test_watched_steps_learn_the_same_and_say_more():
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    plain, watched = make(2), make(2)
    watched.network.load_state_dict(plain.network.state_dict())
    for name, other in plain.others.items():
        watched.others[name].load_state_dict(other.state_dict())
    watched.watched = True
    said = [
        method(2).step(p, source, target, lambda loss: loss.backward()) for p in (plain, watched)
    ]
    assert all(torch.equal(said[1].pop(name), loss) for name, loss in said[0].items())
    assert sorted(said[1]) == [
        *(f"accuracy_{domain}_{level}" for domain in ("source", "target") for level in (1, 2)),
        "share_source",
        "share_target",
    ]
    for name, value in said[1].items():
        assert not value.requires_grad
        assert ((value >= 0) & (value <= 1)).all()
        assert not name.startswith("share") or value.sum().item() == pytest.approx(1)
    for ours, theirs in zip(plain.network.parameters(), watched.network.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_target_is_needed():
    assert OutputSpace([1.0], [1.0]).uses_target
    with pytest.raises(ValueError, match="learns from target batches"):
        method(1).step(make(1), make_batch(labelled=True), None, lambda _: None)
