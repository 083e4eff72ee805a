"""A scene of several panels, predicted in one process, to compare other processes with."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from rsadapt.classes import ClassScheme
from rsadapt.geo.grid import Grid
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster
from rsadapt.infer import predict as predicting
from rsadapt.infer.layers import layers
from rsadapt.infer.predict import Tiling, predict_scene
from rsadapt.infer.work import finish_by

SCHEME = ClassScheme(
    names=("water", "forest", "field"),
    ids=((10,), (20,), (30,)),
    colours=((0, 0, 255), (0, 90, 0), (220, 200, 90)),
)


@dataclass(frozen=True)
class Shared:
    """A scene of six panels and what it is predicted by.

    Attributes:
        folder: of everything.
        networks: the module of the networks that other processes load.
    """

    folder: Path
    networks: object

    def load(self, name, **options):
        """A network that logs who loads it."""
        return self.networks.Convolution(self.folder / f"{name}.log", **options)

    def loaders(self, name):
        """The numbers of the processes that loaded it, once for each time."""
        return (self.folder / f"{name}.log").read_text().split()

    def predict(self, name, load, blending="hann", pool=None, device="cpu", **options):
        """Predict the scene here, or by a pool, into a folder of that name."""
        return predict_scene(
            Raster(self.folder / "scene.tif"),
            self.folder / name,
            network=self.load("here")(),
            layers=layers(["classes", "confidence"], SCHEME),
            tiling=Tiling(256, 64, blending),
            facts={},
            finish=None if pool is None else finish_by(pool, load, device),
            **options,
        )

    def same(self, first, second):
        """Whether two predictions have the same pixels, and files of the same names."""
        assert {path.name for path in first.files} == {path.name for path in second.files}
        for layer, path in first.layers.items():
            with rasterio.open(path) as a, rasterio.open(second.layers[layer]) as b:
                np.testing.assert_array_equal(a.read(), b.read())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The scene; other processes find the networks as this one does, by `sys.path`."""
    folder = tmp_path_factory.mktemp("shared")
    generator = np.random.default_rng(0)
    values = generator.integers(1, 256, (2, 4300, 700)).astype(np.uint8)
    values[:, 100:2300, :300] = 0
    grid = Grid(4300, 700, Affine(2, 0, 4e5, 0, -2, 5.6e6), rasterio.CRS.from_epsg(32632))
    write_raster(folder / "scene.tif", values, grid, nodata=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predicting, "BUDGET", 1)  # lanes of one block: two of them, three panels each
        patch.syspath_prepend(Path(__file__).parent)
        import sharing_networks

        yield Shared(folder, sharing_networks)
        sys.modules.pop("sharing_networks")


@pytest.fixture(scope="module")
def alone(shared):
    """What one process predicts, by blending."""
    return {way: shared.predict(f"alone-{way}", None, way) for way in ("hann", "crop")}
