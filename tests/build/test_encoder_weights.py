"""Encoders of the extra `networks` in a run: started, trained, kept and used."""

import json

import pytest
import torch
from nested import same
from safetensors.torch import save_file

from rsadapt import build, config
from rsadapt.errors import CheckpointError, ConfigError, MissingFileError
from rsadapt.model import load
from rsadapt.nets import library
from rsadapt.training import train_run
from rsadapt.verbs.export import export_network, export_weights
from rsadapt.verbs.predict import predict

pytest.importorskip("segmentation_models_pytorch", reason="the extra 'networks' is not installed")

SOURCE_ONLY = "method={name: source_only}"


@pytest.fixture
def chosen(values):
    """A configuration of quick steps of an encoder, with changes."""
    values["training"] |= {"steps": 2, "save_every": 1}

    def parsed(encoder, *assignments):
        return config.parse(
            config.assign(values, [f"network.encoder={encoder}", *assignments]), where="test"
        )

    return parsed


@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        ("mit_b0", [SOURCE_ONLY]),
        ("mit_b0", ["training.recompute=true"]),
        ("tu-convnext_atto", []),
        ("tu-regnety_002", [SOURCE_ONLY]),
    ],
)
def test_encoder_is_trained_kept_and_used(chosen, world, tmp_path, encoder, changes):
    settings = chosen(encoder, *changes)
    run = train_run(settings, tmp_path / "run").run
    model = load(run.path)
    assert model.step == 2
    assert model.facts.record["initial_weights"] == "random"
    expected = "source" if encoder == "tu-regnety_002" else "none"
    assert model.facts.record["batch_norm"] == expected
    again = train_run(settings, tmp_path / "again").run
    assert same(model.parts.network.state_dict(), load(again.path).parts.network.state_dict())
    predict(run.path, [world.target_images[0]], tmp_path / "maps")
    assert len(list((tmp_path / "maps").glob("*.tif"))) == 1
    export_weights(run.path, tmp_path / "bare.safetensors")
    warm = chosen(
        encoder, *changes, f"init_from={tmp_path / 'bare.safetensors'}", "training.steps=1"
    )
    warm = warm.model_copy(
        update={"optimiser": warm.optimiser.model_copy(update={"rate": 0.0, "weight_decay": 0.0})}
    )
    started = load(train_run(warm, tmp_path / "warm").run.path).parts.network
    assert same(started.state_dict(), model.parts.network.state_dict()) or expected == "source"
