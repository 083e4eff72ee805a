"""From pixels to blended probabilities: the same as the whole image at once."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from rsadapt.errors import ShapeError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.normalise import Normaliser
from rsadapt.infer import tiling
from rsadapt.infer.answers import answers_of
from rsadapt.infer.pipeline import Network, predict_lane
from rsadapt.infer.tiling import plan

NORMALISE = Normaliser((100.0, 100.0), (50.0, 50.0))
MIXING = torch.tensor([[1.5, -0.5], [-1.0, 2.0], [0.3, -1.2]])
SMOOTHING = torch.tensor(np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]) / 81, dtype=torch.float32)


@dataclass
class MemoryRaster:
    """A raster that lies in memory and remembers what was read of it."""

    values: np.ndarray
    valid: np.ndarray
    block_shape: tuple = (16, 16)

    def __post_init__(self):
        self.path = Path("memory.tif")
        self.grid = Grid(*self.valid.shape, Affine.scale(1, -1), None)
        self.dtype = str(self.values.dtype)
        self.windows = []

    def read(self, window, bands):
        self.windows.append(window)
        rows, columns = window.slices
        return self.values[np.array(bands) - 1, rows, columns], self.valid[rows, columns]


def scene(height, width, *, seed=0, invalid=0.1, **options):
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 256, (2, height, width)).astype(np.uint8)
    return MemoryRaster(values, generator.random((height, width)) >= invalid, **options)


def pixelwise(images):
    return torch.einsum("cb,nbhw->nchw", MIXING, images).softmax(dim=1)


def seeing_two_pixels_around(images):
    """A network whose answer depends on 5 x 5 pixels."""
    kernel = SMOOTHING.expand(2, 1, 5, 5)
    return pixelwise(torch.nn.functional.conv2d(images, kernel, padding=2, groups=2))


NETWORK = Network(pixelwise, NORMALISE, (1, 2), 3, batch_size=3)


def predicted(
    raster,
    *,
    tile=16,
    overlap=4,
    blending="hann",
    first=0,
    stop=None,
    widest=10**6,
    area=None,
    cell=1,
    **changes,
):
    """Probabilities [classes, rows, width] and validity of a scene's rows, from all its lanes."""
    network = replace(NETWORK, **changes)
    cut = plan(
        raster.grid.shape, tile=tile, overlap=overlap, blending=blending, widest=widest, cell=cell
    )
    stop = stop or raster.grid.height
    shape = stop - first, raster.grid.width
    found, mapped = torch.full((3, *shape), torch.nan), np.zeros(shape, bool)
    times = np.zeros(shape, int)
    for lane in cut.lanes:
        row = first
        for window, probabilities, valid in predict_lane(
            raster, cut, lane, network, first=first, stop=stop, area=area
        ):
            assert row in (window.row, window.row - window.height)  # row after row
            row = window.row_stop if window.col_stop == lane.stop else window.row
            place = slice(window.row - first, window.row_stop - first), window.slices[1]
            found[:, *place], mapped[place] = probabilities, valid
            times[place] += 1
        assert row == stop
    assert (times == 1).all()
    return found, mapped


def whole(raster, predict=pixelwise):
    return predict(torch.from_numpy(NORMALISE(raster.values, raster.valid))[None])[0]


@st.composite
def tilings(draw):
    tile = draw(st.integers(1, 12))
    return tile, draw(st.integers(0, tile - 1))


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tilings(),
    st.sampled_from(["hann", "crop"]),
    st.integers(1, 5),
    st.integers(1, 70),
)
@settings(deadline=None, max_examples=60)
def test_tiled_is_whole_and_every_row_comes_once(shape, tiled, blending, batch, block):
    raster = scene(*shape, block_shape=(block, 16))
    tile, overlap = tiled
    found, valid = predicted(
        raster, tile=tile, overlap=overlap, blending=blending, batch_size=batch, readers=2
    )
    np.testing.assert_array_equal(valid, raster.valid)
    mask = torch.from_numpy(raster.valid)
    torch.testing.assert_close(found[:, mask], whole(raster)[:, mask], rtol=0, atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(5, 20), st.data())
