"""The adversarial step written out plainly, and small networks and batches to take it with."""

import torch
from torch import nn
from torch.nn import functional

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Parts
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.discriminator import Discriminator
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch

CELL, SIZE = 32, 64  # pixels of a discriminator's cell and of an image


def make(levels):
    network = DeepLab(SmallEncoder(bands=2, width=2), bands=2, classes=3, levels=levels, rates=[1])
    for parameter in network.head_parameters():
        nn.init.normal_(parameter)
    others = {f"discriminator_{n}": Discriminator(3, width=2) for n in range(1, levels + 1)}
    for module in (network, *others.values()):
        module.double().train()
    return Parts(network, network.upsample, DomainStatistics(network, "both"), others)


def make_batch(*, labelled):
    valid = torch.rand(2, SIZE, SIZE) < torch.linspace(0.2, 1, SIZE)
    label = torch.randint(0, 3, (2, SIZE, SIZE)).where(valid, 255) if labelled else None
    image = torch.randn(2, 2, SIZE, SIZE).double() * valid.unsqueeze(1)
    return Batch(image, valid, label)


def gradients(module):
    return [parameter.grad for parameter in module.parameters()]


def slow_game(judgement, domain, valid, objective):
    """The adversarial loss, each cell weighted by the valid share of the pixels under it."""
    weight = valid.double().reshape(2, 2, CELL, 2, CELL).mean((2, 4))
    x = judgement[:, 0]
    if objective == "bce":
        p = torch.sigmoid(x)
        loss = -torch.log(p) if domain == 1 else -torch.log(1 - p)
    else:
        loss = (x - domain) ** 2
    return (loss * weight).sum() / weight.sum()


def probabilities(logits):
    return logits.softmax(1)


def slow_step(network, discriminators, source, target, rule, *, show=probabilities):
    """The training step of parity/README.md, one loss after the other.

    `show` makes of logits what discriminators see.
    """
    levels = range(len(discriminators))

    def pixels(image):
        return [network.upsample(level, (SIZE, SIZE)) for level in network(image)]

    source_logits = pixels(source.image)
    for k in levels:
        picked = functional.one_hot(source.label.where(source.valid, 0), 3).movedim(-1, 1)
        cross = -(source_logits[k].log_softmax(1) * picked).sum(1)
        loss = cross[source.label != 255].mean()
        (rule.segmentation[k] * loss).backward(retain_graph=True)

    target_logits = pixels(target.image)
    for k in levels:
        maps = show(target_logits[k]) * target.valid[:, None]
        loss = slow_game(discriminators[k](maps), 0, target.valid, rule.game.objective)
        (rule.adversarial[k] * loss).backward(retain_graph=True)

    for k in levels:
        discriminators[k].zero_grad()
        for logits, domain, batch in ((source_logits, 0, source), (target_logits, 1, target)):
            maps = show(logits[k].detach()) * batch.valid[:, None]
            loss = slow_game(discriminators[k](maps), domain, batch.valid, rule.game.objective) / 2
            loss.backward()
