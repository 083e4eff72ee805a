"""Precision: what is set in the process, what is left of it, and what devices refuse."""

import warnings
from pathlib import Path

import pytest
import torch
import yaml

import rsadapt
from rsadapt import build, config
from rsadapt.adapt import checkpoint
from rsadapt.build import precision
from rsadapt.errors import ConfigError, InterruptedTrainingError
from rsadapt.model import answers, load
from rsadapt.scoring import score
from rsadapt.training import train_run


@pytest.fixture
def settings(values):
    def make(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return make


@pytest.fixture(autouse=True)
def _kept():
    with build.process_kept():
        yield


def flags():
    """All that is set for the whole process."""
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "tf32": precision._tf32(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
    }


# The process


def test_plain_float32_has_tf32_off_everywhere(settings):
    build.set_process(settings())
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32  # whose default is on
    build.set_process(settings("device.precision=tf32"))
    assert torch.get_float32_matmul_precision() == "high"  # which Fabric reads
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="of PyTorch 2.9 and newer")
@pytest.mark.parametrize("before", ["ieee", "tf32"])
def test_newer_flags_of_tf32_that_somebody_set_do_not_matter(settings, before):
    try:
        torch.backends.fp32_precision = before
        for chosen, expected in (("32-true", False), ("tf32", True), ("32-true", False)):
            build.set_process(settings(f"device.precision={chosen}"))
            assert precision._tf32() == (expected, expected)
            assert (torch.backends.cudnn.rnn.fp32_precision == "tf32") is expected
    finally:
        torch.backends.fp32_precision = "none"


