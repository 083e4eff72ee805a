"""Scoring finished maps."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from rsadapt.classes import ClassScheme
from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.grid import Grid
from rsadapt.geo.writer import write_raster
from rsadapt.infer.layers import LAYERS
from rsadapt.infer.map_scores import COMPANIONS, MOSAIC, evaluate_maps, pair_by_name
from rsadapt.infer.metrics import ConfusionMatrix

SCHEME = ClassScheme(
    names=("water", "forest"),
    ids=((10, 11), (20,)),
    colours=((0, 0, 255), (0, 90, 0)),
    ignored=(0,),
)


def grid(height, width, *, left=400000):
    return Grid(height, width, Affine(2, 0, left, 0, -2, 5600000), rasterio.CRS.from_epsg(32632))


def touched(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_maps_count_as_their_arrays(tmp_path):
    generator = np.random.default_rng(0)
    label = generator.choice([0, 10, 11, 20], (40, 50)).astype(np.uint8)
    train = generator.choice([0, 1, 255], (40, 50)).astype(np.uint8)
    write_raster(tmp_path / "map.tif", SCHEME.decode(train), grid(40, 50), nodata=255)
    write_raster(tmp_path / "label.tif", label, grid(40, 50))
    pair = tmp_path / "map.tif", tmp_path / "label.tif"
    expected = ConfusionMatrix(2)
    expected.update(SCHEME.encode(label), train)
    counted = evaluate_maps([pair, pair], SCHEME)
    np.testing.assert_array_equal(counted.counts, (expected + expected).counts)
    assert counted.missed == 2 * expected.missed > 0


def test_nodata_of_a_label_is_left_out(tmp_path):
    write_raster(tmp_path / "map.tif", np.full((4, 4), 10, np.uint8), grid(4, 4), nodata=255)
    label = np.full((4, 4), 10, np.uint8)
    label[0] = 99
    write_raster(tmp_path / "label.tif", label, grid(4, 4), nodata=99)
    matrix = evaluate_maps([(tmp_path / "map.tif", tmp_path / "label.tif")], SCHEME)
    assert (matrix.counts.sum(), matrix.missed) == (12, 0)


def test_maps_on_another_grid(tmp_path):
    write_raster(tmp_path / "map.tif", np.full((4, 4), 10, np.uint8), grid(4, 4))
    write_raster(tmp_path / "label.tif", np.full((4, 4), 10, np.uint8), grid(4, 4, left=400002))
    with pytest.raises(DataError, match=r"map\.tif .*400000.*label\.tif .*400002"):
        evaluate_maps([(tmp_path / "map.tif", tmp_path / "label.tif")], SCHEME)


def test_ids_outside_the_table_name_the_file(tmp_path):
    for name, code in (("map.tif", 10), ("label.tif", 77)):
        write_raster(tmp_path / name, np.full((4, 4), code, np.uint8), grid(4, 4))
    with pytest.raises(DataError, match=r"label\.tif: .*77"):
        evaluate_maps([(tmp_path / "map.tif", tmp_path / "label.tif")], SCHEME)


def test_pairs_by_stem_with_or_without_the_suffix(tmp_path):
    maps = touched(
        tmp_path / "maps",
        "a_classes.tif",
        "a_confidence.tif",
        "a_classes.tif.aux.xml",
        "b.tif",
        "c_classes.tif",
    )
    labels = touched(tmp_path / "labels", "a.png", "b.tif", "c_classes.tif")
    assert pair_by_name(maps, labels) == [
        (maps / "a_classes.tif", labels / "a.png"),
        (maps / "b.tif", labels / "b.tif"),
        (maps / "c_classes.tif", labels / "c_classes.tif"),
    ]


def test_what_predict_writes_beside_class_maps_is_passed_over(tmp_path):
    assert ("classes", *COMPANIONS) == LAYERS
    beside = [f"{scene}_{layer}.tif" for scene in ("a", MOSAIC) for layer in LAYERS]
    maps = touched(tmp_path / "maps", *beside, "a_classes.qml", "a_areas.json", "a_polygons.gpkg")
    labels = touched(tmp_path / "labels", "a.tif")
    assert pair_by_name(maps, labels) == [(maps / "a_classes.tif", labels / "a.tif")]
    alone = touched(tmp_path / "alone", f"{MOSAIC}_classes.tif")
    whole = touched(tmp_path / "whole", f"{MOSAIC}.tif")
    assert pair_by_name(alone, whole)[0][0] == alone / f"{MOSAIC}_classes.tif"


def test_every_lone_raster_is_named(tmp_path):
    maps = touched(tmp_path / "maps", "a_classes.tif", "b_classes.tif")
    labels = touched(tmp_path / "labels", "b.tif", "c.tif")
    with pytest.raises(DataError, match=r"maps/a_classes\.tif, .*labels/c\.tif"):
        pair_by_name(maps, labels)


def test_two_maps_of_one_scene(tmp_path):
    maps = touched(tmp_path / "maps", "a.tif", "a_classes.tif")
    labels = touched(tmp_path / "labels", "a.tif")
    with pytest.raises(DataError, match=r"a\.tif and .*a_classes\.tif have one name"):
        pair_by_name(maps, labels)


def test_folders_without_rasters(tmp_path):
    empty = touched(tmp_path / "empty", "notes.txt")
    with pytest.raises(DataError, match="no raster"):
        pair_by_name(empty, empty)
    with pytest.raises(MissingFileError, match="gone"):
        pair_by_name(tmp_path / "gone", empty)
