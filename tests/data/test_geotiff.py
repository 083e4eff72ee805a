"""Windows of GeoTIFF scenes."""

from copy import copy

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.data.augment import Augmenter
from rsadapt.data.geotiff import LEAST_SIDE, GridWindows, RandomWindows, check_sides
from rsadapt.data.region import Region, Scene
from rsadapt.errors import DataError
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster

SHAPE = (50, 70)
UTM = rasterio.CRS.from_epsg(32632)
SCHEME = ClassScheme(("a", "b"), ((1,), (2,)), ((0, 0, 0), (9, 9, 9)), ignored=(0,))
AS_IT_IS = Normaliser((0.0, 0.0), (1.0, 1.0))


def grid(shape=SHAPE, left=0):
    return Grid(*shape, Affine(2, 0, left, 0, -2, 0), UTM)


def places(shape=SHAPE):
    """Every pixel's number, from 1 on."""
    return np.arange(1, 1 + shape[0] * shape[1]).reshape(shape)


def make_scene(folder, name="scene", *, shape=SHAPE, area=None, invalid=None):
    """A scene of two bands that say where a pixel is; its labels are 1 and 2, and 0 now and then.

    Without other wishes, the first quarter of its columns is invalid.
    """
    number = places(shape)
    gone = np.indices(shape)[1] < shape[1] // 4 if invalid is None else invalid
    image = np.where(gone, 0, [number, 2 * number]).astype(np.int32)
    label = np.where(number % 7 == 0, 0, 1 + number % 2).astype(np.uint8)
    write_raster(folder / f"{name}.tif", image, grid(shape), nodata=0)
    write_raster(folder / f"{name}_label.tif", label, grid(shape))
    return Scene(
        Raster(folder / f"{name}.tif"),
        Raster(folder / f"{name}_label.tif"),
        area or Window(0, 0, *shape),
    )


def region(*scenes):
    return Region("source", scenes, (1, 2))


def random_windows(*scenes, size=16, seed=3, scheme=SCHEME, **options):
    return RandomWindows(
        region(*scenes), size=size, seed=seed, normalise=AS_IT_IS, scheme=scheme, **options
    )


def assert_same(one, two):
    assert (one.name, one.grid) == (two.name, two.grid)
    assert torch.equal(one.image, two.image)
    assert torch.equal(one.valid, two.valid)
    assert torch.equal(one.label, two.label)


def window_of(sample):
    """The window that a sample's grid says it is."""
    t = sample.grid.transform
    return Window(round(-t.f / 2), round(t.c / 2), *sample.grid.shape)


def test_sample_is_a_pure_function_of_seed_and_number(tmp_path):
    scene = make_scene(tmp_path)
    augment = Augmenter(["dihedral"])
    forth = random_windows(scene, augment=augment)
    back = random_windows(scene, augment=Augmenter(["dihedral"]))
    samples = [forth[number] for number in range(6)]
    for number in reversed(range(6)):
        assert_same(back[number], samples[number])
    assert len({sample.name for sample in samples}) > 1
    others = [random_windows(scene, seed=4)[number] for number in range(6)]
    assert [sample.name for sample in others] != [sample.name for sample in samples]