@settings(deadline=None, max_examples=60)
def test_cropped_tiles_of_a_network_that_sees_less_than_the_overlap(height, width, tile, data):
    """Every pixel has the class that the whole image at once gives; on its own border, too."""
    overlap = data.draw(st.integers(4, tile - 1))
    raster = scene(height, width)
    found, _ = predicted(
        raster, tile=tile, overlap=overlap, blending="crop", predict=seeing_two_pixels_around
    )
    expected = whole(raster, seeing_two_pixels_around)
    mask = torch.from_numpy(raster.valid)
    torch.testing.assert_close(found[:, mask], expected[:, mask], rtol=0, atol=2e-6)
    first, second = expected.topk(2, dim=0).values
    apart = mask & (first - second > 4e-6)  # nearer ones may change places by rounding
    assert torch.equal(found.argmax(0)[apart], expected.argmax(0)[apart])


def of_cells(images):
    """A network that answers cells of 4 x 4 pixels, as those with an encoder do."""
    height, width = images.shape[-2:]
    images = torch.nn.functional.pad(images, (0, -width % 4, 0, -height % 4))
    cells = torch.nn.functional.avg_pool2d(images, 4)
    return pixelwise(cells.repeat_interleave(4, -1).repeat_interleave(4, -2))[..., :height, :width]


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.integers(2, 5),
    st.sampled_from(["hann", "crop"]),
    st.data(),
)
@settings(deadline=None, max_examples=40)
def test_a_place_lies_in_cells_alike_whatever_the_tile(shape, cells, blending, data):
    raster = scene(*shape)
    overlap = data.draw(st.integers(0, 4 * cells - 4))
    found, _ = predicted(
        raster,
        tile=4 * cells,
        overlap=overlap,
        blending=blending,
        predict=of_cells,
        cell=4,
        widest=data.draw(st.integers(1, 50)),
    )
    mask = torch.from_numpy(raster.valid)
    expected = whole(raster, of_cells)
    torch.testing.assert_close(found[:, mask], expected[:, mask], rtol=0, atol=2e-6)


