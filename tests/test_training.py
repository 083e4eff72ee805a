"""Runs: reproducible to the bit, resumable, and blind to target labels."""

import json
import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml
from nested import same
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from rsadapt import build, config, weights
from rsadapt.adapt import checkpoint
from rsadapt.data import region
from rsadapt.data.procedural.world import WORLD_CLASSES
from rsadapt.data.region import Region
from rsadapt.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InterruptedTrainingError,
    MissingFileError,
    NonFiniteError,
    OutputExistsError,
    RsadaptError,
    TrainingWarning,
    WorkerError,
)
from rsadapt.geo.harmonise import ground_pixel, harmonise
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.geo.warp import WarpedRaster
from rsadapt.geo.writer import write_raster
from rsadapt.model import load
from rsadapt.run import RunFolder
from rsadapt.scoring import score
from rsadapt.training import train_run
from rsadapt.verbs.evaluate import evaluate
from rsadapt.verbs.predict import predict
from rsadapt.weights import safetensors_facts as facts_of

LEARNED = ("network", "statistics", "others", "optimisers")


@pytest.fixture
def run(values, tmp_path):
    """Trains into a folder of `tmp_path`, with "dotted.key=value" changes."""

    def train(name, *assignments, **options):
        settings = config.parse(config.assign(values, list(assignments)), where=name)
        return train_run(settings, tmp_path / name, **options)

    return train


@pytest.fixture
def own_world(values, tmp_path):
    """A copy of the world that the configuration points to."""
    shutil.copytree(values["root"], tmp_path / "world")
    values["root"] = str(tmp_path / "world")
    return tmp_path / "world"


def state(outcome):
    return checkpoint.load(outcome.run.checkpoint)


def same_learning(one, two):
    """Whether two runs learned the same: weights, statistics, discriminators and optimisers."""
    return all(same(state(one)[part], state(two)[part]) for part in LEARNED)


def losses(outcome):
    return [event["losses"] for event in outcome.run.events() if "losses" in event]


# The same again


def test_same_seed_gives_the_same_run_and_another_seed_another(run):
    one, two, other = run("one"), run("two"), run("other", "seed=1")
    assert same_learning(one, two)
    assert losses(one) == losses(two)
    assert one.validation == two.validation
    assert not same(state(one)["network"], state(other)["network"])


def test_parts_may_be_blocks_of_which_every_pixel_is_scored_once(run, values):
    split = "{blocks: 64, buffer: 5, share: 0.3}"
    changes = [f"source.validation={split}", f"target.validation={split}", "training.tile=32"]
    outcome = run("blocks", *changes)
    settings = build.configuration(outcome.run.configuration)
    for domain, part in build.scored(settings).items():
        counts = part.class_counts(build.class_scheme(settings))
        support = [found["support"] for found in outcome.validation[domain]["classes"].values()]
        assert support == counts[:-1].tolist()
        assert len(part.scenes) > 2


def test_workers_change_nothing(run):
    changes = ["training.augment=[dihedral, rotate, blur]"]
    assert same_learning(run("one", *changes), run("two", *changes, "training.workers=2"))


def test_keeping_decoded_scenes_changes_nothing(run):
    kept, anew = run("kept", "training.workers=1"), run("anew", "training.scratch=0")
    assert same_learning(kept, anew)
    assert not [file for file in kept.run.path.iterdir() if file.name.startswith("tmp")]


def test_recomputing_changes_nothing(run):
    assert same_learning(run("kept"), run("recomputed", "training.recompute=true"))


@pytest.mark.parametrize(
    "change",
    ["training.recompute=true"]
    + [f"method={{name: {name}}}" for name in ("mean_teacher", "dacs", "daformer", "mic")],
)
def test_batch_norm_by_all_batches_changes_nothing_in_one_process(run, change):
    change = [change, "network.batch_norm=per_domain"]
    alone, together = (
        run("alone", *change),
        run("together", *change, "network.batch_norm_sync=true"),
    )
    assert same_learning(alone, together)


