"""Encoders of segmentation-models-pytorch and timm."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from rsadapt.errors import CheckpointError, ConfigError, ShapeError
from rsadapt.nets import library
from rsadapt.nets.deeplab import DeepLab
from rsadapt.nets.library import LibraryEncoder, download

pytest.importorskip("segmentation_models_pytorch", reason="the extra 'networks' is not installed")

ANCHORS = {
    "mit_b0": "first",
    "tu-convnext_atto": "middle",
    "tu-convnextv2_atto": "middle",
    "tu-pvt_v2_b0": "first",
    "tu-regnety_002": "first",
    "tu-resnet18": "first",
}


def made(name, bands=3, **options):
    return LibraryEncoder(name, bands=bands, anchor=ANCHORS[name], **options)


def natively(encoder, image):
    encoder = copy.copy(encoder)
    encoder.native = True
    return encoder(image)


def tensors_of(name):
    """What a file of the library's weights holds: timm's names have dots, and a classifier."""
    net = library._made(name, 3)
    return {key.replace("stages_", "stages."): value for key, value in net.state_dict().items()}


@pytest.mark.parametrize("name", ANCHORS)
def test_stages_come_to_one_grid_of_any_bands_and_take_gradients(name):
    encoder = made(name, bands=5)
    image = torch.randn(2, 5, 65, 100, requires_grad=True)
    native, features = natively(encoder, image), encoder(image)
    rounds = {"first": lambda n, s: -(-n // s), "middle": lambda n, s: n // s}[encoder.anchor]
    strides = (4, 8, 16, 32)
    assert [tuple(f.shape[-2:]) for f in native] == [
        (rounds(65, s), rounds(100, s)) for s in strides
    ]
    assert {tuple(f.shape[-2:]) for f in features} == {(rounds(65, 8), rounds(100, 8))}
    assert tuple(f.shape[1] for f in native) == encoder.channels
    assert [f.shape[1] for f in features] == list(encoder.channels[1:])
    sum(value.square().mean() for value in features).backward()
    assert image.grad.abs().sum((0, 2, 3)).min() > 0
    assert all(p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize("name", ANCHORS)
def test_cells_lie_where_it_says(name):
    """A network of symmetric kernels sees an image turned round as itself turned round.

    Attention looks everywhere, at keys of coarser cells yet, and says nothing of places.
    """
    encoder = made(name, native=True).double().eval()
    for path, layer in encoder.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight = nn.Parameter(layer.weight + layer.weight.flip(2, 3))
        elif path.endswith("attn.proj"):
            nn.init.zeros_(layer.weight)
    size = 97 if encoder.anchor == "first" else 96
    image = torch.randn(1, 3, size, size, dtype=torch.float64)
    both = zip(encoder(image), encoder(image.flip(2, 3)), strict=True)
    for plain, turned in both:
        torch.testing.assert_close(turned, plain.flip(2, 3))


@pytest.mark.parametrize("anchor", ["first", "middle"])
def test_coarser_stages_are_brought_to_their_places(anchor):
    """Maps that tell where their cells are still do, on the finer grid, off its borders."""

    def places(stride, count):
        offset = 0 if anchor == "first" else (stride - 1) / 2
        return (
            (stride * torch.arange(count) + offset)
            .double()[None, None, None]
            .expand(1, 1, count, -1)
        )

    finer = library.brought_to(places(32, 4), 4, (13, 13), anchor)
    torch.testing.assert_close(finer[..., 2:11], places(8, 13)[..., 2:11])


@pytest.mark.parametrize("name", ["mit_b0", "tu-convnext_atto"])
@pytest.mark.parametrize("recompute", [True, False])
def test_a_step_follows_from_its_samples_alone(name, recompute):
    encoder = made(name).train()
    image = torch.randn(2, 3, 64, 64)
    plain = encoder(image)[-1]
    other = copy.deepcopy(encoder)
    other.recompute = recompute
    again = other(image)[-1]
    assert torch.equal(plain, again)
    plain.square().mean().backward()
    again.square().mean().backward()
    for ours, theirs in zip(encoder.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", ["mit_b0", "tu-convnext_atto", "tu-regnety_002"])
def test_tensors_of_a_file_arrive_unchanged(name):
    tensors = tensors_of(name) | {"head.fc.weight": torch.zeros(1000, 8)}
    encoder, source = made(name, tensors=tensors), library._made(name, 3)
    given = {key.replace("stages.", "stages_"): value for key, value in tensors.items()}
    del given["head.fc.weight"]
    source.load_state_dict(given)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        theirs = [f for f in source.eval()(image) if f.shape[1] and f.shape[-1] <= 16]
        for ours, expected in zip(natively(encoder.eval(), image), theirs, strict=True):
            torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("bands", [1, 2, 4, 6, 13])
def test_three_bands_are_spread_over_any_number(bands):
    tensors = tensors_of("mit_b0")
    weight = tensors["patch_embed1.proj.weight"]
    ours = made("mit_b0", bands=bands, tensors=tensors).stages[0][0].proj.weight
    for band in range(bands):
        torch.testing.assert_close(ours[:, band], weight[:, band % 3] * 3 / bands)
    grey = torch.randn(1, 1, 64, 64)
    scale = [
        functional.conv2d(grey.expand(-1, w.shape[1], -1, -1), w).std() for w in (ours, weight)
    ]
    assert 0.5 < scale[0] / scale[1] < 2
    if bands % 3 == 0:  # a grey image gives what it gave
        torch.testing.assert_close(ours.sum(1), weight.sum(1))


def test_files_of_other_encoders_are_refused():
    tensors = tensors_of("mit_b0")
    with pytest.raises(
        CheckpointError, match=r"patch_embed1\.proj\.weight \(\[64, 3, 7, 7\] in the"
    ):
        made("mit_b0", tensors=tensors_of("mit_b1"))
    with pytest.raises(CheckpointError, match=r"1 do not fit, such as block1\.7\.x \(no place"):
        made("mit_b0", tensors=tensors | {"block1.7.x": torch.zeros(1)})
    del tensors["block2.0.attn.q.weight"]
    with pytest.raises(CheckpointError, match=r"block2\.0\.attn\.q\.weight \(missing\)"):
        made("mit_b0", tensors=tensors)


def test_unknown_names_are_told_with_those_like_them():
    with pytest.raises(
        ConfigError, match=r"has no encoder convnext_tinny; did you mean tu-convnext_tiny"
    ):
        LibraryEncoder("tu-convnext_tinny", bands=3, anchor="middle")
    with pytest.raises(
        ConfigError, match=r"no weights convnext_tiny\.in12; did you .*tu-convnext_tiny\.in12k"
    ):
        download("tu-convnext_tiny.in12")


@pytest.mark.parametrize("name", ["mit_b0", "tu-convnext_atto"])
def test_the_extra_missing_is_told_with_its_cure(name, monkeypatch):
    for module in ("timm", "segmentation_models_pytorch"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install 'rsadapt\[networks\]'"):
        made(name)


def test_weights_are_where_the_library_keeps_them():
    assert download("mit_b0").repository == "smp-hub/mit_b0.imagenet"
    assert download("tu-convnext_tiny.fb_in1k").repository == "timm/convnext_tiny.fb_in1k"


def test_images_too_small_are_refused():
    net = DeepLab(made("mit_b0"), bands=3, classes=2)
    with pytest.raises(ShapeError, match="at least 33 x 33 pixels, found 32 x 40; use tiles of 64"):
        net(torch.zeros(1, 3, 32, 40))
