"""Polygons as files: whole or not at all, and read by geopandas without a warning."""

import importlib.util
import re
import shutil
import subprocess
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely

from rsadapt.classes import ClassScheme
from rsadapt.errors import ConfigError, DataError, OutputExistsError
from rsadapt.geo import polygon_files
from rsadapt.geo.polygon_files import FORMATS, check_polygon_file, write_polygons

SCHEME = ClassScheme(("water", "field & <path>"), ((3,), (5,)), ((0, 0, 255), (0, 90, 0)))


def a_table(count=2, crs="EPSG:32756"):
    return geopandas.GeoDataFrame(
        {
            "class": np.array([3, 5] * count, np.int32)[:count],
            "name": (["water", "field & <path>"] * count)[:count],
            "area_m2": np.full(count, np.nan),
            "confidence": np.linspace(0, 1, count),
        },
        geometry=[shapely.box(k, 0, k + 1, 1) for k in range(count)],
        crs=crs,
    )


def read(path):
    return (geopandas.read_parquet if path.suffix == ".parquet" else geopandas.read_file)(path)


def needs(suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="GeoParquet needs pyarrow")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("crs", ["EPSG:32756", "EPSG:4326", None])
@pytest.mark.parametrize("count", [0, 300])
def test_what_is_written_is_read(tmp_path, suffix, crs, count):
    needs(suffix)
    table = a_table(count, crs)
    written = write_polygons(tmp_path / "new" / f"a{suffix}", table, SCHEME, note="told")
    assert (written.polygons, written.note) == (count, "told")
    assert sorted(written.path.parent.iterdir()) == sorted(written.files)
    found = read(written.path)
    assert found.crs == table.crs
    assert list(found.columns) == list(table.columns)
    found = found.sort_values("confidence", ignore_index=True)  # FlatGeobuf orders by place
    assert found["class"].tolist() == table["class"].tolist()
    assert found["name"].tolist() == table["name"].tolist()
    assert found["area_m2"].isna().all()
    assert found["confidence"].tolist() == table["confidence"].tolist()
    assert shapely.equals(found.geometry.array, table.geometry.array).all()


def test_a_geopackage_has_one_layer_of_polygons(tmp_path):
    write_polygons(tmp_path / "a.gpkg", a_table(0), SCHEME)
    assert pyogrio.list_layers(tmp_path / "a.gpkg").tolist() == [["polygons", "Polygon"]]


def test_the_legend_is_the_class_table(tmp_path):
    for only, expected in (
        ((), [("3", "water", "0,0,255,255"), ("5", "field & <path>", "0,90,0,255")]),
        (("water",), [("3", "water", "0,0,255,255")]),
    ):
        style = write_polygons(
            tmp_path / "a.gpkg", a_table(), SCHEME, only=only, overwrite=True
        ).style
        root = ElementTree.fromstring(style.read_text(encoding="utf-8"))
        colours = {
            symbol.get("name"): symbol.find(".//Option[@name='color']").get("value")
            for symbol in root.iter("symbol")
        }
        found = [
            (entry.get("value"), entry.get("label"), colours[entry.get("symbol")])
            for entry in root.iter("category")
        ]
        assert found == expected
        assert root.find("renderer-v2").get("attr") == "class"


def test_nothing_is_replaced_unasked(tmp_path):
    for name in ("a.gpkg", "a.qml"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputExistsError, match=rf"{name} exists already and is left as"):
            write_polygons(tmp_path / "a.gpkg", a_table(), SCHEME)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    (tmp_path / "a.qml").touch()
    with pytest.raises(OutputExistsError, match=r"a\.qml exists already"):
        check_polygon_file(tmp_path / "a.gpkg")
    (tmp_path / "a.qml").unlink()
    write_polygons(tmp_path / "a.gpkg", a_table(2), SCHEME)
    write_polygons(tmp_path / "a.gpkg", a_table(3), SCHEME, overwrite=True)
    assert len(read(tmp_path / "a.gpkg")) == 3
    (tmp_path / "b.gpkg").mkdir()
    with pytest.raises(OutputExistsError, match=r"b\.gpkg exists already"):
        check_polygon_file(tmp_path / "b.gpkg", overwrite=True)


@pytest.mark.parametrize("name", ["a.shp", "a.geojson", "a", "a.GPKG.zip"])
def test_other_formats_are_refused_by_name(tmp_path, name):
    with pytest.raises(ConfigError, match=r"ends in \.gpkg, \.parquet, \.fgb, found '"):
        check_polygon_file(tmp_path / name)


def test_geoparquet_without_pyarrow(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        polygon_files.importlib.util,
        "find_spec",
        lambda name: None if name == "pyarrow" else find(name),
    )
    with pytest.raises(ConfigError, match=re.escape("pip install 'rsadapt[parquet]', or write")):
        check_polygon_file(tmp_path / "a.parquet")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_leaves_what_was_there(small_disk, suffix):
    needs(suffix)
    path = small_disk / f"a{suffix}"
    write_polygons(path, a_table(5), SCHEME)
    with pytest.raises(DataError, match=rf"a\{suffix} cannot be written .* the disk has room"):
        write_polygons(path, a_table(40_000), SCHEME, overwrite=True)
    assert len(read(path)) == 5
    assert sorted(small_disk.iterdir()) == [path, path.with_suffix(".qml")]
