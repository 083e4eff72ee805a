"""What holds for every method there is, found by its line in build/methods.py.

That its memory is estimated right stands in build/test_memory.py.
"""

import math
import shutil

import numpy as np
import pytest
import rasterio
import torch
from nested import same
from small_methods import small

from rsadapt import checkpoints, config
from rsadapt.adapt import checkpoint
from rsadapt.adapt.warning_signs import LEAST_LINES, signs
from rsadapt.build.methods import METHODS
from rsadapt.errors import ConfigError
from rsadapt.run import RunFolder
from rsadapt.training import train_run

EACH = pytest.mark.parametrize("name", METHODS)


@pytest.fixture
def chosen(values):
    """A configuration of four quick steps of a method, with "dotted.key=value" changes."""

    def parsed(name, *assignments):
        values["method"] = small(name)
        values["training"] |= {"steps": 4, "save_every": 2, "keep": 4}
        return config.parse(config.assign(values, list(assignments)), where=name)

    return parsed


def finite(state):
    """Whether all numbers of a nested state are."""
    if isinstance(state, dict):
        return all(map(finite, state.values()))
    return not isinstance(state, torch.Tensor) or bool(state.isfinite().all())


@EACH
def test_it_learns_from_imagery_with_nodata_and_never_from_target_labels(
    chosen, values, tmp_path, name
):
    """A second run has noise for target labels, and is resumed half way."""
    world = shutil.copytree(values["root"], tmp_path / "world")
    values["root"] = str(world)
    assert not fully_valid(world / "target" / "scene_1.tif")
    whole = train_run(chosen(name), tmp_path / "whole")
    with rasterio.open(world / "target" / "labels" / "scene_1.tif", "r+") as labels:
        noise = np.random.default_rng(0).integers(1, 8, labels.shape).astype(np.uint8)
        labels.write(noise, 1)
    train_run(chosen(name), tmp_path / "parts")
    run = RunFolder(tmp_path / "parts")
    run.older_checkpoint(2).replace(run.checkpoint)
    train_run(chosen(name), run.path, resume=True)

    one, other = checkpoint.load(whole.run.checkpoint), checkpoints.load(run.path).state
    for part in ("network", "statistics", "others", "memory", "optimisers", "random"):
        assert same(one[part], other[part]), part
        assert finite(one[part]), part
    lines = [event for event in whole.run.events() if "losses" in event]
    assert len(lines) == 4
    assert all(math.isfinite(loss) for line in lines for loss in line["losses"].values())
    searchable(lines[-1])
    assert ("share_target" in lines[-1]["figures"]) is bool(METHODS[name].target_weights)


def fully_valid(path):
    with rasterio.open(path) as scene:
        return bool(scene.dataset_mask().all())


def searchable(line):
    """A long log of such lines can be searched for what goes wrong."""
    number = 10 * LEAST_LINES
    log = [line | {"step": step} for step in range(1, number + 1)]
    signs(log, steps=number, classes=[f"class {number}" for number in range(7)])


@EACH
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_it_learns_at_any_precision_and_from_several_pairs_a_step(
    chosen, tmp_path, name, precision
):
    changes = ["training.steps=2", "training.accumulate=2", f"device.precision={precision}"]
    run = train_run(chosen(name, *changes), tmp_path / "run").run
    state = checkpoint.load(run.checkpoint)
    assert all(finite(state[part]) for part in ("network", "others", "memory"))
    weights = state["network"]["classifiers.1.branches.0.weight"]
    assert weights.dtype == (torch.float64 if precision == "64-true" else torch.float32)


def test_images_of_two_sizes_and_lone_classes_are_refused_before_anything_is_made(values):
    streets = config.load_yaml(config.recipe("streets"))
    streets["source"]["size"] = {"height": 64, "width": 96}
    with pytest.raises(ConfigError, match=r"dacs pastes .*source\.size and target\.size"):
        config.parse(streets | {"method": {"name": "dacs"}}, where="test")
    values["classes"] = values["classes"][:1]
    for name in ("advent", "min_ent", "iast"):
        with pytest.raises(
            ConfigError, match=f"{name} learns by how unsure .* there is one, water"
        ):
            config.parse(values | {"method": {"name": name}}, where="test")
