"""The published implementation's figures: reached, and missed where something is changed."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests" / "parity"


@pytest.fixture(scope="module")
def program():
    """The benchmark program, as a module."""
    spec = importlib.util.spec_from_file_location("parity", ROOT / "benchmarks" / "parity.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = module  # where its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["parity"]


@pytest.fixture
def parity(program, capsys):
    """Runs it on a folder: exit code, what it printed, and what it complained of."""

    def run(cases, *only):
        arguments = ["--cases", str(cases), *(["--only", *only] if only else [])]
        try:
            code = program.main(arguments)
        finally:
            torch.set_default_dtype(torch.float32)
        return code, *capsys.readouterr()

    return run


def test_loading_and_metric_are_the_published_ones(parity):
    code, out, errors = parity(CASES, "loading", "metric")
    assert code == 0, out + errors
    assert "6 cases, 0 failed" in out


@pytest.fixture
def altered(tmp_path):
    """The cases without those that take long, to be changed."""
    keep = shutil.ignore_patterns("networks.npz", "training.json")
    return Path(shutil.copytree(CASES, tmp_path / "cases", ignore=keep))


def test_another_figure_fails(altered, parity):
    figures = json.loads((altered / "metric.json").read_text())
    figures["iou"][3] *= 1 + 1e-9
    (altered / "metric.json").write_text(json.dumps(figures))
    code, out, _errors = parity(altered)
    assert code == 1
    assert next(line for line in out.splitlines() if "FAIL" in line).startswith("metric")
    assert "6 cases, 1 failed" in out


def test_another_image_fails(altered, parity):
    first, second = (altered / "images" / "GTA5" / "images" / f"0000{n}.png" for n in (1, 2))
    first.write_bytes(second.read_bytes())
    code, out, _errors = parity(altered, "loading")
    assert code == 1
    assert out.count("FAIL") == 2


def test_settings_that_are_not_understood_fail(altered, parity):
    case = json.loads((CASES / "training.json").read_text())["multi_level"]
    case["settings"]["warm_up"] = 5
    (altered / "training.json").write_text(json.dumps({"multi_level": case}))
    code, _out, errors = parity(altered, "training")
    assert code == 1
    assert "settings that are not understood: warm_up" in errors


def test_a_network_of_the_published_ones_is_reached(altered, parity):
    shorten_networks(altered, "image", "vgg_main", "probabilities", "discriminator")
    code, out, errors = parity(altered, "networks")
    assert code == 0, out + errors
    assert "2 cases, 0 failed" in out


def test_an_array_that_is_compared_with_nothing_fails(altered, parity):
    shorten_networks(altered, "probabilities", "discriminator", discriminator7=np.ones(3))
    code, out, _errors = parity(altered, "networks")
    assert code == 1
    assert "2 cases, 1 failed" in out
    assert "networks discriminator7" in out


def shorten_networks(folder, *keys, **more):
    """Keep some of the arrays of the networks, and add others."""
    with np.load(CASES / "networks.npz") as arrays:
        np.savez(folder / "networks.npz", **{key: arrays[key] for key in keys}, **more)


def test_a_folder_without_cases_is_no_pass(tmp_path, parity):
    assert parity(tmp_path)[0] == 1


@pytest.mark.slow
def test_every_figure_is_the_published_one(parity):
    code, out, errors = parity(CASES)
    assert code == 0, out + errors
    assert "28 cases, 0 failed" in out
