"""CLAN's step against the one written out with two classifiers of their own."""

import copy

import pytest
import torch
from slow_game import SIZE, make, make_batch
from torch.nn import functional

from rsadapt.adapt.clan import Clan, disagreement
from rsadapt.nets.deeplab import AtrousPyramid


def make_pair():
    """Parts with half the difference of two classifiers, and the two."""
    parts = make(2)
    main = parts.network.classifiers[-1]
    half = AtrousPyramid(parts.network.channels[-1], 3, [1]).double().train()
    for parameter in half.parameters():
        torch.nn.init.normal_(parameter)
    parts.others["half_difference"] = half
    one, two = copy.deepcopy(main), copy.deepcopy(main)
    with torch.no_grad():
        for sign, head in ((1, one), (-1, two)):
            for p, d in zip(head.parameters(), half.parameters(), strict=True):
                p.add_(d, alpha=sign)
    return parts, one, two


def slow_step(network, one, two, judges, *, source, target, rule, plain):
    def see(image):
        levels, features = network(image, with_features=True)
        cells = [levels[0], one(features[-1]), two(features[-1])]
        return [network.upsample(each, (SIZE, SIZE)) for each in cells]

    def game(judge, logits, batch, answer, factor):
        x = judge(logits.softmax(1) * batch.valid[:, None])
        x = functional.interpolate(x, (SIZE, SIZE), mode="bilinear")[:, 0]
        p = torch.sigmoid(x)
        loss = -torch.log(p if answer else 1 - p) * factor
        return loss[batch.valid].mean()

    weight, heads = rule.segmentation, [[*head.parameters()] for head in (one, two)]
    first, second = (torch.cat([p.flatten() for p in head]) for head in heads)
    (rule.apart * (first @ second) / (first.norm() * second.norm())).backward()
    aux, p1, p2 = see(source.image)
    for w, logits in ((weight[0], aux), (weight[1] / 2, p1), (weight[1] / 2, p2)):
        loss = functional.cross_entropy(logits, source.label, ignore_index=255)
        (w * loss).backward(retain_graph=True)
    aux_target, q1, q2 = see(target.image)
    a, b = q1.detach().softmax(1), q2.detach().softmax(1)
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    local = 1 if plain else rule.evenly + rule.locally * (1 - cosine)
    terms = ((judges[0], aux, aux_target, 1), (judges[1], p1 + p2, q1 + q2, local))
    for w, (judge, _, theirs, factor) in zip(rule.adversarial, terms, strict=True):
        (w * game(judge, theirs, target, 0, factor)).backward(retain_graph=True)
    for judge, ours, theirs, factor in terms:
        judge.zero_grad()
        (game(judge, ours.detach(), source, 0, 1) / 2).backward()
        (game(judge, theirs.detach(), target, 1, factor) / 2).backward()


@pytest.mark.parametrize("plain", [True, False])
def test_gradients_are_those_of_two_classifiers(plain):
    parts, one, two = make_pair()
    parts.steps, parts.done = 40, 1 if plain else 2
    rule = Clan([0.1, 2.0], [0.3, 0.7], apart=0.5)
    network = copy.deepcopy(parts.network)
    judges = [copy.deepcopy(parts.others[f"discriminator_{n}"]) for n in (1, 2)]
    source, target = make_batch(labelled=True), make_batch(labelled=False)
    losses = rule.step(parts, source, target, lambda loss: loss.backward())
    slow_step(network, one, two, judges, source=source, target=target, rule=rule, plain=plain)

    def compare(found, expected):
        assert expected.any()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)

    half = parts.others["half_difference"]
    mean = parts.network.classifiers[-1]
    for m, h, p, q in zip(*(each.parameters() for each in (mean, half, one, two)), strict=True):
        compare(m.grad, p.grad + q.grad)  # one = mean + half, two = mean - half
        compare(h.grad, p.grad - q.grad)
    found = [parts.network.encoder, parts.network.classifiers[0], *list(parts.others.values())[:2]]
    expected = [network.encoder, network.classifiers[0], *judges]
    for ours, theirs in zip(found, expected, strict=True):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            compare(p.grad, q.grad)
    assert losses["cosine"].abs() <= 1


def test_the_network_answers_with_the_mean_of_both():
    parts, one, two = make_pair()
    image = make_batch(labelled=False).image
    (_, mean), features = parts.network(image, with_features=True)
    torch.testing.assert_close(mean, (one(features[-1]) + two(features[-1])) / 2)


def test_classifiers_that_are_kept_apart_end_up_apart():
    parts, _, _ = make_pair()
    half = parts.others["half_difference"]
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.mul_(0.1)  # nearly the same
    rule = Clan([0.0, 0.0], [0.0, 0.0], apart=1.0)
    heads = [*parts.network.classifiers[-1].parameters(), *half.parameters()]
    optimiser = torch.optim.SGD(heads, lr=1.0)
    cosines = []
    for _ in range(3):
        optimiser.zero_grad()
        losses = rule.step(
            parts, make_batch(labelled=True), make_batch(labelled=False), lambda x: x.backward()
        )
        cosines.append(losses["cosine"].item())
        optimiser.step()
    assert cosines[0] > 0.9
    assert cosines == sorted(cosines, reverse=True)


def test_disagreement_is_none_of_the_same_and_whole_of_the_contrary():
    one = torch.tensor([[50.0, 0.0, 0.0], [1.0, 2.0, 3.0]]).T[None, :, None]
    other = torch.tensor([[0.0, 50.0, 0.0], [2.0, 3.0, 4.0]]).T[None, :, None]
    found = disagreement(one, other)
    torch.testing.assert_close(found, torch.tensor([[[1.0, 0.0]]]), atol=1e-6, rtol=0)


def test_branches_that_are_not_in_use_are_left_alone():
    """Those of the network's classifier lie last, and the other has none."""
    parts, _, _ = make_pair()
    used = parts.network.classifiers[-1]
    longer = AtrousPyramid(parts.network.channels[-1], 3, [1, 2, 3], "first_two").double()
    shorter = AtrousPyramid(parts.network.channels[-1], 3, [1, 2]).double()
    parts.network.classifiers[-1], parts.others["half_difference"] = longer, shorter
    rule = Clan([0.0, 1.0], [0.0, 0.1], apart=1.0)
    rule.step(parts, make_batch(labelled=True), make_batch(labelled=False), lambda x: x.backward())
    assert all(p.grad.any() for p in [*shorter.parameters(), *longer.branches[:2].parameters()])
    assert all(p.grad is None for p in longer.branches[2].parameters())
    assert all(p.grad is None for p in used.parameters())