@pytest.mark.slow
def test_compiled_networks_learn_the_same_but_for_rounding_and_keep_their_names(run):
    double = "device.precision=64-true"
    try:
        plain, compiled = run("plain", double), run("compiled", double, "device.compile=true")
    finally:
        torch.set_default_dtype(torch.float32)
    for part in ("network", "statistics"):
        torch.testing.assert_close(state(compiled)[part], state(plain)[part], rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(losses(compiled), losses(plain), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_validation_on_the_way_changes_nothing(run):
    plain, checked = run("plain"), run("checked", "training.validate_every=2")
    assert same_learning(plain, checked)
    assert [e["step"] for e in checked.run.events() if "validation" in e] == [2, 3]
    assert [e["step"] for e in plain.run.events() if "validation" in e] == [3]


# Target labels


def test_target_labels_may_be_gone(run, own_world):
    seeing = run("seeing")
    shutil.rmtree(own_world / "target" / "labels")
    blind = run("blind", "target.labels=[]")
    assert same_learning(seeing, blind)
    assert set(seeing.validation) == {"source", "target"}
    assert set(blind.validation) == {"source"}


def test_target_labels_may_be_noise(run, own_world):
    true = run("true", "training.sampling=class_rarity")
    (file,) = (own_world / "target" / "labels").glob("*.tif")
    with rasterio.open(file, "r+") as labels:
        noise = np.random.default_rng(0).integers(1, 8, labels.shape).astype(np.uint8)
        labels.write(noise, 1)
    false = run("false", "training.sampling=class_rarity")
    assert same_learning(true, false)
    assert true.validation["source"] == false.validation["source"]
    assert true.validation["target"] != false.validation["target"]


def test_labels_of_validation_scenes_may_be_noise(run, own_world):
    """Scores alone read them, even where the scenes are those that are trained on."""
    (file,) = (own_world / "target" / "labels").glob("*.tif")
    kept = "{scenes: [target/*.tif], labels: [target/labels/*.tif]}"
    changes = ["target.labels=[]", f"target.validation={kept}"]
    with pytest.warns(UserWarning, match="target region: 1 of 1 validation scenes overlap"):
        true = run("true", *changes)
    with rasterio.open(file, "r+") as labels:
        noise = np.random.default_rng(0).integers(1, 8, labels.shape).astype(np.uint8)
        labels.write(noise, 1)
    with pytest.warns(UserWarning, match="without labels"):
        false = run("false", *changes)
    assert same_learning(true, false)
    assert true.validation["target"] != false.validation["target"]


# Several grids


@pytest.fixture
def scattered(own_world, tmp_path):
    """The target's scene twice: in two zones, with pixels of two sizes."""
    (image,) = map(Raster, sorted((own_world / "target").glob("*.tif")))
    (label,) = map(Raster, sorted((own_world / "target" / "labels").glob("*.tif")))
    size = ground_pixel(image)
    for number, (epsg, factor) in enumerate([(32748, 1.0), (32749, 1.3)]):
        (grid,) = harmonise([image], crs=CRS.from_epsg(epsg), pixel=factor * size)
        for raster, name in ((image, "scene"), (label, "label")):
            folder = tmp_path / "scattered"
            values, valid = WarpedRaster(raster, grid, "nearest").read()
            values[:, ~valid] = 0
            path = folder / f"{number}_{name}.tif" if name == "label" else folder / f"{number}.tif"
            write_raster(path, values, grid, nodata=0)
    return tmp_path / "scattered"


def test_regions_of_several_projections_and_pixel_sizes_train_together(run, scattered, values):
    values["target"] = {
        "scenes": [str(scattered / "[01].tif")],
        "labels": [str(scattered / "*_label.tif")],
    }
    words = r"a pixel is .* m on the ground in the source and .* brings them to one"
    with pytest.warns(UserWarning, match=words):
        outcome = run("several", "training.steps=2", "training.tile=32", "training.workers=2")
    assert outcome.step == 2
    assert all(np.isfinite(list(loss.values())).all() for loss in losses(outcome))
    assert set(outcome.validation) == {"source", "target"}
    with pytest.warns(UserWarning, match=words):
        again = run("again", "training.steps=2", "training.tile=32")
    assert same_learning(outcome, again)
    assert outcome.validation == again.validation


# Going on


def stop_at(step):
    def progress(task, done, _total):
        if task == "train" and done == step:
            signal.raise_signal(signal.SIGINT)

    return progress


def test_resuming_after_an_interrupt_changes_nothing(run):
    changes = ["training.steps=5", "training.accumulate=2", "training.sampling=class_rarity"]
    whole = run("whole", *changes)
    for step in (2, 4):
        with pytest.raises(InterruptedTrainingError, match=f"stopped at step {step} of 5"):
            run("parts", *changes, resume=step > 2, progress=stop_at(step))
    parts = run("parts", *changes, resume=True)
    assert same_learning(whole, parts)
    assert losses(whole) == losses(parts)
    assert whole.validation == parts.validation
    assert parts.step == state(parts)["step"] == 5


@pytest.mark.parametrize("scope", ["sample", "domain"])
def test_resuming_with_a_style_changes_nothing(run, scope):
    style = {"name": "histogram", "scope": scope, "share": 0.5}
    changes = [f"style={json.dumps(style)}", "training.save_every=2"]
    whole = run("whole", *changes, "training.workers=1")
    assert json.loads(whole.run.record.read_text())["style"] == style
    with pytest.raises(InterruptedTrainingError):
        run("parts", *changes, progress=stop_at(2))
    assert same_learning(run("parts", *changes, resume=True), whole)
    assert not same_learning(whole, run("plain"))


def test_resuming_after_a_crash_repeats_what_was_not_saved(run):
    changes = ["training.steps=4", "training.save_every=2"]

    def crash(_task, done, _total):
        if done == 3:
            raise RuntimeError("power cut")

    whole = run("whole", *changes)
    with pytest.raises(RuntimeError, match="power cut"):
        run("parts", *changes, progress=crash)
    parts = run("parts", *changes, resume=True)
    assert same_learning(whole, parts)
    assert losses(whole) == losses(parts)


def test_a_killed_worker_ends_the_run_saved_and_in_its_own_words(run):
    changes = ["training.steps=9", "training.workers=1"]
    others = set(multiprocessing.active_children())

    def kill(task, done, _total):
        if task == "train" and done == 2:
            workers = set(multiprocessing.active_children()) - others
            os.kill(min(workers, key=lambda worker: worker.pid).pid, signal.SIGKILL)

    whole = run("whole", *changes)
    with pytest.raises(
        WorkerError, match=r"ended by SIGKILL, .* fewer training\.workers .* --resume"
    ):
        run("parts", *changes, progress=kill)
    assert not set(multiprocessing.active_children()) - others
    folder = RunFolder(whole.run.path.with_name("parts"))
    assert checkpoint.load(folder.checkpoint)["step"] == folder.events()[-1]["step"] >= 2
    parts = run("parts", *changes, resume=True)
    assert same_learning(whole, parts)
    assert losses(whole) == losses(parts)


def test_waiting_is_told_line_by_line_and_in_all(run):
    outcome = run("run", "training.steps=12", "training.workers=auto")
    lines = [event for event in outcome.run.events() if "losses" in event]
    assert all(0 <= line["waiting"] <= 1 for line in lines)
    waited = sum(line["waiting"] * line["seconds"] for line in lines)
    whole = sum(line["seconds"] for line in lines)
    assert outcome.feeding["waited"] == pytest.approx(waited / whole, abs=0.05)
    assert outcome.feeding["words"].startswith(f"waited {outcome.feeding['waited']:.1%}")
    assert any("reason" in event for event in outcome.run.events())


def test_resuming_before_anything_was_saved_starts_anew(run):
    def crash(task, *_):
        if task == "train":
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run("parts", progress=crash)
    assert same_learning(run("parts", resume=True), run("whole"))


def test_a_run_goes_on_that_knew_fewer_fields(run):
    with pytest.raises(InterruptedTrainingError):
        run("parts", progress=stop_at(1))
    file = RunFolder(run("whole").run.path.with_name("parts")).configuration
    older = yaml.safe_load(file.read_text())
    del older["training"]["keep"], older["network"]["batch_norm_sync"]
    file.write_text(yaml.safe_dump(older))
    with pytest.raises(OutputExistsError, match="batch_norm_sync: false there, true here"):
        run("parts", "network.batch_norm_sync=true", resume=True)
    assert same_learning(run("parts", resume=True), run("another"))


def flag_alpha(world):
    """Flag the last band of all scenes as alpha."""
    for file in world.glob("*/*.tif"):
        with rasterio.open(file, "r+") as dataset:
            dataset.colorinterp = [*dataset.colorinterp[:-1], ColorInterp.alpha]


@pytest.mark.filterwarnings("ignore:.*flags band 4 as alpha")
def test_alpha_is_no_input_of_a_run_or_its_maps(run, own_world, tmp_path):
    scene = own_world / "target" / "scene_1.tif"
    values, _ = Raster(scene).read(bands=[1, 2, 3])
    write_raster(tmp_path / "scene_1.tif", values, Raster(scene).grid, nodata=Raster(scene).nodata)
    flag_alpha(own_world)
    folder = run("alpha").run.path
    assert load(folder).facts.bands == (1, 2, 3)
    assert "target" in evaluate(folder)
    codes = [
        Raster(predict(folder, [file], tmp_path / name)[0].layers["classes"]).read()[0]
        for name, file in (("with", scene), ("without", tmp_path / "scene_1.tif"))
    ]
    assert np.array_equal(*codes)


def test_a_run_that_took_alpha_for_an_input_goes_on_so_and_is_scored(run, own_world):
    flag_alpha(own_world)
    every = "bands=[1, 2, 3, 4]"
    whole = run("whole", every)
    with pytest.raises(InterruptedTrainingError):
        run("parts", every, progress=stop_at(1))
    folder = RunFolder(whole.run.path.with_name("parts"))
    older = yaml.safe_load(folder.configuration.read_text()) | {"bands": None}
    folder.configuration.write_text(yaml.safe_dump(older))
    kept = checkpoint.load(folder.checkpoint)
    facts = json.loads(kept["facts"])
    del facts["target_bands"]
    facts["settings"]["bands"] = None
    checkpoint.save(folder.checkpoint, kept | {"facts": json.dumps(facts)})
    assert same_learning(run("parts", resume=True), whole)
    assert evaluate(folder.path)["target"]["totals"] == evaluate(whole.run.path)["target"]["totals"]


def test_resuming_a_finished_run_changes_nothing(run):
    whole = run("whole")
    before = whole.run.checkpoint.read_bytes(), whole.run.metrics.read_bytes()
    again = run("whole", resume=True)
    assert again.validation == whole.validation
    assert (whole.run.checkpoint.read_bytes(), whole.run.metrics.read_bytes()) == before


def test_validation_due_at_an_interrupt_is_not_lost(run):
    with pytest.raises(InterruptedTrainingError, match="step 2"):
        run("parts", "training.validate_every=2", progress=stop_at(2))
    parts = run("parts", "training.validate_every=2", resume=True)
    assert [event["step"] for event in parts.run.events() if "validation" in event] == [2, 3]


def test_validation_that_a_run_died_in_is_not_lost(run):
    changes = ["training.save_every=2", "training.validate_every=2"]

    def crash(task, *_):
        if task.startswith("score"):
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run("parts", *changes, progress=crash)
    parts, whole = run("parts", *changes, resume=True), run("whole", *changes)
    assert [event["step"] for event in parts.run.events() if "validation" in event] == [2, 3]
    assert parts.run.validation(2) == whole.run.validation(2)


@pytest.mark.parametrize("left", [[], ["run.json"], ["statistics.json", "config.yaml.part"]])
@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_died_before_it_began_is_begun_anew(run, tmp_path, left, resume):
    (tmp_path / "dead").mkdir()
    for name in left:
        (tmp_path / "dead" / name).write_text("{")
    begun, whole = run("dead", resume=resume), run("whole")
    assert same_learning(begun, whole)
    assert [file.name for file in begun.run.path.glob("*.part")] == []


def test_a_damaged_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(run):
    whole, parts = run("whole", "training.save_every=1"), run("parts", "training.save_every=1")
    content = parts.run.checkpoint.read_bytes()
    parts.run.checkpoint.write_bytes(content[: len(content) // 2])
    says = r"parts/checkpoint\.pt: damaged .* Used instead: checkpoint-00000002\.pt, of step 2"
    with pytest.warns(UserWarning, match=says):
        assert load(parts.run.path).step == 2
    with pytest.warns(UserWarning, match=says):
        again = run("parts", "training.save_every=1", resume=True)
    assert same_learning(again, whole)
    assert losses(again) == losses(whole)


def test_weights_lie_beside_the_state_for_other_programs(run):
    outcome = run("run", "training.steps=2", "bands=[2, 1]")
    file = outcome.run.weights
    assert same(weights.read(file), dict(state(outcome)["network"]))
    told = {name: json.loads(text) for name, text in facts_of(file).items() if name != "format"}
    facts = load(outcome.run.path).facts
    assert (told["step"], told["bands"]) == (2, [2, 1])
    assert told["classes"] == list(WORLD_CLASSES.names)
    assert Normaliser.from_dict(told["normalisation"]["target"]) == facts.normalise["target"]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"half")])
def test_weights_that_a_kill_kept_from_being_written_are_written_where_it_goes_on(run, spoil):
    outcome = run("run")
    spoil(outcome.run.weights)
    run("run", resume=True)
    assert same(weights.read(outcome.run.weights), dict(state(outcome)["network"]))
    assert json.loads(facts_of(outcome.run.weights)["step"]) == 3


def test_training_draws_no_number_of_pythons_or_numpys(run):
    """Their states are in no checkpoint."""

    def states():
        return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002, the global one

    before = states()
    run("run", "training.augment=[dihedral, scale, rotate, brightness, noise, blur]")
    assert states() == before


def test_a_signal_while_validating_between_two_checkpoints_saves(run):
    changes = ["training.save_every=0", "training.validate_every=2"]

    def stop(task, done, _total):
        if task == "score source" and done == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedTrainingError, match="step 2"):
        run("parts", *changes, progress=stop)
    parts, whole = run("parts", *changes, resume=True), run("whole", *changes)
    assert same_learning(parts, whole)
    assert [event["step"] for event in parts.run.events() if "losses" in event] == [1, 2, 3]


