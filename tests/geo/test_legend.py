"""What GIS programs read beside a map."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from rsadapt.classes import ClassScheme
from rsadapt.geo.grid import Grid, crs_of
from rsadapt.geo.maps import Bands, PartWriter, join

SCHEME = ClassScheme(
    ("water", "a < b & c", "Gebäude"),
    ((3,), (10, 11), (200,)),
    ((0, 0, 255), (0, 90, 0), (200, 60, 50)),
)


@pytest.fixture
def a_map(tmp_path):
    codes = np.random.default_rng(0).choice([3, 10, 200, 255], (90, 120)).astype(np.uint8)
    grid = Grid(90, 120, Affine(10, 0, 5e5, 0, -10, 5e6), crs_of(32633))
    path = tmp_path / "a map.tif"
    bands = Bands(("class",), "uint8", 255, scheme=SCHEME)
    with PartWriter(tmp_path / "part.tif", grid, bands) as writer:
        writer.write_rows(codes[np.newaxis])
    join([(tmp_path / "part.tif", grid.window)], path, grid, bands)
    return path


def test_gdal_reads_the_names_of_the_classes(a_map):
    """rasterio shows no category names; GDAL's own VRT of the map does."""
    with rasterio.open(a_map) as dataset:
        vrt = rasterio.shutil.copy(dataset, str(a_map.with_suffix(".vrt")), driver="VRT")
        assert vrt is None
    text = a_map.with_suffix(".vrt").read_text(encoding="utf-8")
    assert "<Category>water</Category>" in text
    assert "<Category>a &lt; b &amp; c</Category>" in text
    assert "<Category>Gebäude</Category>" in text
    assert text.count("<Category>") - text.count("<Category></Category>") == 3


def test_the_attribute_table_holds_the_classes_alone(a_map):
    text = Path(f"{a_map}.aux.xml").read_text(encoding="utf-8")
    assert text.count("<Row ") == len(SCHEME)


def test_qgis_shows_the_classes_by_name_and_colour(a_map, in_qgis):
    found = in_qgis(
        """
        import json, sys
        from qgis.core import QgsApplication, QgsRasterLayer
        app = QgsApplication([], False)
        app.initQgis()
        layer = QgsRasterLayer(sys.argv[1], "map")
        assert layer.isValid()
        renderer = layer.renderer()
        classes = [[c.value, c.label, c.color.name()] for c in renderer.classes()]
        print(json.dumps({"type": renderer.type(), "classes": classes,
                          "crs": layer.crs().authid()}))
        """,
        a_map,
    )
    assert found == {
        "type": "paletted",
        "classes": [
            [3, "water", "#0000ff"],
            [10, "a < b & c", "#005a00"],
            [200, "Gebäude", "#c83c32"],
        ],
        "crs": "EPSG:32633",
    }
