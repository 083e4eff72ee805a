"""DeepLab: levels, and logits that lie where their cells do."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from rsadapt.errors import ShapeError
from rsadapt.nets.deeplab import AtrousPyramid, DeepLab
from rsadapt.nets.encoder import Encoder
from rsadapt.nets.small import SmallEncoder


def sampler(anchor):
    """An encoder that keeps the pixel under each cell, or the mean of the block around it."""
    pool = nn.MaxPool2d(1, 8) if anchor == "first" else nn.AvgPool2d(8)
    return Encoder(nn.Identity(), [pool], channels=(1,), stride=8, anchor=anchor)


def deeplab(*, bands=3, classes=2, rates=(1,), width=4, **settings):
    encoder = SmallEncoder(bands=bands, width=width)
    return DeepLab(encoder, bands=bands, classes=classes, rates=rates, **settings)


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_one_map_of_logits_a_level(bands, levels):
    logits = deeplab(bands=bands, levels=levels, classes=5)(torch.rand(2, bands, 33, 50))
    assert [tuple(level.shape) for level in logits] == [(2, 5, 9, 13)] * levels


def test_main_level_is_last_and_sits_on_the_last_stage():
    net = deeplab(levels=2).eval()
    image = torch.rand(1, 3, 32, 32)
    main = net(image)[-1]
    torch.testing.assert_close(main, net.classifiers[-1](net.encoder(image)[-1]))


def test_classifier_sums_all_its_branches():
    head = AtrousPyramid(3, 2, rates=(1, 2, 5))
    features = torch.rand(1, 3, 11, 12)
    expected = sum(
        functional.conv2d(features, b.weight, b.bias, padding=rate, dilation=rate)
        for b, rate in zip(head.branches, (1, 2, 5), strict=True)
    )
    torch.testing.assert_close(head(features), expected)


@pytest.mark.parametrize("pyramid", ["all", "first_two"])
def test_branches_summed_at_once_in_training_are_those_summed_one_by_one(pyramid):
    """Twice over, as gradients of two batches add up."""
    head = AtrousPyramid(5, 3, [1, 2, 6, 24], pyramid).double()
    other = copy.deepcopy(head).eval()
    for parameter, same in zip(head.parameters(), other.parameters(), strict=True):
        nn.init.normal_(parameter)
        same.data.copy_(parameter)
    for _ in range(2):
        features = torch.randn(2, 5, 7, 9).double()
        ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
        found, expected = head(ours), other(theirs)
        torch.testing.assert_close(found, expected)
        weights = torch.randn_like(found)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad)
    for parameter, same in zip(head.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, same.grad)


def test_pyramid_of_the_first_two_keeps_the_others_and_never_uses_them():
    head = AtrousPyramid(3, 2, rates=(1, 2, 5, 7), pyramid="first_two")
    features = torch.rand(1, 3, 11, 12)
    first, second = head.branches[:2]
    torch.testing.assert_close(head(features), first(features) + second(features))
    head(features).sum().backward()
    assert [branch.weight.grad is None for branch in head.branches] == [False, False, True, True]
    assert head.state_dict().keys() == AtrousPyramid(3, 2, rates=(1, 2, 5, 7)).state_dict().keys()


def test_frozen_affine_is_the_scale_and_shift_of_every_batch_norm_and_nothing_else():
    net = deeplab(batch_norm_affine="frozen")
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    frozen = {id(value) for value in net.parameters() if not value.requires_grad}
    assert frozen == {id(value) for layer in norms for value in layer.parameters()}
    assert frozen
    assert all(value.requires_grad for value in deeplab().parameters())


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_features_are_what_each_classifier_saw_through_fabric_too(levels):
    net = deeplab(levels=levels).eval()
    wrapped = Fabric(accelerator="cpu", devices=1).setup_module(net)
    image = torch.rand(2, 3, 33, 50)
    logits, features = wrapped(image, with_features=True)
    assert [feature.shape[1] for feature in features] == list(net.channels)
    for level, feature, head, plain in zip(
        logits, features, net.classifiers, net(image), strict=True
    ):
        assert torch.equal(level, plain)
        assert torch.equal(level, head(feature))


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 3), st.integers(0, 3))
def test_cells_appear_at_their_pixels(rows, cols, less_height, less_width):
    net = deeplab()
    cells = torch.rand(1, 2, rows, cols, dtype=torch.float64)
    full = net.upsample(cells, (4 * rows - less_height, 4 * cols - less_width))
    assert full.shape == (1, 2, 4 * rows - less_height, 4 * cols - less_width)
    torch.testing.assert_close(full[..., ::4, ::4], cells, rtol=0, atol=1e-12)


@pytest.mark.parametrize("anchor", ["first", "middle"])
@pytest.mark.parametrize("size", [33, 40, 50, 64, 81])
@pytest.mark.parametrize("edge", [9.3, 20.5, 25.0])
def test_edge_stays_within_a_pixel_whatever_the_tile(anchor, size, edge):
    """Cells that measure how far east of an edge they lie change sign at the edge."""
    net = DeepLab(sampler(anchor), bands=1, classes=1, levels=1)
    east = (torch.arange(size, dtype=torch.float64) - edge).expand(1, 1, size, size)
    full = net.upsample(net.encoder(east)[0], (size, size))[0, 0]
    found = (full < 0).sum(1).double()
    assert (found - edge).abs().max() <= 1


@given(st.integers(1, 6), st.integers(1, 6), st.integers(-7, 7), st.integers(-7, 7))
def test_cells_in_the_middle_are_interpolated_from_their_offset(rows, cols, more_rows, more_cols):
    net = DeepLab(sampler("middle"), bands=1, classes=1, levels=1)
    size = 8 * rows + more_rows, 8 * cols + more_cols
    cells = torch.rand(1, 1, rows, cols, dtype=torch.float64)
    full = net.upsample(cells, size)[0, 0]
    shares = []  # of each cell in each pixel, along either axis
    for pixels, count in zip(size, (rows, cols), strict=True):
        place = (torch.arange(pixels) - net.encoder.offset) / 8
        away = place.clamp(0, count - 1)[:, None] - torch.arange(count)
        shares.append((1 - away.abs()).clamp(min=0).double())
    torch.testing.assert_close(full, shares[0] @ cells[0, 0] @ shares[1].T)


@pytest.mark.parametrize("size", [(32, 32), (33, 49)])
def test_corners_are_the_published_upsampling(size):
    cells = torch.rand(2, 3, 5, 7)
    published = functional.interpolate(cells, size, mode="bilinear", align_corners=True)
    assert torch.equal(deeplab(upsampling="corners").upsample(cells, size), published)


def test_shifted_crop_gives_the_shifted_logits():
    """Pixels further from the crop's border than the network sees cannot tell the crop apart."""
    net = deeplab(levels=2).double().eval()
    seen = 64
    image = torch.rand(1, 3, 184, 184, dtype=torch.float64)
    whole = [net.upsample(level, (184, 184)) for level in net(image)]
    for row, col in ((0, 0), (8, 20), (24, 4)):
        crop = image[..., row : row + 160, col : col + 152]
        parts = [net.upsample(level, (160, 152)) for level in net(crop)]
        for full, part in zip(whole, parts, strict=True):
            there = full[..., row + seen : row + 160 - seen, col + seen : col + 152 - seen]
            inner = part[..., seen:-seen, seen:-seen]
            torch.testing.assert_close(inner, there, rtol=1e-9, atol=1e-12)
            assert inner.std() > 0