def test_resuming_another_configuration_is_refused(run):
    run("one")
    with pytest.raises(RsadaptError, match=r"another configuration .*rate: 0\.00025 there, 0\.5 "):
        run("one", "optimiser.rate=0.5", resume=True)


def test_a_run_goes_on_with_moved_data_and_other_workers(run, own_world, values, tmp_path):
    whole = run("whole")
    with pytest.raises(InterruptedTrainingError, match="step 2"):
        run("parts", progress=stop_at(2))
    values["root"] = str(own_world.rename(tmp_path / "moved"))
    parts = run("parts", "training.workers=1", resume=True)
    assert same_learning(whole, parts)
    assert load(parts.run.path).facts.settings.root == values["root"]


# What a run can be


@pytest.mark.parametrize(
    "changes",
    [
        ["method={name: source_only}"],
        ["network.levels=1", "method.segmentation=[1.0]", "method.adversarial=[0.001]"],
        ["network.batch_norm=frozen", "method.objective=least_squares"],
        ["network.batch_norm=source", "bands=[4, 1]", "normalise_by=source"],
        ["optimiser={name: adamw, rate: 0.001}", "training.least_valid=0"],
        ["device.precision=bf16-mixed"],
    ],
    ids=str,
)
def test_runs_of_every_kind_learn_and_are_scored(run, changes):
    outcome = run("run", *changes)
    assert set(outcome.validation) == {"source", "target"}
    assert 0 <= outcome.validation["target"]["totals"]["miou"] <= 1
    assert all(np.isfinite(list(found.values())).all() for found in losses(outcome))
    facts = load(outcome.run.path).facts
    fresh = build.learner(facts.settings, len(facts.bands)).parts.network.state_dict()
    assert not same(dict(fresh), dict(state(outcome)["network"]))