def test_sample_is_what_its_grid_says(tmp_path):
    windows = random_windows(make_scene(tmp_path))
    for number in range(20):
        sample = windows[number]
        rows, cols = window_of(sample).slices
        there = torch.from_numpy(places()[rows, cols])
        valid = torch.from_numpy(np.indices(SHAPE)[1][rows, cols] >= SHAPE[1] // 4)
        assert torch.equal(sample.valid, valid)
        assert torch.equal(sample.image, torch.stack([there, 2 * there]).float() * valid)
        label = torch.where(there % 7 == 0, IGNORE_INDEX, there % 2)
        assert torch.equal(sample.label, label.where(valid, IGNORE_INDEX))
        assert (sample.image.dtype, sample.label.dtype) == (torch.float32, torch.int64)


def test_windows_lie_in_the_area_and_reach_all_of_it(tmp_path):
    area = Window(9, 30, 31, 27)
    windows = random_windows(make_scene(tmp_path, area=area))
    seen = np.zeros(SHAPE, bool)
    for number in range(300):
        window = window_of(windows[number])
        assert area.contains(window)
        assert (window.height, window.width) == (16, 16)
        seen[window.slices] = True
    assert seen[area.slices].mean() > 0.95


def test_scenes_are_drawn_in_proportion_to_their_pixels(tmp_path):
    valid = np.zeros(SHAPE, bool)
    small = make_scene(tmp_path, "small", area=Window(0, 0, 20, 20), invalid=valid)
    large = make_scene(tmp_path, "large", area=Window(0, 0, 40, 60), invalid=valid)
    windows = random_windows(small, large)
    names = [windows[number].name.split(".")[0] for number in range(300)]
    assert names.count("small") / 300 == pytest.approx(400 / 2800, abs=0.06)


@pytest.mark.parametrize("least", [0.25, 0.9])
def test_windows_have_enough_valid_pixels(tmp_path, least):
    windows = random_windows(make_scene(tmp_path), least_valid=least)
    assert min(windows[number].valid.float().mean() for number in range(60)) >= least


def test_where_no_window_has_enough_the_best_is_taken(tmp_path):
    invalid = np.ones(SHAPE, bool)
    invalid[20:30, 20:30] = False
    windows = random_windows(make_scene(tmp_path, invalid=invalid), least_valid=1)
    assert min(windows[number].valid.sum() for number in range(10)) >= 50


def test_any_window_will_do_as_long_as_it_has_a_valid_pixel(tmp_path):
    invalid = np.ones(SHAPE, bool)
    invalid[20:30, 20:30] = False
    windows = random_windows(make_scene(tmp_path, invalid=invalid), least_valid=0)
    assert min(windows[number].valid.sum() for number in range(20)) >= 1


def test_a_tenth_of_valid_pixels_is_enough(tmp_path):
    """Of 32 draws all miss now and then; no sample fails, and few have less than they should."""
    invalid = np.ones((400, 400), bool)
    invalid[150:276, 240:366] = False
    windows = random_windows(make_scene(tmp_path, shape=(400, 400), invalid=invalid), size=32)
    shares = [windows[number].valid.float().mean().item() for number in range(400)]
    assert min(shares) > 0
    assert np.mean(np.array(shares) < 0.25) < 0.06


def test_a_hundredth_of_valid_pixels_is_found(tmp_path):
    invalid = np.ones((400, 400), bool)
    invalid[150:170, 240:260] = False
    windows = random_windows(make_scene(tmp_path, shape=(400, 400), invalid=invalid))
    assert all(windows[number].valid.any() for number in range(60))


@pytest.mark.parametrize("sampling", ["class_rarity", "label_presence"])
def test_sampling_by_labels_is_a_pure_function_too(tmp_path, sampling):
    scene = make_scene(tmp_path)
    forth, back = (random_windows(scene, sampling=sampling, least_valid=0.6) for _ in range(2))
    samples = [forth[number] for number in range(6)]
    for number in reversed(range(6)):
        assert_same(back[number], samples[number])
    assert len({sample.name for sample in samples}) > 1
    assert min(sample.valid.float().mean() for sample in samples) >= 0.6


def test_rare_classes_are_in_most_windows(tmp_path):
    """Class b at one pixel of 3500: hardly ever met by chance, nearly always by rarity."""
    scene = make_scene(tmp_path)
    label = np.ones(SHAPE, np.uint8)
    label[30, 60] = 2
    write_raster(tmp_path / "scene_label.tif", label, grid())
    scene = Scene(scene.image, Raster(tmp_path / "scene_label.tif"), scene.area)
    met = {
        sampling: [
            bool((random_windows(scene, sampling=sampling)[number].label == 1).any())
            for number in range(60)
        ]
        for sampling in ("uniform", "class_rarity")
    }
    assert sum(met["uniform"]) < 20
    assert all(met["class_rarity"])


def test_sampling_by_labels_needs_labels(tmp_path):
    scene = make_scene(tmp_path)
    with pytest.raises(ValueError, match="class_rarity needs a class table"):
        random_windows(scene, scheme=None, sampling="class_rarity")
    write_raster(tmp_path / "scene_label.tif", np.zeros(SHAPE, np.uint8), grid())
    bare = Scene(scene.image, Raster(tmp_path / "scene_label.tif"), scene.area)
    with pytest.raises(DataError, match=r"source region: no labelled valid pixel"):
        random_windows(bare, sampling="label_presence")


def test_labels_are_read_once_to_check_and_to_sample(tmp_path):
    scene = make_scene(tmp_path)
    whole = region(scene)
    whole.check(SCHEME)
    (tmp_path / "scene_label.tif").unlink()
    counted = whole.label_cells(SCHEME)
    assert whole.label_cells(SCHEME, most=64) is counted
    np.testing.assert_array_equal(whole.class_counts(SCHEME), counted.totals)


def test_scene_without_a_valid_pixel(tmp_path):
    windows = random_windows(make_scene(tmp_path, invalid=np.ones(SHAPE, bool)))
    with pytest.raises(
        DataError, match="source region: 1024 windows of 16 x 16 met no valid pixel"
    ):
        windows[0]


def test_without_a_class_table_labels_are_never_opened(tmp_path):
    scene = make_scene(tmp_path)
    (tmp_path / "scene_label.tif").unlink()
    blind = random_windows(scene, scheme=None, augment=Augmenter(["dihedral"]))
    assert all(blind[number].label is None for number in range(5))
    with pytest.raises(FileNotFoundError, match=r"scene_label\.tif"):
        random_windows(scene)[0]


def test_labels_do_not_change_which_windows_are_drawn(tmp_path):
    scene = make_scene(tmp_path)
    augment = Augmenter(["dihedral"])
    seeing, blind = (random_windows(scene, scheme=s, augment=augment) for s in (SCHEME, None))
    for number in range(5):
        assert torch.equal(seeing[number].image, blind[number].image)


def test_scene_smaller_than_a_window(tmp_path):
    small = make_scene(tmp_path, "small", shape=(50, 15))
    with pytest.raises(DataError, match=r"small\.tif: the scene has 50 x 15 .*16 x 16; choose"):
        random_windows(make_scene(tmp_path), small)


def test_areas_smaller_than_a_window(tmp_path):
    narrow = make_scene(tmp_path, area=Window(0, 0, 50, 15))
    with pytest.raises(DataError, match=r"no training area \(at most 50 x 15 pixels\) .* share"):
        random_windows(narrow)
    wide = make_scene(tmp_path, "wide")
    windows = random_windows(narrow, wide)
    assert {windows[number].name.split(".")[0] for number in range(20)} == {"wide"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    valid = np.zeros((40, 30), bool)
    return [make_scene(folder, name, shape=(40, 30), invalid=valid) for name in ("one", "two")]


@settings(max_examples=60)
@given(
    pixel=st.floats(0.01, 9_000),
    left=st.floats(-1e7, 1e7),
    size=st.integers(1, 40),
    data=st.data(),
)
def test_no_window_is_ever_a_pixel_too_large(scenes, pixel, left, size, data):
    image = copy(scenes[0].image)
    image.grid = Grid(40, 30, Affine(pixel, 0, left, 0, -pixel, left / 3), image.grid.crs)
    row, col = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 29))
    height, width = data.draw(st.integers(1, 40 - row)), data.draw(st.integers(1, 30 - col))
    area = Window(row, col, height, width)
    scene = Scene(image, scenes[0].label, area)
    every = ClassScheme(("all",), ((0, 1, 2),), ((0, 0, 0),))
    samples = list(GridWindows(region(scene), size=size, normalise=AS_IT_IS, scheme=every))
    sides = tuple(max(LEAST_SIDE, min(size, side)) for side in (height, width))
    assert {sample.valid.shape for sample in samples} == {sides}  # a network sees LEAST_SIDE
    if LEAST_SIDE <= size <= min(height, width):
        drawn = random_windows(scene, size=size, seed=size, scheme=every)
        samples += [drawn[number] for number in range(4)]
        assert {sample.valid.shape for sample in samples} == {(size, size)}
    for sample in samples:
        assert sample.image.shape[1:] == sample.label.shape == sample.valid.shape
        assert sample.grid.shape == sample.valid.shape
        first = int(sample.image[0, 0, 0]) - 1
        window = Window(first // 30, first % 30, *sample.valid.shape)
        assert image.grid.window.contains(window)
        assert area.contains(window) or LEAST_SIDE in sides
        assert np.array_equal(sample.image[0], places((40, 30))[window.slices])


@settings(max_examples=40)
@given(st.integers(7, 50), st.data())
def test_grid_windows_count_every_pixel_of_the_area_once(scenes, size, data):
    areas = []
    for _ in scenes:
        row, col = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 29))
        height, width = data.draw(st.integers(1, 40 - row)), data.draw(st.integers(1, 30 - col))
        areas.append(Window(row, col, height, width))
    parts = [Scene(s.image, s.label, area) for s, area in zip(scenes, areas, strict=True)]
    every = ClassScheme(("all",), ((0, 1, 2),), ((0, 0, 0),))
    windows = GridWindows(region(*parts), size=size, normalise=AS_IT_IS, scheme=every)
    counted = {f"{name}.tif": np.zeros((40, 30), int) for name in ("one", "two")}
    samples = list(windows)
    assert len(samples) == len(windows)
    for sample in samples:
        window = window_of(sample)
        counted[sample.name.split()[0]][window.slices] += sample.label.numpy() == 0
        np.testing.assert_array_equal(sample.image[0], places((40, 30))[window.slices])
    for found, area in zip(counted.values(), areas, strict=True):
        expected = np.zeros((40, 30), int)
        expected[area.slices] = 1
        np.testing.assert_array_equal(found, expected)


