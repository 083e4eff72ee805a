"""What the tests share: quiet settings, a small world and a configuration for it."""

import pytest
import torch
from hypothesis import settings

from rsadapt.data.procedural.world import WORLD_CLASSES, World, write_world

settings.register_profile("rsadapt", deadline=None, derandomize=True)
settings.load_profile("rsadapt")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Let every test draw the same numbers, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """A small pair of regions; read it, and copy it to change it."""
    return write_world(tmp_path_factory.mktemp("world"), size=192)


@pytest.fixture
def values(world):
    """A configuration of three quick steps on the small world, to be changed at will."""
    return {
        "root": str(world.source_images[0].parents[1]),
        "classes": [
            {"name": name, "id": ids[0], "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for name, ids, colour in zip(
                WORLD_CLASSES.names, WORLD_CLASSES.ids, WORLD_CLASSES.colours, strict=True
            )
        ],
        "ignored_ids": [0, 255],
        "source": {"scenes": ["source/*.tif"], "labels": ["source/labels/*.tif"]},
        "target": {"scenes": ["target/*.tif"], "labels": ["target/labels/*.tif"]},
        "network": {"encoder": "small", "rates": [1, 3], "batch_norm": "per_domain"},
        "method": {"name": "output_space", "discriminator_width": 4},
        "training": {"steps": 3, "batch_size": 2, "tile": 64, "workers": 0, "log_every": 1},
        "prediction": {"tile": 64, "overlap": 16},
        "device": {"accelerator": "cpu"},
    }