def test_source_only_learns_nothing_from_the_target(run, own_world):
    one = run("one", "method={name: source_only}")
    (file,) = (own_world / "target").glob("*.tif")
    with rasterio.open(file, "r+") as image:
        image.write(image.read()[::-1])
    two = run("two", "method={name: source_only}")
    assert same_learning(one, two)


def test_adapted_batch_norm_moves_the_targets_statistics_alone(run, tmp_path):
    first = run("first", "method={name: source_only}")
    changes = [f"init_from={tmp_path / 'first'}", "method={name: adapted_batch_norm}"]
    then = run("then", *changes)
    assert same(state(first)["network"], state(then)["network"])
    assert not same(state(first)["statistics"], state(then)["statistics"])
    assert first.validation["source"]["counts"] == then.validation["source"]["counts"]
    assert first.validation["target"] != then.validation["target"]


def test_validation_is_that_of_the_saved_model(run):
    outcome = run("run")
    model = load(outcome.run.path)
    scored = build.scored(model.facts.settings)
    found = score(scored, model.parts, model.facts, device=model.device)
    assert found == outcome.validation == outcome.run.validation(3)


def test_record_states_what_every_result_must(run):
    outcome = run("run", "seed=7")
    record = json.loads(outcome.run.record.read_text())
    assert {
        "seed": 7,
        "method": "output_space",
        "classes": 7,
        "initial_weights": "random",
    }.items() <= (record.items())
    assert {"batch_norm", "evaluation", "target_split", "commit", "packages"} <= record.keys()
    facts = load(outcome.run.path).facts
    assert facts.record == record
    assert config.parse(yaml.safe_load(outcome.run.configuration.read_text()), where="") == (
        facts.settings
    )