def test_narrow_areas_are_looked_at_with_what_lies_beside_them(tmp_path):
    scene = make_scene(tmp_path, area=Window(0, 68, 50, 2))
    windows = GridWindows(region(scene), size=32, normalise=AS_IT_IS, scheme=SCHEME)
    assert [sample.grid.shape for sample in windows] == [(32, 16)] * 2
    counted = sum((sample.label != IGNORE_INDEX).sum() for sample in windows)
    assert counted == np.count_nonzero(places()[:, 68:] % 7)
    low = make_scene(tmp_path, "low", shape=(9, 40))
    with pytest.raises(DataError, match=r"low\.tif: the scene has 9 x 40 pixels, too narrow"):
        check_sides(region(low))


def test_grid_windows_leave_out_invalid_and_unlabelled_pixels(tmp_path):
    windows = GridWindows(region(make_scene(tmp_path)), size=32, normalise=AS_IT_IS, scheme=SCHEME)
    labels = [sample.label for sample in windows]
    valid = np.indices(SHAPE)[1] >= SHAPE[1] // 4
    number = places()[valid]
    for index in (0, 1):
        expected = np.count_nonzero((number % 7 != 0) & (number % 2 == index))
        assert sum((label == index).sum() for label in labels) == expected


def test_statistics_leave_out_nodata_and_what_lies_outside_the_area(tmp_path):
    area = Window(5, 10, 40, 50)
    found = region(make_scene(tmp_path, area=area)).statistics()
    inside = places()[area.slices][:, SHAPE[1] // 4 - 10 :]
    assert found.mean == pytest.approx((inside.mean(), 2 * inside.mean()))
    assert found.std == pytest.approx((inside.std(), 2 * inside.std()))
    assert (found.minimum, found.maximum) == (
        (inside.min(), 2 * inside.min()),
        (inside.max(), 2 * inside.max()),
    )
    assert (found.valid, found.total) == (inside.size, 2000)


def test_statistics_of_a_region_without_data_name_it(tmp_path):
    empty = region(make_scene(tmp_path, invalid=np.ones(SHAPE, bool)))
    with pytest.raises(DataError, match=r"source region: .*no valid pixel"):
        empty.statistics()


def test_an_empty_band_is_named(tmp_path):
    scene = make_scene(tmp_path)
    values, _ = scene.image.read()
    write_raster(scene.image.path, np.stack([values[0], values[0] * 0]), grid(), nodata=0)
    with pytest.raises(DataError, match=r"without one of its own are bands \[2\]: .*'bands'"):
        region(Scene(Raster(scene.image.path), None, scene.area)).statistics()


@pytest.fixture
def wide(tmp_path):
    """A region of two scenes of many blocks, a third of one of them invalid."""
    values = np.random.default_rng(0).integers(1, 9000, (2, 2, 1500, 2000)).astype(np.uint16)
    values[1] += 5000
    values[0, :, :500] = 0
    for number, scene in enumerate(values):
        write_raster(tmp_path / f"{number}.tif", scene, grid(scene.shape[1:]), nodata=0)
    files = [Raster(tmp_path / f"{number}.tif") for number in range(2)]
    return region(*(Scene(file, None, file.grid.window) for file in files))


def test_a_sample_is_spread_over_the_region_and_says_its_share(wide):
    whole, told = wide.statistics(), []
    found = wide.statistics(lambda *call: told.append(call), pixels=1_500_000)
    assert (whole.basis, whole.pixels) == ("all pixels", 6_000_000)
    assert found.total == 6_000_000
    assert found.pixels == pytest.approx(1_500_000, rel=0.15)
    assert found.basis == f"a sample of {100 * found.pixels / 6e6:.2g} % of pixels"
    assert len(told) > 4
    assert found == wide.statistics(pixels=1_500_000)
    assert found.valid_share == pytest.approx(whole.valid_share, abs=0.1)
    assert found.mean == pytest.approx(whole.mean, rel=0.05)
    assert np.array(found.percentiles) == pytest.approx(np.array(whole.percentiles), rel=0.1)
    assert wide.statistics(pixels=10**7) == whole


def test_a_sample_that_meets_nothing_says_so(tmp_path):
    invalid = np.ones((900, 900), bool)
    invalid[-1, -1] = False
    some = region(make_scene(tmp_path, shape=(900, 900), invalid=invalid))
    assert some.statistics().valid == 1
    with pytest.raises(DataError, match=r"it may be the sample: raise 'statistics\.pixels'"):
        some.statistics(pixels=10)


def test_fingerprint_of_a_region_tells_whether_its_statistics_still_hold(wide, tmp_path):
    first, second = wide.scenes
    mark = wide.fingerprint()
    again = [Scene(Raster(s.image.path), None, s.area) for s in wide.scenes]
    assert region(*again).fingerprint() == mark == wide.fingerprint(pixels=10**7)
    assert Region("target", tuple(again), (1, 2)).fingerprint() == mark
    coarse = Grid(750, 1000, Affine(4, 0, 0, 0, -4, 0), UTM)
    shifted = Grid(750, 1000, Affine(4, 0, 4, 0, -4, 0), UTM)
    others = [
        wide.fingerprint(pixels=1000),
        region(first).fingerprint(),
        Region("source", wide.scenes, (2, 1)).fingerprint(),
        region(first, Scene(second.image, None, Window(0, 0, 1500, 1999))).fingerprint(),
    ]
    for kind, place in (("nearest", coarse), ("bilinear", coarse), ("nearest", shifted)):
        image = WarpedRaster(first.image, place, kind)
        others.append(region(Scene(image, None, place.window)).fingerprint())
    stored = tmp_path / "1.tif"
    stored.write_bytes(stored.read_bytes() + b"0")
    assert len({mark, *others, region(*again).fingerprint()}) == 9


def test_fingerprint_sees_the_sources_of_a_mosaic(wide, tmp_path):
    file = tmp_path / "all.vrt"
    rasterio.shutil.copy(tmp_path / "0.tif", file, driver="VRT")
    mosaic = region(Scene(Raster(file), None, Window(0, 0, 1500, 2000)))
    before = mosaic.fingerprint()
    stored = tmp_path / "0.tif"
    stored.write_bytes(stored.read_bytes() + b"0")
    assert mosaic.fingerprint() != before


def test_ground_pixel_is_the_median_of_the_scenes(tmp_path):
    def scene(pixel, crs=UTM):
        place = Grid(20, 20, Affine(pixel, 0, 5e5, 0, -pixel, 5e6), crs)
        write_raster(tmp_path / f"{pixel}.tif", np.ones((2, 20, 20), np.uint8), place)
        return Scene(Raster(tmp_path / f"{pixel}.tif"), None, place.window)

    assert region(scene(2), scene(9), scene(3)).ground_pixel == pytest.approx(3)
    assert region(scene(4, crs=None)).ground_pixel is None


def test_classes_are_counted_at_valid_pixels(tmp_path):
    found = region(make_scene(tmp_path), make_scene(tmp_path, "other")).class_counts(SCHEME)
    number = places()[:, SHAPE[1] // 4 :]
    kinds = np.where(number % 7 == 0, 2, number % 2)
    np.testing.assert_array_equal(found, 2 * np.bincount(kinds.ravel()))


def test_unknown_ids_name_the_label_file(tmp_path):
    scheme = ClassScheme(("a",), ((1,),), ((0, 0, 0),), ignored=(0,))
    with pytest.raises(DataError, match=r"scene_label\.tif: .*2 \("):
        region(make_scene(tmp_path)).class_counts(scheme)


def test_scene_without_labels(tmp_path):
    scene = make_scene(tmp_path)
    bare = Scene(scene.image, None, scene.area)
    assert not region(scene, bare).labelled
    with pytest.raises(DataError, match=r"scene\.tif: this scene has no labels"):
        bare.read_label(Window(0, 0, 2, 2), SCHEME)
