"""A teacher: its weights and statistics after n steps, and what it answers by."""

import copy

import pytest
import torch
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.teacher import Teacher
from rsadapt.sample import Batch


class Net(nn.Sequential):
    """A network of one level."""

    def forward(self, image):
        return [super().forward(image)]


def pair(policy="per_domain"):
    network = Net(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    twin = copy.deepcopy(network)
    return (network, DomainStatistics(network, policy)), Teacher(
        twin, DomainStatistics(twin, policy, momentum=0)
    )


def move(network, statistics):
    """Let a student learn something, and see both domains."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight))
        network.train()
        for domain in ("source", "target"):
            with statistics.domain(domain):
                network(torch.randn(4, 2, 5, 5))


def tensors(network, statistics):
    found = {
        **network.state_dict(),
        **{f"shelf {k}": v for k, v in statistics.state_dict().items()},
    }
    return {name: value.clone() for name, value in found.items()}


def test_what_follows_is_the_moving_average_and_the_first_is_a_copy():
    student, teacher = pair()
    expected = None
    for update in range(1, 8):
        move(*student)
        teacher.follow(*student, decay=0.8)
        now, kept = tensors(*student), min(1 - 1 / update, 0.8)
        expected = {
            name: value
            if expected is None or not value.is_floating_point()
            else kept * expected[name] + (1 - kept) * value
            for name, value in now.items()
        }
        torch.testing.assert_close(tensors(teacher.network, teacher.statistics), expected)
    assert teacher.updates == 7


def test_a_copy_is_equal_and_stays_when_the_student_moves_on():
    student, teacher = pair()
    move(*student)
    teacher.copy(*student)
    before = tensors(*student)
    move(*student)
    torch.testing.assert_close(tensors(teacher.network, teacher.statistics), before, rtol=0, atol=0)


@pytest.mark.parametrize("policy", ["per_domain", "both", "frozen"])
def test_it_answers_by_its_batch_and_remembers_nothing_of_it(policy):
    _, teacher = pair(policy)
    batch = Batch(3 + torch.randn(4, 2, 5, 5), torch.ones(4, 5, 5, dtype=torch.bool))
    before = tensors(teacher.network, teacher.statistics)
    (cells,) = teacher.cells(batch, "target")
    assert not cells.requires_grad
    by_batch = cells.mean((0, 2, 3)).abs().max() < 1e-5
    assert by_batch == (policy != "frozen")
    after = tensors(teacher.network, teacher.statistics)
    counts = {name for name in before if name.endswith("num_batches_tracked")}
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - counts)


def test_it_goes_on_from_its_state():
    student, teacher = pair()
    move(*student)
    teacher.follow(*student, decay=0.9)
    _, other = pair()
    other.load_state_dict(copy.deepcopy(teacher.state_dict()))
    for each in (teacher, other):
        each.follow(*student, decay=0.9)
    torch.testing.assert_close(other.state_dict(), teacher.state_dict(), rtol=0, atol=0)