# Statistics


@pytest.fixture
def reads(monkeypatch):
    """The domains whose statistics are taken, as they are."""
    taken = []
    whole = Region.statistics

    def statistics(self, *args, **options):
        taken.append(self.name)
        return whole(self, *args, **options)

    monkeypatch.setattr(Region, "statistics", statistics)
    return taken


def test_statistics_stand_beside_the_run_and_in_its_checkpoint(run, reads, monkeypatch):
    monkeypatch.setattr(region, "_piece", lambda block: 4000)  # scenes here are one block
    outcome = run("run", "statistics.pixels=20000")
    assert reads == ["source", "target"]
    facts = load(outcome.run.path).facts
    told = json.loads(outcome.run.statistics.read_text())
    assert {name: build.Taken.from_dict(found) for name, found in told.items()} == facts.statistics
    assert facts.statistics["target"].statistics.pixels < 192 * 192 * 0.7
    basis = told["target"]["basis"]
    assert basis.startswith("a sample of ")
    assert facts.record["statistics"]["target"] == basis
    assert outcome.validation["target"]["statistics"] == basis
    assert facts.normalise["target"].mean == facts.statistics["target"].statistics.mean


def test_given_numbers_need_no_statistics(run, reads):
    numbers = "normalisation={mean: [1, 2, 3, 4], std: [5, 6, 7, 8]}"
    outcome = run("run", "normalise_by=given", numbers)
    assert reads == []
    assert not outcome.run.statistics.exists()
    assert "statistics" not in outcome.validation["target"]


