"""Which batches move batch-norm statistics, and which statistics are read."""

import pytest
import torch
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics

POLICIES = ("both", "source", "per_domain", "frozen")

READ = {
    ("both", "source"): "last",
    ("both", "target"): "last",
    ("source", "source"): "source",
    ("source", "target"): "source",
    ("per_domain", "source"): "source",
    ("per_domain", "target"): "target",
    ("frozen", "source"): "first",
    ("frozen", "target"): "first",
}
"""By policy and evaluated domain, the batch whose mean is found with a momentum of 1."""


def image(mean):
    return mean + torch.randn(4, 2, 5, 5)


def make(policy, momentum=1.0):
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Identity())
    return network, DomainStatistics(network, policy, momentum=momentum)


def show(network, statistics, domain, images):
    """Pass images through the network as training does."""
    network.train()
    statistics.train()
    with statistics.domain(domain):
        return network(images)


def read(network, statistics, domain):
    """The mean that evaluation of a domain normalises with."""
    network.eval()
    with statistics.evaluating(domain):
        return -network(torch.zeros(1, 2, 1, 1)).flatten() * (network[0].running_var + 1e-5).sqrt()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("order", [("source", "target"), ("target", "source")])
def test_each_domain_is_evaluated_with_the_statistics_its_policy_promises(policy, order):
    network, statistics = make(policy)
    means = {"first": torch.zeros(2)}
    for domain, mean in zip(order, (3.0, -5.0), strict=True):
        images = image(mean)
        show(network, statistics, domain, images)
        means[domain] = means["last"] = images.mean((0, 2, 3))
    for domain in ("source", "target"):
        expected = means[READ[policy, domain]]
        torch.testing.assert_close(read(network, statistics, domain), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("domain", ["source", "target"])
def test_training_batches_are_normalised_by_themselves_unless_frozen(policy, domain):
    network, statistics = make(policy)
    images = image(7.0)
    out = show(network, statistics, domain, images)
    expected = images if policy == "frozen" else nn.BatchNorm2d(2)(images)
    torch.testing.assert_close(out, expected, atol=1e-3, rtol=0)


def test_momentum_is_the_weight_of_a_new_batch():
    network, statistics = make("both", momentum=0.25)
    one, two = image(1.0), image(5.0)
    show(network, statistics, "source", one)
    show(network, statistics, "target", two)
    expected = 0.75 * 0.25 * one.mean((0, 2, 3)) + 0.25 * two.mean((0, 2, 3))
    torch.testing.assert_close(network[0].running_mean, expected)


def test_network_rests_on_the_sources_statistics_even_after_an_error():
    network, statistics = make("per_domain")
    images = image(2.0)
    show(network, statistics, "source", images)
    with pytest.raises(RuntimeError, match="broken"), statistics.domain("target"):
        raise RuntimeError("broken")
    torch.testing.assert_close(network[0].running_mean, images.mean((0, 2, 3)))


@pytest.mark.parametrize("policy", POLICIES)
def test_both_domains_survive_a_checkpoint(policy):
    network, statistics = make(policy)
    for domain, mean in (("source", 1.0), ("target", 4.0)):
        show(network, statistics, domain, image(mean))
    states = network.state_dict(), statistics.state_dict()
    states = tuple({key: value.clone() for key, value in state.items()} for state in states)
    again, restored = make(policy)
    again.load_state_dict(states[0])
    restored.load_state_dict(states[1])
    images = image(9.0)
    for domain in ("source", "target"):
        assert torch.equal(read(network, statistics, domain), read(again, restored, domain))
    for domain in ("target", "source"):
        show(network, statistics, domain, images)
        show(again, restored, domain, images)
    assert_same(network.state_dict(), again.state_dict())
    assert_same(statistics.state_dict(), restored.state_dict())
    assert bool(states[1]) is (policy == "per_domain")


def test_target_starts_from_the_network_where_it_has_nothing_of_its_own():
    network, statistics = make("per_domain")
    show(network, statistics, "source", image(6.0))
    statistics.load_state_dict({})
    assert torch.equal(read(network, statistics, "source"), read(network, statistics, "target"))


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
