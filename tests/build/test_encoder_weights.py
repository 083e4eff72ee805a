"""Encoders of the extra `networks` in a run: started, trained, kept and used."""

import shutil

import pytest
import torch
import yaml
from canary import Canary
from nested import same
from safetensors.torch import save_file

from rsadapt import build, config
from rsadapt.build.memory import Living, take_step
from rsadapt.errors import CheckpointError, ConfigError, MissingFileError
from rsadapt.model import load
from rsadapt.nets import library
from rsadapt.training import train_run
from rsadapt.verbs.export import export
from rsadapt.verbs.export_weights import export_weights
from rsadapt.verbs.predict import predict

pytest.importorskip("segmentation_models_pytorch", reason="the extra 'networks' is not installed")
huggingface_hub = pytest.importorskip("huggingface_hub")

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
        ("mit_b0", [SOURCE_ONLY, "device.precision=64-true"]),
        ("mit_b0", ["training.recompute=true", "device.precision=bf16-mixed"]),
        ("tu-convnext_atto", ["network.decoder=mlp", "network.decoder_width=16"]),
    ],
)
def test_encoder_is_trained_kept_and_used(chosen, world, tmp_path, encoder, changes):
    settings = chosen(encoder, *changes)
    run = train_run(settings, tmp_path / "run").run
    model = load(run.path)
    assert model.step == 2
    assert model.facts.record["initial_weights"] == "random"
    assert model.facts.record["batch_norm"] == "none"
    weights = model.parts.network.state_dict()
    predict(run.path, [world.target_images[0]], tmp_path / "maps", layers=["classes"])
    assert len(list((tmp_path / "maps").glob("*.tif"))) == 1
    bare = export_weights(run.path, tmp_path / "bare.safetensors", names="own")
    start = [f"init_from={bare}", "optimiser.rate=0", "optimiser.weight_decay=0"]
    warm = train_run(chosen(encoder, *changes, *start, "training.steps=1"), tmp_path / "warm").run
    assert same(load(warm.path).parts.network.state_dict(), weights)


def test_run_goes_on_as_if_it_had_not_been_stopped(chosen, tmp_path):
    settings = chosen("mit_b0", "training.keep=4")
    whole = train_run(settings, tmp_path / "whole").run
    weights = load(whole.path).parts.network.state_dict()
    shutil.copy(whole.path / "checkpoint-00000001.pt", whole.checkpoint)
    assert load(whole.path).step == 1
    run = train_run(settings, whole.path, resume=True).run
    assert same(load(run.path).parts.network.state_dict(), weights)


@pytest.mark.parametrize(
    ("encoder", "decoder"), [("mit_b0", "mlp"), ("tu-convnext_atto", "pyramid")]
)
def test_network_is_exported_as_onnx(chosen, tmp_path, encoder, decoder):
    pytest.importorskip("onnxruntime")
    given = "normalisation={mean: [80, 80, 80, 80], std: [40, 40, 40, 40]}"
    settings = chosen(
        encoder,
        SOURCE_ONLY,
        f"network.decoder={decoder}",
        "training.steps=1",
        "normalise_by=given",
        given,
    )
    run = train_run(settings, tmp_path / "run").run
    assert export(run.path, tmp_path / "net.onnx", input_range=(0, 255)).difference < 1e-4


def test_methods_that_need_another_classifier_get_one_of_the_decoders_kind(chosen):
    settings = chosen("mit_b0", "network.decoder=mlp", "method={name: clan}")
    with build.process_kept():
        learner = build.learner(settings, 4)
        learner.set_up()
        take_step(learner, settings, 4)
    half = learner.parts.others["half_difference"]
    main = learner.parts.network.classifiers[-1]
    assert [p.shape for p in half.parameters()] == [p.shape for p in main.parameters()]
    assert all(p.grad.any() for p in half.parameters())


def test_memory_of_a_step_is_known_beforehand(chosen):
    settings = chosen("mit_b0")
    found = build.estimate(settings, 4)
    with build.process_kept(), Living() as living:
        learner = build.learner(settings, 4)
        learner.set_up()
        living.peak = living.now
        take_step(learner, settings, 4)
    assert found.total - found.optimisers == pytest.approx(living.peak, rel=0.05)