def test_statistics_are_not_taken_again_where_a_run_goes_on(run, reads, tmp_path):
    first = run("one")
    assert first == run("one", resume=True)
    first.run.checkpoint.unlink()  # as where it died before the first was saved
    again = run("one", resume=True)
    assert reads == ["source", "target"]
    assert again.validation == first.validation


def test_statistics_of_the_run_started_from_are_taken_over_where_they_hold(run, own_world, reads):
    first = run("first", "method={name: source_only}")
    begun = f"init_from={first.run.path}"
    then = run("then", begun)
    assert reads == ["source", "target"]
    assert json.loads(then.run.statistics.read_text()) == json.loads(
        first.run.statistics.read_text()
    )
    (file,) = (own_world / "target").glob("*.tif")
    with rasterio.open(file, "r+") as image:
        image.write(image.read() // 2)
    other = run("other", begun)
    assert reads == ["source", "target", "target"]
    ours, theirs = (load(found.run.path).facts.statistics for found in (other, then))
    assert ours["source"] == theirs["source"]
    assert ours["target"].fingerprint != theirs["target"].fingerprint
    assert ours["target"].statistics.mean < theirs["target"].statistics.mean


def test_checkpoints_of_before_statistics_were_kept_still_load(run):
    outcome = run("run")
    old = state(outcome)
    facts = json.loads(old["facts"])
    assert facts["ground_pixels"] == {"source": 2.0, "target": 2.0}
    for key in ("statistics", "ground_pixels"):
        del facts[key]
    del facts["settings"]["statistics"], facts["record"]["statistics"]
    checkpoint.save(outcome.run.checkpoint, old | {"facts": json.dumps(facts), "step": 2})
    found = load(outcome.run.path).facts
    assert (found.statistics, found.ground_pixels) == ({}, {})
    assert run("run", resume=True).step == 3


# Warm start


def test_warm_start_begins_with_a_runs_network_and_source_normaliser(run, own_world, tmp_path):
    first = run("first", "method={name: source_only}")
    (file,) = (own_world / "source").glob("*.tif")
    with rasterio.open(file, "r+") as image:
        image.write(image.read() * 2)
    rates = ["optimiser.rate=1.0e-30", "optimiser.weight_decay=0.0", "network.batch_norm=frozen"]
    then = run("then", f"init_from={tmp_path / 'first'}", *rates)
    assert same(state(first)["network"], state(then)["network"])
    ours, theirs = (load(o.run.path).facts.normalise for o in (then, first))
    assert ours["source"] == theirs["source"]
    assert json.loads(then.run.record.read_text())["initial_weights"] == str(tmp_path / "first")


def test_warm_start_from_another_class_table_is_refused(run, values, tmp_path):
    run("first")
    values["classes"][0]["name"] = "lava"
    with pytest.raises(CheckpointError, match=r"another class table \(1 water.*\(1 lava"):
        run("then", f"init_from={tmp_path / 'first'}")
    assert not (tmp_path / "then").exists()


# Mistakes


def test_existing_run_is_not_overwritten(run):
    before = run("one").run.checkpoint.read_bytes()
    with pytest.raises(OutputExistsError, match="already holds a run"):
        run("one", "seed=3")
    assert run("one", resume=True).run.checkpoint.read_bytes() == before


def test_resuming_needs_a_run(run, tmp_path):
    with pytest.raises(MissingFileError, match="no run here"):
        run("none", resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("source.scenes=[gone/*.tif]", MissingFileError, "no such file"),
        ("init_from=gone.pt", MissingFileError, r"gone\.pt: no checkpoint here"),
        ("bands=[5]", DataError, "has bands 1 to 4"),
        ("training.tile=256", DataError, "cannot hold a training window of 256 x 256"),
        ("training.tile=160", DataError, "no training area"),
        (
            "target.validation={side: east, share: 0.9}",
            DataError,
            "target region: no training area",
        ),
        ("ignored_ids=[7]", ConfigError, "ignored at once"),
        ("network.pretrained=true", ConfigError, "no weights of the small encoder"),
        ("source.labels=[target/labels/*.tif]", DataError, r"scene_1\.tif: .* has a place in EPSG"),
        ("training.tile=16", ConfigError, "need 32 or more"),
    ],
)
def test_mistakes_leave_nothing(run, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        run("run", change)
    assert not (tmp_path / "run").exists()


def test_validation_part_narrower_than_the_network_asks_for_is_scored(run):
    narrow = "target.validation={side: east, share: 0.04}"
    outcome = run("run", "network.encoder=resnet18", narrow, "training.steps=1")
    assert 0 < outcome.validation["target"]["totals"]["pixels"] <= 0.04 * 192**2


@pytest.mark.parametrize(
    "file", ["source/scene_1.tif", "source/labels/scene_1.tif", "target/scene_1.tif"]
)
def test_damaged_files_leave_nothing(run, own_world, tmp_path, file):
    data = (own_world / file).read_bytes()
    Path(own_world / file).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError, match=r"scene_1\.tif: "):
        run("run")
    assert not (tmp_path / "run").exists()


