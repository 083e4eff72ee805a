"""A step of CycleGAN against slow references, and the pool of translated images."""

import pytest
import torch
from torch import nn

from rsadapt.adapt.batch_norm import DomainStatistics
from rsadapt.adapt.cyclegan import CycleGAN, ImagePool, difference
from rsadapt.adapt.method import Parts
from rsadapt.nets.generator import Generator
from rsadapt.nets.patch_discriminator import PatchDiscriminator
from rsadapt.sample import Batch


def batch(bands=2, side=32, invalid=0):
    valid = torch.ones(2, side, side, dtype=torch.bool)
    valid[:, :invalid] = False
    image = torch.randn(2, bands, side, side, dtype=torch.float64)
    return Batch(image * valid[:, None], valid)


def parts(bands=2, pool=0):
    def network(kind, **sizes):
        return kind(bands, width=2, **sizes).double()

    to_target = network(Generator, blocks=1)
    others = {
        "back": network(Generator, blocks=1),
        "judge_source": network(PatchDiscriminator),
        "judge_target": network(PatchDiscriminator),
    }
    memory = {"pool_source": ImagePool(pool), "pool_target": ImagePool(pool)}
    statistics = DomainStatistics(to_target, "frozen")
    return Parts(
        to_target, lambda logits, size, image_size=None: logits, statistics, others, memory
    )


def gradients(network):
    return [p.grad.clone() for p in network.parameters()]


def step(made, source, target, method=None):
    return (method or CycleGAN()).step(made, source, target, lambda loss: loss.backward())


def test_gradients_are_those_of_the_papers_equations():
    made, source, target = parts(), batch(), batch()
    losses = step(made, source, target)
    networks = [made.network, *made.others.values()]
    found = [gradients(network) for network in networks]
    for network in networks:
        network.zero_grad()

    to, back = made.network, made.others["back"]
    of_source, of_target = made.others["judge_source"], made.others["judge_target"]
    s, t = source.image, target.image
    fake_t, fake_s = to(s), back(t)
    cycle = (back(fake_t) - s).abs().mean() + (to(fake_s) - t).abs().mean()
    identity = (back(s) - s).abs().mean() + (to(t) - t).abs().mean()
    fooling = (of_target(fake_t) - 1).square().mean() + of_source(fake_s).square().mean()
    generators = [*to.parameters(), *back.parameters()]
    loss = fooling + 10 * cycle + 5 * identity
    expected = torch.autograd.grad(loss, generators)
    for a, b in zip(found[0] + found[1], expected, strict=True):
        torch.testing.assert_close(a, b)

    judging = (
        of_source(s).square().mean() + (of_source(fake_s.detach()) - 1).square().mean()
    ) / 2 + ((of_target(t) - 1).square().mean() + of_target(fake_t.detach()).square().mean()) / 2
    judges = [*of_source.parameters(), *of_target.parameters()]
    for a, b in zip(found[2] + found[3], torch.autograd.grad(judging, judges), strict=True):
        torch.testing.assert_close(a, b)
    total = losses["fooling_source"] + losses["fooling_target"]
    torch.testing.assert_close(total, fooling.detach())


def test_invalid_pixels_teach_nothing():
    made, source, target = parts(), batch(invalid=16), batch()
    step(made, source, target)
    expected = gradients(made.network)
    image = source.image.clone()
    for network in (made.network, *made.others.values()):
        network.zero_grad()
    image[:, :, :16] = -0.0  # all that a normaliser leaves there
    losses = step(made, Batch(image, source.valid), target)
    for a, b in zip(gradients(made.network), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    there = source.image[:, :, 16:]
    back = made.others["back"](made.network(source.image) * source.valid[:, None])[:, :, 16:]
    torch.testing.assert_close(losses["cycle_source"], (back - there).abs().mean())


def test_a_batch_without_a_valid_pixel_stays_finite():
    losses = step(parts(), batch(invalid=32), batch())
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["cycle_source"] == 0


def test_without_identity_its_passes_are_spared():
    losses = step(parts(), batch(), batch(), CycleGAN(identity=0))
    assert not any(name.startswith("identity") for name in losses)


def test_difference_counts_valid_pixels_alone():
    one, two = batch().image, batch().image
    valid = torch.rand(2, 32, 32) < 0.3
    apart = [
        abs(float(one[n, band, row, col] - two[n, band, row, col]))
        for n, row, col in valid.nonzero().tolist()
        for band in range(2)
    ]
    assert float(difference(one, two, valid)) == pytest.approx(sum(apart) / len(apart))


class TestPool:
    """Images numbered from 0 tell where they come from."""

    @pytest.fixture(autouse=True)
    def _random(self):
        self.random = torch.Generator().manual_seed(0)

    def hand_in(self, pool, number):
        image = torch.full((1, 1, 2, 2), float(number))
        shown, valid = pool.exchange(image, torch.ones(1, 2, 2, dtype=torch.bool), self.random)
        assert valid.shape == (1, 2, 2)
        return int(shown[0, 0, 0, 0])

    def test_while_it_fills_every_image_is_handed_on(self):
        pool = ImagePool(5)
        assert [self.hand_in(pool, number) for number in range(5)] == list(range(5))
        assert len(pool) == 5

    def test_then_half_are_exchanged_for_kept_ones(self):
        pool = ImagePool(5)
        shown = [self.hand_in(pool, number) for number in range(1000)]
        older = [number for number, seen in enumerate(shown) if seen != number]
        assert 0.4 < len(older) / 995 < 0.6
        assert all(shown[number] < number for number in older)
        late = [shown[number] for number in older]
        assert len(set(late)) == len(late) - sum(late.count(n) - 1 for n in set(late))
        assert len(pool) == 5

    def test_none_hands_on_and_draws_nothing(self):
        pool, before = ImagePool(0), self.random.get_state()
        assert [self.hand_in(pool, number) for number in range(9)] == list(range(9))
        assert torch.equal(self.random.get_state(), before)

    def test_it_goes_on_from_its_state(self):
        pool = ImagePool(3)
        for number in range(20):
            self.hand_in(pool, number)
        again = ImagePool(3)
        again.load_state_dict(pool.state_dict())
        state = self.random.get_state()
        first = [self.hand_in(pool, number) for number in range(20, 60)]
        self.random.set_state(state)
        assert [self.hand_in(again, number) for number in range(20, 60)] == first

    def test_what_is_kept_is_no_view(self):
        pool, image = ImagePool(1), torch.ones(1, 1, 2, 2)
        pool.exchange(image, torch.ones(1, 2, 2, dtype=torch.bool), self.random)
        image.zero_()
        assert pool.state_dict()["images"][0].sum() == 4


def test_networks_are_left_to_learn():
    made = parts()
    step(made, batch(), batch())
    modules = nn.ModuleList([made.network, *made.others.values()])
    assert all(p.requires_grad for p in modules.parameters())
