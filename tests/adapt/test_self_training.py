"""Mean teacher, DACS, DAFormer's training and MIC against their steps written out plainly."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.class_mix import half_of_classes
from rsadapt.adapt.dacs import Dacs
from rsadapt.adapt.daformer import Daformer, dominated
from rsadapt.adapt.kit import Kit
from rsadapt.adapt.mean_teacher import MeanTeacher
from rsadapt.adapt.method import Parts
from rsadapt.adapt.mic import Mic
from rsadapt.adapt.patches import kept_patches
from rsadapt.adapt.teacher import Teacher
from rsadapt.errors import ConfigError
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.pyramid_discriminator import PyramidDiscriminator
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch

SIZE, BANDS, CLASSES = 32, 2, 3
WEIGHTS = [0.4, 1.0]
PLAIN = {"jitter": 0.0, "blur": 0.0, "threshold": 0.75, "taught": 0.7}
"""Colours as they are, whose changes have tests of their own; a teacher that is sure at times."""

METHODS = [
    MeanTeacher(WEIGHTS, **PLAIN),
    Dacs(WEIGHTS, **PLAIN),
    Daformer(WEIGHTS, **PLAIN, feature_distance=0.3, feature_classes=[0, 2], ignored_top=3),
    Mic(WEIGHTS, **PLAIN, masked=0.6, ignored_bottom=5),
]
EACH = pytest.mark.parametrize("rule", METHODS, ids=lambda rule: rule.name)


def make(rule, policy="both"):
    network = DeepLab(SmallEncoder(bands=BANDS, width=2), bands=BANDS, classes=CLASSES, rates=[1])
    for parameter in network.head_parameters():
        nn.init.normal_(parameter)
    network.double().train()

    def teacher():
        twin = copy.deepcopy(network)
        return Teacher(twin, DomainStatistics(twin, policy, momentum=0))

    kit = Kit(
        network,
        classes=CLASSES,
        channels=network.channels,
        stride=network.stride,
        sides={"tile": SIZE},
        discriminator=Discriminator,
        pyramid_discriminator=PyramidDiscriminator,
        classifier=lambda: pytest.fail("none is needed"),
        teacher=teacher,
    )
    parts = Parts(network, network.upsample, DomainStatistics(network, policy))
    parts.memory = rule.memory(kit)
    rule.begin(parts)
    for (
        kept
    ) in parts.memory.values():  # another than the network, so that it matters whose is whose
        for weight in kept.network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    parts.train()
    return parts


def make_batches(size=SIZE):
    batches = []
    for labelled in (True, False):
        valid = torch.rand(2, size, size) < torch.linspace(0.5, 1, size)
        blocks = torch.randint(0, CLASSES, (2, size // 8, size // 8))
        label = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
        image = torch.randn(2, BANDS, size, size).double() * valid.unsqueeze(1)
        batches.append(Batch(image, valid, label.where(valid, 255) if labelled else None))
    return batches


def cross_entropy(logits, label, weight):
    """Weighted, summed pixel by pixel, over the number of labelled pixels."""
    picked = functional.one_hot(label.where(label != 255, 0), CLASSES).movedim(-1, 1)
    terms = -(logits.log_softmax(1) * picked).sum(1) * weight
    return terms[label != 255].sum() / (label != 255).sum()


def slow_step(network, memory, batches, rule, random):
    """The losses of a step one after the other; their gradients are added to the network's."""

    def learn(image, label, weight, factor):
        for level, share in zip(network(image), WEIGHTS, strict=True):
            loss = cross_entropy(network.upsample(level, (SIZE, SIZE)), label, weight)
            (factor * share * loss).backward(retain_graph=True)

    source, target = batches
    teacher = memory["teacher"].network.train()
    learn(source.image, source.label, torch.ones(2, SIZE, SIZE), 1.0)
    if rule.name == "daformer":
        initial = copy.deepcopy(memory["initial"].network).eval().encoder(source.image)[-1]
        features = network.encoder(source.image)[-1]
        distances = []
        for n in range(2):
            for row in range(SIZE // 4):
                for col in range(SIZE // 4):
                    below = source.label[n, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
                    if any((below == k).sum() > 0.75 * 16 for k in rule.feature_classes):
                        apart = features[n, :, row, col] - initial[n, :, row, col]
                        distances.append(apart.square().sum().sqrt())
        assert len(distances) > 5
        (rule.feature_distance * torch.stack(distances).mean()).backward()

    with torch.no_grad():
        told = network.upsample(teacher(target.image)[-1], (SIZE, SIZE)).softmax(1)
    confidence, label = told.max(1)
    sure = (confidence[target.valid] >= rule.threshold).double().mean()
    assert 0.1 < sure < 0.9
    label[~target.valid] = 255
    if rule.name == "daformer":
        label[:, : rule.ignored_top] = 255
    if rule.name == "mic":
        label[:, SIZE - rule.ignored_bottom :] = 255
    image, lesson, weight = target.image.clone(), label.clone(), torch.full((2, SIZE, SIZE), sure)
    if rule.name != "mean_teacher":
        chosen = half_of_classes(source.label, CLASSES, random)
        for n in range(2):
            for each in chosen[n].nonzero().flatten():
                pasted = source.label[n] == each
                image[n, :, pasted] = source.image[n, :, pasted]
                lesson[n, pasted], weight[n, pasted] = each, 1.0
    learn(image, lesson, weight, rule.taught)
    if rule.name == "mic":
        draws_of_changes(random)
        kept = kept_patches((2, SIZE, SIZE), patch=SIZE // 8, ratio=0.7, random=random)
        learn(target.image * kept.unsqueeze(1), label, torch.full((2, SIZE, SIZE), sure), 0.6)


def draws_of_changes(random):
    """What colours and blur of two batches draw, whether or not they change anything."""
    for _ in range(2):
        torch.rand((2, 2, BANDS, 1, 1), generator=random)
        for _ in range(3):
            torch.rand(2, generator=random)


@EACH
def test_gradients_are_those_of_the_step_written_out(rule):
    parts = make(rule)
    network, memory = copy.deepcopy((parts.network, parts.memory))
    source, target = make_batches()
    slow_step(network, memory, (source, target), rule, parts.random())
    said = rule.step(parts, source, target, lambda loss: loss.backward())
    for ours, slow in zip(parts.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, slow.grad, rtol=1e-9, atol=1e-12)
    assert not any(loss.requires_grad for loss in said.values())
    assert all(not p.requires_grad for k in parts.memory.values() for p in k.network.parameters())


def test_nothing_is_learned_of_a_target_without_data():
    rule = MeanTeacher(WEIGHTS)
    parts = make(rule)
    source, target = make_batches()
    target.valid[:] = False
    target.image[:] = 0
    said = rule.step(parts, source, target, lambda loss: loss.backward())
    assert said["taught_1"] == said["taught_2"] == 0


@EACH
def test_mixed_images_move_no_statistics_of_a_domain(rule):
    parts = make(rule, "per_domain")
    source, target = make_batches()
    twin = copy.deepcopy(parts)
    rule.step(parts, source, target, lambda loss: loss.backward())
    for domain, batch in (("source", source), ("target", target)):
        with torch.no_grad():
            twin.cells(batch, domain)
    for ours, theirs in zip(parts.statistics.running(), twin.statistics.running(), strict=True):
        assert torch.equal(ours, theirs)


@EACH
def test_the_same_numbers_are_drawn_for_a_pair_and_others_for_the_next(rule):
    rule = type(rule)(WEIGHTS)
    source, target = make_batches()
    first = make(rule)
    found = []
    for pairs in (5, 5, 6):
        parts = copy.deepcopy(first)
        parts.pairs = pairs
        rule.step(parts, source, target, lambda loss: loss.backward())
        found.append(torch.cat([p.grad.flatten() for p in parts.network.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_losses_and_figures_by_name():
    rule = Mic(WEIGHTS, feature_distance=0.1, patch=8)
    parts = make(rule)
    parts.watched = True
    said = rule.step(parts, *make_batches(), lambda loss: loss.backward())
    kinds = ("segmentation", "taught", "masked")
    levels = {f"{kind}_{level}" for kind in kinds for level in (1, 2)}
    shares = {"share_source", "share_target"}
    assert set(said) == levels | shares | {"feature_distance", "share_confident"}
    assert all(said[name].sum().item() == pytest.approx(1) for name in shares)
    assert 0 <= said["share_confident"] <= 1


def test_an_initial_encoder_is_kept_only_where_features_are_held_to_it():
    assert set(make(Daformer(WEIGHTS)).memory) == {"teacher", "initial"}
    assert set(make(Daformer(WEIGHTS, feature_distance=0.0)).memory) == {"teacher"}
    assert set(make(Mic(WEIGHTS)).memory) == {"teacher"}


def test_features_that_did_not_move_have_a_gradient():
    rule = Daformer([0.0, 0.0], taught=0.0, feature_distance=1.0)
    parts = make(rule, "frozen")
    parts.memory["initial"].copy(parts.network, parts.statistics)
    said = rule.step(parts, *make_batches(), lambda loss: loss.backward())
    assert said["feature_distance"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in parts.network.parameters())


def test_cells_that_a_class_dominates():
    label = torch.tensor([[[0, 0, 1, 255], [0, 1, 1, 1]]])
    assert dominated(label, [0], size=(1, 2), share=0.7).tolist() == [[[True, False]]]
    assert dominated(label, [0], size=(1, 2), share=0.75).tolist() == [[[False, False]]]
    assert dominated(label, [0, 1], size=(1, 2), share=0.7).tolist() == [[[True, True]]]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Mic(WEIGHTS, patch=17), r"method.patch is 17 and tile 32; .* choose 4"),
        (Daformer(WEIGHTS, feature_classes=[3]), r"train ids from 0 to 2, found 3"),
    ],
)
def test_what_cannot_be_is_said(rule, says):
    with pytest.raises(ConfigError, match=says):
        make(rule)
