"""A run that the verbs' tests share."""

from pathlib import Path

import pytest
import yaml

from rsadapt.data.procedural.world import write_world
from rsadapt.verbs.train import train


@pytest.fixture(scope="session")
def configuration(tmp_path_factory) -> Path:
    """A configuration of two steps beside a small world of its own."""
    folder = tmp_path_factory.mktemp("verbs")
    write_world(folder, size=160, seed=5)
    names = ["water", "forest", "field", "grass", "bare", "building", "road"]
    values = {
        "classes": [
            {"name": name, "id": number, "colour": f"#{30 * number:02x}0000"}
            for number, name in enumerate(names, start=1)
        ],
        "ignored_ids": [0],
        "source": {"scenes": ["source/*.tif"], "labels": ["source/labels/*.tif"]},
        "target": {"scenes": ["target/*.tif"], "labels": ["target/labels/*.tif"]},
        "network": {"encoder": "small", "rates": [1], "batch_norm": "per_domain"},
        "method": {"name": "output_space", "discriminator_width": 4},
        "training": {"steps": 2, "batch_size": 2, "tile": 64, "workers": 0},
        "prediction": {"tile": 96, "overlap": 32},
        "device": {"accelerator": "cpu"},
    }
    file = folder / "pair.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture(scope="session")
def trained(configuration, tmp_path_factory) -> Path:
    """The run of that configuration; read it only."""
    return train(configuration, out=tmp_path_factory.mktemp("runs") / "run").run.path
