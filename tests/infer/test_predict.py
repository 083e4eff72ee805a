"""Tiled prediction: the same map as the whole image at once; both maps are written or neither."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError, OutputExistsError, ShapeError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.infer.answers import answers_of
from rsadapt.infer.predict import blend_spans, predict_rows, predict_scene

SCHEME = ClassScheme(
    names=("water", "forest", "field"),
    ids=((10,), (20,), (30,)),
    colours=((0, 0, 255), (0, 90, 0), (220, 200, 90)),
)
NORMALISE = Normaliser((100.0, 100.0), (50.0, 50.0))
MIXING = torch.tensor([[1.5, -0.5], [-1.0, 2.0], [0.3, -1.2]])
BIAS = torch.tensor([0.0, 0.02, 0.013])[:, None, None]
"""Keeps the two best logits 0.001 apart for every uint8 pixel, since blending may decide ties."""


@dataclass
class MemoryRaster:
    """A raster that lies in memory and remembers what was read of it."""

    values: np.ndarray
    valid: np.ndarray

    def __post_init__(self):
        self.path = Path("memory.tif")
        self.grid = Grid(*self.valid.shape, Affine.scale(1, -1), None)
        self.windows = []

    def read(self, window, bands):
        self.windows.append(window)
        rows, columns = window.slices
        return self.values[np.array(bands) - 1, rows, columns], self.valid[rows, columns]


def scene(height, width, *, seed=0, invalid=0.1):
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 256, (2, height, width)).astype(np.uint8)
    return MemoryRaster(values, generator.random((height, width)) >= invalid)


def pixelwise(images):
    return (torch.einsum("cb,nbhw->nchw", MIXING, images) + BIAS).softmax(dim=1)


def tied(images):
    return torch.einsum("cb,nbhw->nchw", MIXING, images).softmax(dim=1)


def rows_of(raster, *, tile=16, overlap=4, batch_size=3, predict=pixelwise, **options):
    return predict_rows(
        raster,
        predict=predict,
        normalise=NORMALISE,
        bands=(1, 2),
        num_classes=3,
        tile=tile,
        overlap=overlap,
        batch_size=batch_size,
        **options,
    )


def stacked(rows):
    _, classes, confidence = zip(*rows, strict=True)
    return np.concatenate(classes), np.concatenate(confidence)


def whole(raster, predict=pixelwise):
    image = torch.from_numpy(NORMALISE(raster.values, raster.valid))
    confidence, classes = (part[0].numpy() for part in predict(image[None]).max(dim=1))
    return np.where(raster.valid, classes, 255), np.where(raster.valid, confidence, np.nan)


@st.composite
def tilings(draw):
    tile = draw(st.integers(1, 12))
    return tile, draw(st.integers(0, tile - 1))


@given(st.integers(1, 40), st.integers(1, 40), tilings(), st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_tiled_is_whole_and_every_row_comes_once_in_order(height, width, tiling, batch_size):
    raster = scene(height, width)
    tile, overlap = tiling
    rows = list(rows_of(raster, tile=tile, overlap=overlap, batch_size=batch_size))
    next_row = 0
    for row, classes, confidence in rows:
        assert row == next_row
        assert classes.shape == confidence.shape == (len(classes), width)
        assert (classes.dtype, confidence.dtype) == (np.uint8, np.float32)
        next_row += len(classes)
    assert next_row == height
    classes, confidence = stacked(rows)
    expected_classes, expected_confidence = whole(raster)
    np.testing.assert_array_equal(classes, expected_classes)
    np.testing.assert_allclose(confidence, expected_confidence, rtol=0, atol=1e-6)


class Square:
    """The pixels of a window alone."""

    def __init__(self, window, shape):
        self.inside = np.zeros(shape, bool)
        self.inside[window.slices] = True

    def read(self, window):
        return self.inside[window.slices]


def test_what_lies_outside_an_area_is_not_mapped_predicted_or_read():
    raster = scene(80, 90)
    area = Square(Window(33, 40, 9, 12), raster.grid.shape)
    seen = []

    def counted(images):
        seen.append(len(images))
        return pixelwise(images)

    rows = rows_of(raster, area=area, predict=counted, tile=10, overlap=0)
    classes, confidence = stacked(rows)
    everything, probability = stacked(rows_of(scene(80, 90), tile=10, overlap=0))
    np.testing.assert_array_equal(classes, np.where(area.inside, everything, 255))
    expected = np.where(area.inside, probability, np.nan)
    np.testing.assert_allclose(confidence, expected, rtol=0, atol=1e-6)
    assert sum(seen) == 4  # rows 30 and 40, columns 40 and 50
    assert [window.row for window in raster.windows] == [30, 40]


def test_only_ties_may_be_decided_otherwise():
    raster = scene(64, 64)
    raster.values[1, :32] = raster.values[0, :32]  # equal bands: the first two logits are equal
    classes, confidence = stacked(rows_of(raster, predict=tied, tile=3, overlap=2))
    expected_classes, expected_confidence = whole(raster, tied)
    differ = classes != expected_classes
    image = torch.from_numpy(NORMALISE(raster.values, raster.valid))
    best = tied(image[None])[0].sort(dim=0).values
    assert ((best[-1] - best[-2]).numpy()[differ] < 1e-6).all()
    np.testing.assert_allclose(confidence, expected_confidence, rtol=0, atol=1e-6)


@given(st.integers(1, 60), tilings())
def test_blend_weights_are_positive_and_sum_to_one(length, tiling):
    tile, overlap = tiling
    spans = blend_spans(length, tile, overlap)
    total, covered = np.zeros(length), np.zeros(length, int)
    for span in spans:
        assert (span.weights > 0).all()
        total[span.slice] += span.weights.numpy()
        covered[span.slice] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (total[covered == 1] == 1).all()


def test_blend_weights_are_flat_but_on_the_overlap():
    first, second, last = (span.weights.numpy() for span in blend_spans(40, 16, 4))
    assert (first[:12] == 1).all()
    assert (second[4:12] == 1).all()
    assert (last[4:] == 1).all()
    assert (np.diff(first[11:]) < 0).all()
    np.testing.assert_allclose(first[12:] + second[:4], 1, atol=1e-6)


def test_a_pixel_of_one_tile_has_exactly_its_probability():
    raster = scene(16, 28, invalid=0)
    image = torch.from_numpy(NORMALISE(raster.values, raster.valid))
    _, confidence = stacked(rows_of(raster))
    left = pixelwise(image[None, :, :, :16]).max(dim=1).values[0].numpy()
    np.testing.assert_array_equal(confidence[:, :12], left[:, :12])


def test_neighbours_differ_smoothly_across_the_seam():
    answers = iter([0.9, 0.5])

    def step(images):
        first = torch.tensor([next(answers) for _ in images])[:, None, None, None]
        return torch.cat([first, 1 - first, 0 * first], 1).expand(-1, 3, *images.shape[-2:])

    _, confidence = stacked(rows_of(scene(8, 24, invalid=0), predict=step, overlap=8))
    np.testing.assert_allclose(confidence[:, :8], 0.9)
    np.testing.assert_allclose(confidence[:, 16:], 0.5)
    assert (np.diff(confidence[0, 7:17]) < 0).all()
    assert np.abs(np.diff(confidence[0])).max() < 0.1


def test_tiles_without_a_valid_pixel_are_skipped():
    raster = scene(16, 64, invalid=0)
    raster.valid[:, 16:] = False
    asked = []

    def counting(images):
        asked.append(len(images))
        return pixelwise(images)

    classes, _ = stacked(rows_of(raster, predict=counting, overlap=0))
    assert asked == [1]
    assert (classes[:, 16:] == 255).all()
    assert (classes[:, :16] != 255).all()


def test_a_scene_wholly_invalid_asks_nothing():
    classes, confidence = stacked(rows_of(scene(20, 20, invalid=1), predict=None))
    assert (classes == 255).all()
    assert np.isnan(confidence).all()


def test_reads_one_tile_row_ahead_at_most():
    raster = scene(400, 20)
    for done, _ in enumerate(rows_of(raster), start=1):
        assert len(raster.windows) <= done + 1
    assert {(window.height, window.width) for window in raster.windows} == {(16, 20)}


def test_network_runs_in_inference_mode_and_the_caller_does_not():
    modes = []

    def watching(images):
        modes.append(torch.is_inference_mode_enabled())
        return pixelwise(images)

    for _ in rows_of(scene(20, 20), predict=watching):
        assert not torch.is_inference_mode_enabled()
    assert modes
    assert all(modes)


def test_progress_counts_the_rows_handed_over():
    told = []
    list(rows_of(scene(40, 10), progress=lambda *state: told.append(state)))
    assert told == [("memory.tif", 12, 40), ("memory.tif", 24, 40), ("memory.tif", 40, 40)]


@pytest.mark.parametrize(("tile", "overlap"), [(16, 16), (16, 20), (16, -1), (0, 0)])
def test_overlap_must_be_smaller_than_the_tile(tile, overlap):
    with pytest.raises(ConfigError, match=f"overlap .* found {overlap}"):
        rows_of(scene(8, 8), tile=tile, overlap=overlap)


def test_batches_hold_a_tile():
    with pytest.raises(ConfigError, match="batch_size"):
        rows_of(scene(8, 8), batch_size=0)


def test_answers_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 4, 8, 8\), found \(1, 3, 8, 8\)"):
        answers_of(torch.zeros(1, 2, 8, 8), predict=pixelwise, num_classes=4, size=(8, 8))


def test_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match=r"memory\.tif.*not finite"):
        list(rows_of(scene(8, 8), predict=lambda images: pixelwise(images) * torch.nan))


@pytest.fixture
def raster(tmp_path):
    data = scene(50, 70)
    grid = Grid(50, 70, Affine(2, 0, 400000, 0, -2, 5600000), rasterio.CRS.from_epsg(32632))
    values = np.where(data.valid, np.maximum(data.values, 1), 0).astype(np.uint8)
    write_raster(tmp_path / "scene.tif", values, grid, nodata=0)
    return Raster(tmp_path / "scene.tif")


def scene_to(out, raster, *, predict=pixelwise, overwrite=False):
    return predict_scene(
        raster,
        out,
        scheme=SCHEME,
        predict=predict,
        normalise=NORMALISE,
        bands=(1, 2),
        tile=32,
        overlap=8,
        batch_size=2,
        tags={"run": "42"},
        overwrite=overwrite,
    )


def failing_late(images):
    failing_late.calls += 1
    if failing_late.calls > 2:
        raise RuntimeError("power cut")
    return pixelwise(images)


def test_maps_lie_on_the_scene_and_open_styled(tmp_path, raster):
    written = scene_to(tmp_path / "maps", raster)
    assert written.classes == tmp_path / "maps" / "scene_classes.tif"
    assert written.confidence == tmp_path / "maps" / "scene_confidence.tif"
    assert written.pixels == 50 * 70
    assert written.seconds > 0
    for path in (written.classes, written.confidence):
        result = Raster(path)
        assert result.grid == raster.grid
        assert (result.nodata, result.stored, result.count) == (255, "uint8", 1)
        with rasterio.open(path) as dataset:
            assert dataset.tags()["run"] == "42"
    with rasterio.open(written.classes) as dataset:
        palette = dataset.colormap(1)
    assert [palette[code][:3] for code in SCHEME.codes] == list(SCHEME.colours)
    with rasterio.open(written.confidence) as dataset:
        assert dataset.scales[0] == pytest.approx(1 / 254)


def test_maps_hold_what_the_network_said(tmp_path, raster):
    written = scene_to(tmp_path, raster)
    values, valid = raster.read(None, (1, 2))
    classes, confidence = whole(MemoryRaster(values, valid))
    class_map, class_valid = Raster(written.classes).read()
    confidence_map, confidence_valid = Raster(written.confidence).read()
    np.testing.assert_array_equal(class_map[0], SCHEME.decode(classes))
    np.testing.assert_array_equal(class_valid, valid)
    np.testing.assert_array_equal(confidence_valid, valid)
    np.testing.assert_allclose(confidence_map[0][valid], confidence[valid], atol=0.51 / 254)


def test_existing_maps_are_refused_and_untouched(tmp_path, raster):
    confidence = tmp_path / "scene_confidence.tif"
    confidence.write_text("mine")
    with pytest.raises(OutputExistsError, match="scene_confidence"):
        scene_to(tmp_path, raster, predict=None)
    assert confidence.read_text() == "mine"
    assert not (tmp_path / "scene_classes.tif").exists()
    scene_to(tmp_path, raster, overwrite=True)
    assert Raster(confidence).grid == raster.grid


def test_maps_go_into_a_folder(tmp_path, raster):
    with pytest.raises(OutputExistsError, match=r"expected a folder .* a file at .*scene\.tif"):
        scene_to(raster.path, raster)


def test_a_failure_midway_leaves_nothing(tmp_path, raster):
    failing_late.calls = 0
    with pytest.raises(RuntimeError, match="power cut"):
        scene_to(tmp_path / "maps", raster, predict=failing_late)
    assert not (tmp_path / "maps").exists()


def test_a_failure_midway_keeps_the_maps_to_be_overwritten(tmp_path, raster):
    written = scene_to(tmp_path / "maps", raster)
    before = written.classes.read_bytes(), written.confidence.read_bytes()
    failing_late.calls = 0
    with pytest.raises(RuntimeError, match="power cut"):
        scene_to(tmp_path / "maps", raster, predict=failing_late, overwrite=True)
    assert (written.classes.read_bytes(), written.confidence.read_bytes()) == before
    assert {path.suffix for path in (tmp_path / "maps").iterdir()} == {".tif", ".xml", ".qml"}


def test_a_map_that_cannot_be_finished_takes_the_other_with_it(tmp_path, raster, monkeypatch):
    copy, copied = rasterio.shutil.copy, []

    def copy_once(*places, **options):
        if copied:
            raise OSError("disk full")
        copied.append(places)
        copy(*places, **options)

    monkeypatch.setattr(rasterio.shutil, "copy", copy_once)
    with pytest.raises(DataError, match="disk full"):
        scene_to(tmp_path / "maps", raster)
    assert copied
    assert not (tmp_path / "maps").exists()
