"""Networks in float64 and uneven batches to try self-training on, without a run."""

import copy
from types import SimpleNamespace

import torch
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.method import Parts
from rsadapt.adapt.teacher import Teacher
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.small import SmallEncoder
from rsadapt.sample import Batch

SIZE = 24


def made(method, policy="both", bands=2):
    """The parts of a run of twelve steps that has begun."""
    network = DeepLab(
        SmallEncoder(bands=bands, width=2), bands=bands, classes=3, levels=2, rates=[1]
    )
    for parameter in network.head_parameters():
        nn.init.normal_(parameter)
    network.double().train()

    def teacher():
        twin = copy.deepcopy(network)
        return Teacher(twin, DomainStatistics(twin, policy, momentum=0))

    kit = SimpleNamespace(classes=3, teacher=teacher)  # all that these methods take of a kit
    memory = method.memory(kit)
    parts = Parts(
        network, network.upsample, DomainStatistics(network, policy), memory=memory, steps=12
    )
    method.begin(parts)
    return parts


def batch(*, labelled, bands=2):
    """A batch of which the left is mostly invalid."""
    valid = torch.rand(2, SIZE, SIZE) < torch.linspace(0.2, 1, SIZE)
    label = torch.randint(0, 3, (2, SIZE, SIZE)).where(valid, 255) if labelled else None
    image = torch.randn(2, bands, SIZE, SIZE).double() * valid.unsqueeze(1)
    return Batch(image, valid, label)
