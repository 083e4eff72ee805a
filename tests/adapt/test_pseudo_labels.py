"""What all self-training in rounds shares: losses, steps, rounds, and going on amid one."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from nested import same
from self_training import SIZE, batch, made
from torch import nn

from rsadapt import checkpoints, config
from rsadapt.adapt import checkpoint
from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.cbst import Cbst
from rsadapt.adapt.iast import Iast
from rsadapt.adapt.method import Parts
from rsadapt.adapt.pseudo_labels import aimed_loss, labeller
from rsadapt.adapt.teacher import Teacher
from rsadapt.sample import Batch
from rsadapt.training import train_run

METHODS = [
    Cbst([0.3, 1.0], [0.2, 0.7], rounds=3),
    Cbst([0.3, 1.0], [0.2, 0.7], kld=0.1, entropy=0.5),
    Cbst([0.3, 1.0], [0.2, 0.7], kld=0.1, lrent=0.25),
    Iast([0.3, 1.0], [0.2, 0.7], first=0.6),
]


def slow_target_loss(logits, labels, valid, method):
    """All that is learned of a level's target pixels, formula by formula and pixel by pixel."""
    total, count, entropy, rest = 0.0, 0, 0.0, 0
    for n, row, col in valid.nonzero().tolist():
        p = logits[n, :, row, col].softmax(0)
        if labels.labelled[n, row, col]:
            aims = labels.aims[n, :, row, col]
            total = total - (aims * p.log()).sum() - method.kld * p.log().sum() / 3
            count += 1
        else:
            entropy = entropy - (p * p.log()).sum()
            rest += 1
    return total / count + method.entropy * entropy / rest


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_gradients_are_those_of_the_step_written_out(method):
    parts = made(method)
    source, target = batch(labelled=True), batch(labelled=False)
    network, twin = copy.deepcopy(parts.network), made(method)
    logits = network.upsample(network(target.image)[-1], (SIZE, SIZE)).detach()
    labels = method.label(twin, logits.log_softmax(1), target.valid)
    assert 0.05 < labels.labelled.sum() / target.valid.sum() < 0.95

    parts.watched = True
    said = method.step(parts, source, target, lambda loss: loss.backward())
    network.zero_grad()
    for k, level in enumerate(network(source.image)):
        pixels = network.upsample(level, (SIZE, SIZE)).log_softmax(1)
        picked = pixels.gather(1, source.label.where(source.valid, 0).unsqueeze(1)).squeeze(1)
        (method.segmentation[k] * -picked[source.valid].mean()).backward(retain_graph=True)
    for k, level in enumerate(network(target.image)):
        pixels = network.upsample(level, (SIZE, SIZE))
        loss = slow_target_loss(pixels, labels, target.valid, method)
        (method.pseudo[k] * loss).backward(retain_graph=True)
        told = said[f"pseudo_{k + 1}"]
        told = told + method.entropy * math.log(3) * said.get(f"entropy_{k + 1}", 0)
        torch.testing.assert_close(told, loss.detach())
    for ours, theirs in zip(parts.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-11)
    assert all(p.grad is None for p in labeller(parts).network.parameters())
    torch.testing.assert_close(
        said["share_labelled"], labels.labelled.sum() / target.valid.sum(), check_dtype=False
    )
    torch.testing.assert_close(
        said["share_labelled_by_class"].sum(), said["share_labelled"], check_dtype=False
    )
    assert said["round"] == 1
    assert said["threshold"].shape == (3,)


def test_the_loss_has_the_gradient_of_its_differences():
    cells = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    labelled = torch.rand(2, 6, 8) < 0.5
    aims = torch.rand(2, 3, 6, 8, dtype=torch.float64) * labelled.unsqueeze(1)

    def upsample(part):
        return nn.functional.interpolate(part, (6, 8), mode="bilinear")

    assert torch.autograd.gradcheck(lambda x: aimed_loss(x, aims, labelled, upsample), cells)
    assert aimed_loss(cells, aims * 0, torch.zeros_like(labelled), upsample) == 0