def test_nothing_is_warned_of(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build.set_process(settings("device.precision=tf32"))


def test_runs_leave_nothing_behind(settings, tmp_path):
    before = flags()
    changes = ["device.precision=64-true", "device.threads=1", "device.deterministic=true"]
    train_run(settings(*changes), tmp_path / "double")
    assert flags() == before
    one = train_run(settings("device.precision=tf32"), tmp_path / "one")
    assert flags() == before
    train_run(settings("device.precision=64-true"), tmp_path / "again")
    two = train_run(settings("device.precision=32-true"), tmp_path / "two")  # the same on a CPU
    states = [checkpoint.load(each.run.checkpoint)["network"] for each in (one, two)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_verbs_leave_nothing_behind(settings, tmp_path):
    changes = ["device.precision=64-true", "device.threads=2", "device.deterministic=true"]
    chosen, file = settings(*changes, "training.steps=1"), tmp_path / "pair.yaml"
    file.write_text(yaml.safe_dump(chosen.model_dump()))
    run = train_run(chosen, tmp_path / "run").run.path
    scene = Path(chosen.root) / "target" / "scene_1.tif"
    before = flags()
    for verb in (
        lambda: rsadapt.plan(file, out=tmp_path / "planned"),
        lambda: rsadapt.evaluate(run),
        lambda: rsadapt.predict(run, [scene], tmp_path / "maps"),
        lambda: rsadapt.export_weights(run, tmp_path / "own.pth", names="own"),
        lambda: rsadapt.compare(file, ["source_only"], out=tmp_path / "compared", first_steps=1),
    ):
        verb()
        assert flags() == before


def test_only_training_tries_which_algorithm_is_fastest(settings):
    build.learner(settings(), 4)
    assert torch.backends.cudnn.benchmark
    build.set_process(settings())
    assert not torch.backends.cudnn.benchmark
    build.learner(settings("device.deterministic=true"), 4)
    assert not torch.backends.cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()


# Devices


def test_devices_refuse_what_they_cannot_compute_in(monkeypatch):
    with pytest.raises(ConfigError, match=r"64-true, and MPS has no float64; choose 32-true"):
        precision.check_precision("64-true", "mps")
    with pytest.raises(ConfigError, match=r"16-mixed, and MPS"):
        precision.check_precision("16-mixed", "mps")
    precision.check_precision("bf16-mixed", "mps")
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="no bfloat16; choose 16-mixed"):
        precision.check_precision("bf16-mixed", "cuda")
    precision.check_precision("bf16-mixed", "cpu")


@pytest.mark.parametrize("chosen", ["64-true", "tf32"])
def test_other_precision_of_predictions_needs_float32_parameters(settings, chosen):
    with pytest.raises(ConfigError, match=f"a run in {chosen} predicts in that; leave it out"):
        settings(f"device.precision={chosen}", "prediction.precision=bf16-mixed")


# Runs


def losses(outcome):
    return [event["losses"] for event in outcome.run.events() if "losses" in event]


def test_mixed_runs_learn_what_float32_learns(settings, tmp_path):
    changes = ["training.steps=20", "training.workers=0", "optimiser.rate=0.001"]
    single, mixed = (
        losses(train_run(settings(*changes, f"device.precision={chosen}"), tmp_path / chosen))
        for chosen in ("32-true", "bf16-mixed")
    )
    assert single != mixed
    assert single[-1]["segmentation_2"] < 0.9 * single[0]["segmentation_2"]
    for ours, theirs in zip(single, mixed, strict=True):
        assert ours == pytest.approx(theirs, rel=0.005)  # 0.0014 was found


def test_losses_maps_and_statistics_of_a_mixed_step_are_float32(settings):
    learner = build.learner(settings("device.precision=bf16-mixed"), 4)
    learner.set_up()
    seen = set()

    def keep(module, inputs, output):
        seen.add(output.dtype)

    network = learner.parts.network.module
    network.encoder.stem.register_forward_hook(keep)
    images = torch.randn(2, 4, 64, 64)
    levels = learner.parts.network(images)
    judged = learner.parts.others["discriminator_1"](
        learner.parts.upsample(levels[0], (64, 64)).softmax(1)
    )
    assert seen == {torch.bfloat16}
    assert {level.dtype for level in (*levels, judged)} == {torch.float32}
    kept = [*network.state_dict().values(), *learner.parts.statistics.state_dict().values()]
    assert {each.dtype for each in kept if each.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("changes", [(), ("prediction.precision=32-true",)], ids=str)
def test_run_is_scored_on_its_way_as_it_is_afterwards(settings, tmp_path, changes):
    chosen = settings("device.precision=bf16-mixed", *changes)
    outcome = train_run(chosen, tmp_path / "run")
    model = load(outcome.run.path)
    scored = build.scored(model.facts.settings)
    assert score(scored, model.parts, model.facts, device=model.device) == outcome.validation
    used = "32-true" if changes else "bf16-mixed"
    assert {report["precision"] for report in outcome.validation.values()} == {used}

    learner = build.learner(chosen, 4)
    learner.set_up()
    learner.parts.network.load_state_dict(model.parts.network.state_dict())
    learner.parts.statistics.load_state_dict(model.parts.statistics.state_dict())
    images = torch.randn(2, 4, 64, 64)
    with torch.inference_mode():
        one, two, other = (
            answers(parts, "target", name)(images, (64, 64))
            for parts, name in (
                (learner.parts, used),
                (model.parts, used),
                (model.parts, "bf16-mixed" if changes else "32-true"),
            )
        )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:16-mixed on the CPU")
def test_scaled_runs_go_on_to_the_bit(settings, tmp_path):
    changes = ["device.precision=16-mixed", "training.steps=4", "training.log_every=1"]
    changes += ["training.workers=0", "training.save_every=1", "method.segmentation=[1000, 1000]"]

    def stop(task, done, total):
        if task == "train" and done == 3:
            raise InterruptedTrainingError("here")

    whole = train_run(settings(*changes), tmp_path / "whole")
    skipped = [event["skipped"] for event in whole.run.events() if "losses" in event]
    assert 0 < skipped[0] < skipped[-1]  # a scale of 65,536 is too large for these losses
    with pytest.raises(InterruptedTrainingError):
        train_run(settings(*changes), tmp_path / "parts", progress=stop)
    parts = train_run(settings(*changes), tmp_path / "parts", resume=True)
    assert parts.run.events()[-2]["skipped"] == skipped[-1]
    one, two = (checkpoint.load(outcome.run.checkpoint) for outcome in (whole, parts))
    assert one["precision"] == two["precision"]
    assert all(torch.equal(one["network"][name], two["network"][name]) for name in one["network"])


def test_float16_on_the_cpu_is_warned_of():
    with pytest.warns(UserWarning, match="no fast float16 convolutions there"):
        precision.warn_of_precision("16-mixed", "cpu")