def test_unknown_label_ids_leave_nothing(run, values, tmp_path):
    del values["classes"][6]
    with pytest.raises(DataError, match=r"scene_1\.tif: label ids outside the class table: 7 \("):
        run("run")
    assert not (tmp_path / "run").exists()


def test_labels_without_a_class_leave_nothing(run, values, tmp_path):
    values["classes"] = [{"name": "snow", "id": 9, "colour": "#ffffff"}]
    values["ignored_ids"] = [0, 1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(DataError, match="no labelled valid pixel"):
        run("run")
    assert not (tmp_path / "run").exists()


# What goes wrong


def test_diverging_run_stops_at_the_last_good_checkpoint_and_does_so_again(run, tmp_path):
    hot = ["optimiser.rate=1000", "training.steps=30", "training.save_every=1"]
    with pytest.raises(NonFiniteError, match=r"lower optimiser\.rate or method\.adv") as stop:
        run("hot", *hot)
    folder, step = RunFolder(tmp_path / "hot"), stop.value.step
    said = f"{folder.checkpoint} holds the state of step {step - 1}, the last good one"
    assert said in str(stop.value)
    assert folder.events()[-1] == {"step": step, "stopped": str(stop.value)}
    with pytest.raises(NonFiniteError) as again:
        run("hot", *hot, resume=True)
    assert again.value.args == stop.value.args
    assert [event["step"] for event in folder.events()] == [*range(1, step + 1), step]
    kept = load(folder.path)
    assert kept.step == step - 1
    assert all(value.isfinite().all() for value in kept.parts.network.state_dict().values())


@pytest.mark.filterwarnings("ignore:.*damaged")
def test_a_damaged_checkpoint_is_not_named_as_the_last_good_one(run, tmp_path):
    changes = ["training.steps=30", "training.save_every=2"]
    with pytest.raises(InterruptedTrainingError):
        run("parts", *changes, progress=stop_at(3))
    folder = RunFolder(tmp_path / "parts")
    whole = folder.checkpoint.read_bytes()
    folder.checkpoint.write_bytes(whole[: len(whole) // 2])
    spoilt = folder.older_checkpoint(2)
    weights = checkpoint.load(spoilt)
    next(iter(weights["network"].values())).fill_(1e38)
    checkpoint.save(spoilt, weights)
    with pytest.raises(NonFiniteError, match=r"checkpoint-00000002\.pt holds the state of step 2"):
        run("parts", *changes, resume=True)


def test_discriminators_that_do_not_learn_are_told_once_and_written_down(run, tmp_path):
    rules = "method={name: output_space, discriminator_width: 4, discriminator_rate: 0}"
    change = [rules, "training.steps=43", "training.save_every=41"]

    def stop(event):
        if event["step"] == 42 and "losses" in event:
            raise InterruptedTrainingError("as if killed")

    with (
        pytest.warns(TrainingWarning, match=r"step 40: the loss of discriminator \d stays at 0.69"),
        pytest.raises(InterruptedTrainingError),
    ):
        run("stuck", *change, watch=stop)
    outcome = run("stuck", *change, resume=True)
    events = outcome.run.events()
    signs = [(event["step"], event["warning"]["sign"]) for event in events if "warning" in event]
    assert signs == [(40, "discriminator_1 stuck"), (40, "discriminator_2 stuck")]


def test_log_says_losses_and_figures_apart(run):
    watched = []
    events = run("run", watch=watched.append).run.events()
    assert watched == events
    first = events[0]
    kinds = ("segmentation", "adversarial", "discriminator")
    assert list(first["losses"]) == [f"{kind}_{level}" for kind in kinds for level in (1, 2)]
    assert first["figures"]["images_per_second"] > 0
    assert len(first["figures"]["share_target"]) == 7
    assert first["rates"] == {"network": 2.5e-4, "discriminator_1": 1e-4, "discriminator_2": 1e-4}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rsadapt.errors.TrainingWarning")
def test_adversarial_weight_that_is_far_too_large_drives_classes_out(run):
    """From a network that knows the source; without that weight others remain."""
    rate = "optimiser.rate=0.01"
    base = run("base", rate, "training.steps=150", "method={name: source_only}")
    found = []
    for weight in (300, 0):  # on seeds 0 to 2; 10 drives none out on seed 0
        rules = f"adversarial: [0, {weight}], discriminator_rate: 0.005, discriminator_width: 8"
        change = [rate, "training.steps=100", f"init_from={base.run.path}"]
        events = run(
            f"by-{weight}", *change, f"method={{name: output_space, {rules}}}"
        ).run.events()
        signs = [event["warning"]["sign"] for event in events if "warning" in event]
        found.append({sign for sign in signs if sign.endswith("vanished")})
    assert found[0] - found[1]