@pytest.mark.parametrize("method", [METHODS[1], METHODS[3]], ids=str)
def test_nothing_is_learned_from_invalid_pixels(method):
    """Where a network looks at single pixels, what invalid ones hold changes no gradient."""

    class Levels(nn.Conv2d):
        def forward(self, image):
            return [super().forward(image)] * 2

    network = Levels(2, 3, 1).double()
    kept = copy.deepcopy(network)
    source, target = batch(labelled=True), batch(labelled=False)
    found = []
    for filled in (0, 7):
        network = copy.deepcopy(kept)
        twin = Teacher(copy.deepcopy(kept), DomainStatistics(kept, "both"))
        kit = SimpleNamespace(classes=3, teacher=lambda twin=twin: twin)
        parts = Parts(
            network,
            lambda cells, size: cells,
            DomainStatistics(network, "both"),
            memory=method.memory(kit),
        )
        method.begin(parts)
        image = target.image.where(target.valid.unsqueeze(1), filled)
        method.step(parts, source, Batch(image, target.valid), lambda loss: loss.backward())
        found.append([network.weight.grad, parts.memory["record"].value])
    assert same(*found)
    assert found[0][0].any()


def test_a_batch_of_which_nothing_is_valid_teaches_nothing():
    for method in METHODS:
        parts = made(method)
        source, target = batch(labelled=True), batch(labelled=False)
        blind = Batch(target.image, torch.zeros_like(target.valid))
        before = parts.memory["record"].value.clone()
        said = method.step(parts, source, blind, lambda loss: loss.backward())
        assert said["pseudo_2"] == 0
        assert torch.equal(parts.memory["record"].value, before)


def test_the_labeller_is_the_student_as_the_round_began():
    method = METHODS[0]
    parts = made(method, "per_domain", bands=5)
    rounds = []
    for step in range(12):
        parts.done = step
        begun = labeller(parts).state_dict()["network"]
        begun = {name: value.clone() for name, value in begun.items()}
        rounds.append(method.round(parts))
        kept = parts.memory["record"].value
        pair = batch(labelled=True, bands=5), batch(labelled=False, bands=5)
        method.step(parts, *pair, lambda loss: loss.backward())
        assert not torch.equal(parts.memory["record"].value, kept)
        with torch.no_grad():
            for weight in parts.network.parameters():
                weight.sub_(0.01)
        parts.done += 1
        method.after(parts)
        now = labeller(parts).state_dict()["network"]
        weights = dict(parts.network.named_parameters())
        equal = all(torch.equal(now[name], weights[name]) for name in weights)
        assert equal == (parts.done in (4, 8))
        assert equal == (not parts.memory["record"].value.any())
        assert equal or all(torch.equal(now[name], begun[name]) for name in weights)
    assert rounds == [0] * 4 + [1] * 4 + [2] * 4
    assert parts.answering is parts


def test_rounds_are_as_long_as_steps_allow():
    parts = made(METHODS[0])

    def rounds(number, steps):
        parts.steps, found = steps, []
        for parts.done in range(steps):
            found.append(Cbst(rounds=number).round(parts))
        return found

    assert rounds(4, 10) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert rounds(4, 2) == [0, 2]
    assert rounds(1, 3) == [0, 0, 0]


# A whole run


@pytest.mark.parametrize(
    "method", ["{name: cbst, rounds: 2, lrent: 0.25}", "{name: iast, rounds: 2}"]
)
def test_it_goes_on_amid_a_round_bit_for_bit(values, method, tmp_path):
    values["training"] |= {"steps": 6, "accumulate": 2, "save_every": 2, "keep": 4}
    settings = config.parse(config.assign(values, [f"method={method}"]), where="test")
    run = train_run(settings, tmp_path / "run").run
    whole = checkpoint.load(run.checkpoint)
    said = [event["figures"] for event in run.events() if "figures" in event]
    assert [figures["round"] for figures in said] == [1, 1, 1, 2, 2, 2]
    assert all(len(figures["threshold"]) == 7 for figures in said)
    run.older_checkpoint(2).replace(run.checkpoint)
    train_run(settings, run.path, resume=True)
    again = checkpoints.load(run.path).state
    for part in ("network", "statistics", "memory", "optimisers", "random"):
        assert same(again[part], whole[part]), part