def test_named_file_is_what_a_run_starts_from(chosen, tmp_path):
    tensors = library._made("mit_b0", 3).state_dict()
    save_file(tensors, tmp_path / "mit.safetensors")
    (tmp_path / "pair.yaml").write_text(
        yaml.safe_dump(chosen("mit_b0", "network.pretrained=mit.safetensors").model_dump())
    )
    settings = build.configuration(tmp_path / "pair.yaml", ["optimiser.rate=0"])
    assert settings.network.pretrained == str(tmp_path / "mit.safetensors")
    settings = build.configuration(tmp_path / "pair.yaml")
    net = build.network(settings, 4)
    assert torch.equal(net.encoder.stages[2][1].attn.q.weight, tensors["block3.0.attn.q.weight"])
    assert build.initial_words(settings.network) == "encoder from mit.safetensors"


def test_files_that_do_not_fit_or_hold_code_are_refused(chosen, tmp_path):
    def refused(file, error, says):
        with pytest.raises(error, match=says):
            build.network(chosen("mit_b0", f"network.pretrained={file}"), 4)

    save_file(library._made("mit_b1", 3).state_dict(), tmp_path / "b1.safetensors")
    refused(tmp_path / "b1.safetensors", CheckpointError, "b1.safetensors: expected the .* tensors")
    torch.save({"extra": Canary(tmp_path / "canary")}, tmp_path / "code.pth")
    refused(tmp_path / "code.pth", CheckpointError, "code.pth")
    assert not (tmp_path / "canary").exists()
    refused(tmp_path / "none.pth", MissingFileError, "none.pth: no")
    with pytest.raises(ConfigError, match="of small choose true or false, or name the"):
        chosen("small", f"network.pretrained={tmp_path / 'b1.safetensors'}")


def test_weights_come_from_the_hubs_cache_and_are_told_of_offline(chosen, tmp_path, monkeypatch):
    """The cache is laid out as the hub's own client lays it out."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    settings = chosen("mit_b0", "network.pretrained=true")
    place = library.download("mit_b0")
    says = (
        rf"the weights smp-hub/mit_b0\.imagenet of mit_b0 in {cache}, could neither .*; copy "
        rf"https://huggingface\.co/smp-hub/mit_b0\.imagenet/resolve/{place.revision}/model.safetensors"
    )
    with pytest.raises(MissingFileError, match=says):
        build.network(settings, 4)
    kept = cache / "models--smp-hub--mit_b0.imagenet" / "snapshots" / str(place.revision)
    kept.mkdir(parents=True)
    tensors = library._made("mit_b0", 3).state_dict()
    save_file(tensors, kept / "model.safetensors")
    net = build.network(settings, 4)
    assert torch.equal(net.encoder.stages[3][1].attn.q.weight, tensors["block4.0.attn.q.weight"])
    assert build.initial_words(settings.network) == "pretrained (smp-hub/mit_b0.imagenet)"


def test_names_are_checked_and_what_follows_from_them(chosen):
    for wrong in ("mit_b9", "mit_b0.imagenet", "tu-vit_base", "tu-convnext_atto_ols", "tu-"):
        with pytest.raises(ConfigError, match=r"'network.encoder': expected one of small, .*found"):
            chosen(wrong)
    with pytest.raises(ConfigError, match="did you mean mit_b"):
        chosen("mit_b9")
    with pytest.raises(ConfigError, match="mit_b0 has no batch norm to adapt"):
        chosen("mit_b0", "method={name: adapted_batch_norm}")
    with pytest.raises(ConfigError, match="no batch norm here goes by its batches"):
        chosen("tu-convnext_tiny.fb_in1k", "network.batch_norm_sync=true")
    with pytest.raises(ConfigError, match=r"training\.tile is 32; mit_b0 needs 33 or more"):
        chosen("mit_b0", "training.tile=32")
    with pytest.raises(ConfigError, match=r"prediction\.tile is 32; mit_b0 needs 33 or more"):
        chosen("mit_b0", "prediction={tile: 32, overlap: 8}")
    with pytest.raises(ConfigError, match="does more than normalise"):
        build.learner(chosen("tu-regnety_002", "network.batch_norm_sync=true"), 4)
    with pytest.raises(ConfigError, match="repeated updates are those of SGD on a ResNet"):
        chosen("tu-resnet18", "optimiser.updates=repeated")
    with pytest.raises(ConfigError, match="the last of resnet18 are of one stride"):
        chosen("resnet18", "network.decoder=mlp")
    with pytest.raises(ConfigError, match="should be true, false or a file"):
        chosen("mit_b0", "network.pretrained=3")
    regnet = chosen("tu-regnety_002", "method={name: adapted_batch_norm}")
    assert build.batch_norm_words(regnet) == "per_domain"