@pytest.mark.parametrize("blending", ["hann", "crop"])
def test_rows_do_not_depend_on_where_a_call_begins_or_ends(blending):
    raster = scene(90, 50)
    every, _ = predicted(raster, blending=blending)
    for first, stop in [(0, 20), (20, 64), (33, 34), (64, 90), (89, 90)]:
        some, valid = predicted(raster, blending=blending, first=first, stop=stop)
        assert torch.equal(some, every[:, first:stop])
        np.testing.assert_array_equal(valid, raster.valid[first:stop])


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 40)),
    tilings(),
    st.sampled_from(["hann", "crop"]),
    st.integers(1, 20),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_lanes_and_calls_meet_without_a_seam(shape, tiled, blending, widest, data):
    raster = scene(*shape)
    tile, overlap = tiled
    first = data.draw(st.integers(0, shape[0] - 1))
    stop = data.draw(st.integers(first + 1, shape[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiling, "BLOCK", 4)
        found, valid = predicted(
            raster,
            tile=tile,
            overlap=overlap,
            blending=blending,
            widest=widest,
            first=first,
            stop=stop,
        )
    np.testing.assert_array_equal(valid, raster.valid[first:stop])
    mask = torch.from_numpy(valid)
    expected = whole(raster)[:, first:stop]
    torch.testing.assert_close(found[:, mask], expected[:, mask], rtol=0, atol=1e-6)


def test_a_pixel_of_one_tile_has_exactly_its_probability():
    raster = scene(16, 28, invalid=0)
    found, _ = predicted(raster)
    image = torch.from_numpy(NORMALISE(raster.values, raster.valid))
    left = pixelwise(image[None, :, :, :16])[0]
    assert torch.equal(found[:, :, :12], left[:, :, :12])


def test_neighbours_differ_smoothly_across_the_seam():
    answers = iter([0.9, 0.5])

    def step(images):
        first = torch.tensor([next(answers) for _ in images])[:, None, None, None]
        return torch.cat([first, 1 - first, 0 * first], 1).expand(-1, 3, *images.shape[-2:])

    found, _ = predicted(scene(8, 24, invalid=0), predict=step, overlap=8)
    first = found[0].numpy()
    np.testing.assert_allclose(first[:, :8], 0.9)
    np.testing.assert_allclose(first[:, 16:], 0.5)
    assert (np.diff(first[0, 7:17]) < 0).all()
    assert np.abs(np.diff(first[0])).max() < 0.1


def test_tiles_without_a_valid_pixel_are_skipped():
    raster = scene(16, 64, invalid=0)
    raster.valid[:, 16:] = False
    asked = []

    def counting(images):
        asked.append(len(images))
        return pixelwise(images)

    predicted(raster, predict=counting, overlap=0)
    assert asked == [1]


class Square:
    """The pixels of a window alone."""

    def __init__(self, window, shape):
        self.inside = np.zeros(shape, bool)
        self.inside[window.slices] = True

    def read(self, window):
        return self.inside[window.slices]


def test_what_lies_outside_an_area_is_not_mapped_predicted_or_read():
    raster = scene(1000, 90, block_shape=(100, 90))
    area = Square(Window(533, 40, 9, 12), raster.grid.shape)
    seen = []

    def counted(images):
        seen.append(len(images))
        return pixelwise(images)

    found, mapped = predicted(raster, area=area, predict=counted, tile=10, overlap=0)
    everything, valid = predicted(scene(1000, 90), tile=10, overlap=0)
    np.testing.assert_array_equal(mapped, valid & area.inside)
    inside = torch.from_numpy(mapped)
    torch.testing.assert_close(found[:, inside], everything[:, inside], rtol=0, atol=1e-6)
    assert sum(seen) == 4  # rows 530 and 540, columns 40 and 50
    assert [window.row for window in raster.windows] == [400]


@pytest.mark.parametrize("blending", ["hann", "crop"])
def test_inside_an_area_a_map_is_as_without_it(blending):
    raster = scene(300, 90, block_shape=(20, 90))
    area = Square(Window(133, 40, 30, 12), raster.grid.shape)
    found, mapped = predicted(
        raster, area=area, blending=blending, predict=seeing_two_pixels_around
    )
    everything, _ = predicted(raster, blending=blending, predict=seeing_two_pixels_around)
    rows, columns = slice(140, 150), slice(44, 48)  # of tiles that all touch the area
    assert mapped[rows, columns].any()
    torch.testing.assert_close(
        found[:, rows, columns], everything[:, rows, columns], rtol=0, atol=1e-6
    )


def test_a_scene_wholly_invalid_asks_nothing():
    _, valid = predicted(scene(20, 20, invalid=1), predict=None)
    assert not valid.any()


@pytest.mark.parametrize("readers", [1, 3])
def test_each_block_is_read_once_and_little_is_read_ahead(readers):
    raster = scene(4000, 20, block_shape=(100, 20))
    cut = plan(raster.grid.shape, tile=16, overlap=4, blending="hann", widest=512)
    network = replace(NETWORK, readers=readers)
    for window, *_ in predict_lane(raster, cut, cut.lanes[0], network, first=0, stop=4000):
        ahead = max(read.row for read in raster.windows) - window.row
        assert ahead <= 200 * (readers + 2)
    starts = sorted(window.row for window in raster.windows)
    assert starts == list(range(0, 4000, 200))


def test_network_runs_in_inference_mode_and_the_caller_does_not():
    modes = []

    def watching(images):
        modes.append(torch.is_inference_mode_enabled())
        return pixelwise(images)

    predicted(scene(20, 20), predict=watching)
    assert modes
    assert all(modes)
    assert not torch.is_inference_mode_enabled()


def test_answers_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 4, 8, 8\), found \(1, 3, 8, 8\)"):
        answers_of(torch.zeros(1, 2, 8, 8), predict=pixelwise, num_classes=4, size=(8, 8))