def test_heads_start_small_and_are_told_from_the_encoder():
    net = deeplab(classes=8, width=32, rates=(6, 12))
    heads = {id(parameter) for parameter in net.head_parameters()}
    encoder = {id(parameter) for parameter in net.encoder.parameters()}
    assert heads | encoder == {id(parameter) for parameter in net.parameters()}
    assert not heads & encoder
    branch = net.classifiers[0].branches[1]
    assert branch.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not branch.bias.any()


@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (3, 32, 32)])
def test_other_bands_are_refused(shape):
    with pytest.raises(ShapeError, match=r"\[samples, 3 bands, height, width\], found \["):
        deeplab()(torch.zeros(shape))


@pytest.mark.parametrize("size", [(4, 32), (32, 4)])
def test_images_too_small_name_a_tile_that_works(size):
    net = deeplab()
    with pytest.raises(ShapeError, match=r"at least 5 x 5 .*found .* use tiles of 8 or more"):
        net(torch.zeros(1, 3, *size))
    assert net(torch.zeros(1, 3, 8, 8))[-1].shape[-2:] == (2, 2)


@pytest.mark.parametrize("size", [(96, 128), (24, 32), (50, 70)])
def test_an_edge_stays_where_it_is_at_another_size_than_the_images(size):
    """Cells that tell left from right, shown at any size, change sides at the same place."""
    network = DeepLab(SmallEncoder(bands=1, width=2), bands=1, classes=2, levels=1, rates=[1])
    cells = torch.arange(16) * network.stride
    side = (cells - 30.0).expand(1, 1, 12, 16)
    logits = torch.cat([side, -side], 1)
    shown = network.upsample(logits, size, (48, 64))
    assert tuple(shown.shape[-2:]) == size
    middles = (torch.arange(size[1]) + 0.5) / size[1] * 64 - 0.5
    clear = (middles - 30).abs() > 0.5
    assert torch.equal(shown[0, 0, 0, clear] > 0, middles[clear] > 30)
