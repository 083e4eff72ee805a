"""Driving data sets through the verbs: folders in their official layout, drawn small."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from rsadapt import build, config, weights
from rsadapt.data.procedural.street import write_streets
from rsadapt.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingFileError,
    OutputExistsError,
)
from rsadapt.model import load, load_bare
from rsadapt.run import RunFolder
from rsadapt.verbs.benchmark import benchmark
from rsadapt.verbs.check import check
from rsadapt.verbs.evaluate import evaluate
from rsadapt.verbs.export_weights import export_weights
from rsadapt.verbs.inspect import inspect
from rsadapt.verbs.predict import predict
from rsadapt.verbs.prepare import prepare
from rsadapt.verbs.train import train

RECIPE = Path("gta5-cityscapes")
SMALL = [
    "class_table=streets",
    "source.size={height: 32, width: 64}",
    "target.size={height: 32, width: 64}",
    "network.encoder=small",
    "network.layout=torchvision",
    "optimiser.updates=once",
    "optimiser.rate=0.01",
    "method.discriminator_width=4",
    "training.steps=3",
    "training.horizon=3",
    "training.validate_every=1",
    "training.save_every=1",
    "training.workers=0",
    "device={accelerator: cpu}",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """GTA5 and Cityscapes, a few small frames of each; read it, and copy it to change it."""
    folder = tmp_path_factory.mktemp("streets") / "data"
    write_streets(
        folder, seed=0, source_frames=3, target_frames=3, validation_frames=2, height=64, width=128
    )
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of three steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(RECIPE, out=out, data=data, assignments=SMALL).run.path


@pytest.fixture
def own_data(data, tmp_path):
    return Path(shutil.copytree(data, tmp_path / "data"))


def frames(data):
    return sorted((data / "Cityscapes" / "leftImg8bit" / "val").rglob("*.png"))


def labels_of(image):
    return Path(
        str(image).replace("leftImg8bit", "gtFine", 1).replace("_leftImg8bit", "_gtFine_labelIds")
    )


# Settings


def small(*assignments, data=None):
    return build.configuration(RECIPE, [*SMALL, *assignments], data=data)


def test_frames_stay_upright_unless_a_flip_is_asked_for():
    values = config.load_yaml(config.recipe(str(RECIPE)))
    del values["training"]["augment"]
    for training in (values["training"], {}):
        settings = config.parse(values | {"training": training}, where="test")
        assert settings.training.augment == []
        assert config.parse(yaml.safe_load(config.dump(settings)), where="dump") == settings
    del values["training"]
    assert config.parse(values, where="test").training.augment == []
    assert small("training.augment=[flip]").training.augment == ["flip"]
    with pytest.raises(ConfigError, match=r"training\.sampling: frames .* choose uniform"):
        small("training.sampling=class_rarity")
    with pytest.raises(ConfigError, match=r"'dihedral' turns frames .* choose \[flip\]"):
        small("training.augment=[flip, dihedral]")
    with pytest.raises(ConfigError, match=r"'rotate' turns frames .* choose \[flip\]"):
        small("training.augment=[brightness, rotate]")
    assert small("training.augment=[scale, brightness, blur]").training.augment[0] == "scale"


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["target.validation_split=test"],
            "'target.validation_split': Cityscapes 'test' has no labels; choose train or val",
        ),
        (
            ["source.dataset=cityscapes", "source.split=test"],
            "'source.split': Cityscapes 'test' has no labels; choose train or val",
        ),
        (
            ["source={dataset: crosscity, city: Rio, split: train, size: {height: 32, width: 64}}"],
            "'source.split': Cross-City Rio 'train' has no labels; choose test",
        ),
    ],
)
def test_splits_without_labels_are_refused_where_labels_are_needed(data, assignments, message):
    with pytest.raises(ConfigError, match=message):
        build.places(small(*assignments, data=data))
    if "validation_split" in message:
        with pytest.raises(ConfigError, match=message):
            build.scored(small(*assignments, data=data))


def test_target_split_is_the_sources_only_where_its_files_are():
    same = "trained with the target's labels, which are the source's"
    on_target = [f"source={config.load_yaml(config.recipe(str(RECIPE)))['target']}"]
    assert build.target_split(small(*on_target)) == same
    assert build.target_split(small(*on_target, "source.folder=./Cityscapes/")) == same
    for other in ("source.folder=Foggy", "source.split=val"):
        change = [*on_target, other, "source.validation_split=null"]
        said = build.target_split(small(*change))
        assert said == "trained on cityscapes train, without labels"
    cities = [
        f"{name}={{dataset: crosscity, city: {city}, split: test, size: {{height: 32, width: 64}}}}"
        for name, city in (("source", "Rome"), ("target", "Rio"))
    ]
    assert build.target_split(small(*cities)) == "trained on crosscity test, without labels"


def test_frames_are_counted_beside_the_official_number(data):
    expected = {"GTA5 all": (3, 24966), "Cityscapes train": (3, 2975), "Cityscapes val": (2, 500)}
    assert build.frame_counts(small(data=data)) == expected
    gone = build.frame_counts(small("target.folder=gone", data=data))
    assert gone["Cityscapes val in gone"] == (0, 500)
    assert build.frame_words({"a": (3, 5), "b": (3, None)}) == {
        "a": "3 of 5 frames",
        "b": "3 frames",
    }
    assert build.frame_counts(build.configuration(Path("demo"))) == {}


# Training and scoring


def test_recipe_trains_from_the_official_folders(run, data):
    record = json.loads(RunFolder(run).record.read_text())
    assert record["initial_weights"] == "random"
    assert record["target_split"] == "trained on cityscapes train, without labels"
    assert "64 x 32 (width x height)" in record["evaluation"]
    assert set(RunFolder(run).validations()) == {1, 2, 3}
    assert set(RunFolder(run).validation(3)) == {"target"}
    assert evaluate(run) == RunFolder(run).validation(3)


def test_score_is_that_of_logits_brought_to_each_labels_size(run, data):
    model = load(run)
    counts = np.zeros((9, 9), int)
    scheme = build.class_scheme(model.facts.settings)
    for file in frames(data):
        image = np.asarray(Image.open(file).resize((64, 32), Image.Resampling.BICUBIC))
        planes = image.transpose(2, 0, 1)[::-1].astype(np.float32)
        mean = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
        batch = torch.from_numpy(planes - mean[:, None, None])[None]
        with torch.inference_mode():
            model.parts.network.eval()
            logits = model.parts.upsample(model.parts.network(batch)[-1], (64, 128))
        label = np.asarray(Image.open(labels_of(file)))
        for train_id, (raw,) in enumerate(scheme.ids):
            predicted = logits.argmax(1)[0].numpy()[label == raw]
            counts[train_id] += np.bincount(predicted, minlength=9)
    report = evaluate(run)["target"]
    assert report["counts"] == counts.tolist()
    assert report["initial_weights"] == "random"


def test_cells_at_their_true_places_are_scored_at_the_labels_size_too(data, tmp_path):
    true = train(
        RECIPE, out=tmp_path / "run", data=data, assignments=[*SMALL, "network.upsampling=cells"]
    )
    codes = build.class_scheme(build.configuration(RECIPE, SMALL)).codes
    labels = [np.asarray(Image.open(labels_of(file))) for file in frames(data)]
    labelled = sum(int(np.isin(label, codes).sum()) for label in labels)
    assert evaluate(true.run.path)["target"]["totals"]["pixels"] == labelled


def test_moved_data_is_named_when_scoring(run, own_data):
    shutil.rmtree(own_data / "GTA5")  # of which nothing is scored
    assert evaluate(run, data=own_data) == evaluate(run)
    with pytest.raises(MissingFileError, match="expected Cityscapes with"):
        evaluate(run, data=own_data / "gone")


def test_target_labels_of_the_training_split_are_never_read(run, own_data, tmp_path):
    for file in (own_data / "Cityscapes" / "gtFine" / "train").rglob("*.png"):
        file.write_bytes(b"no image")
    blind = train(RECIPE, out=tmp_path / "run", data=own_data, assignments=SMALL)
    ours, theirs = load(run).parts.network, load(blind.run.path).parts.network
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


# Weight files


def test_weights_go_out_and_are_scored_and_mapped_as_the_run(run, data, tmp_path):
    """The small encoder has no published names; its own do."""
    file = export_weights(run, tmp_path / "own.safetensors", names="own")
    scored = evaluate(file, recipe=RECIPE, assignments=SMALL, data=data)["target"]
    expected = evaluate(run)["target"]
    assert scored["counts"] == expected["counts"]
    assert scored["initial_weights"].startswith("unknown; scored is own.safetensors (sha256")
    with pytest.raises(CheckpointError, match="no published names"):
        export_weights(run, tmp_path / "published.pth")
    with pytest.raises(CheckpointError, match="bare weights; name the recipe"):
        evaluate(export_weights(run, tmp_path / "own.pth", names="own"))


def test_bare_weights_must_hold_the_whole_network(run, data, tmp_path):
    file = tmp_path / "headless.pth"
    tensors = weights.read_weights(run / "checkpoint.pt")
    weights.write_weights(
        file, {name: value for name, value in tensors.items() if "classifiers" not in name}
    )
    settings = build.configuration(RECIPE, SMALL, data=data)
    with pytest.raises(CheckpointError, match="not all of the network stands in it"):
        load_bare(file, settings)
    single = tmp_path / "single.pth"
    weights.write_weights(
        single, {name: value for name, value in tensors.items() if "classifiers.0" not in name}
    )
    parts = load_bare(single, settings).parts  # no more than the main level predicts
    whole = load(run).parts.network.state_dict()
    for name, value in parts.network.state_dict().items():
        assert "classifiers.0" in name or torch.equal(value, whole[name])
    started = train(RECIPE, out=tmp_path / "run", data=data, init=file, assignments=SMALL)
    record = json.loads(started.run.record.read_text())
    assert "headless.pth (sha256" in record["initial_weights"]
    assert "not in the file" in record["initial_weights"]


def test_settings_of_a_run_stay(run):
    with pytest.raises(ConfigError, match="the settings of a run stay"):
        evaluate(run, assignments=["seed=1"])


# Predictions


def test_predictions_are_label_ids_at_full_size_and_their_colours(run, data, tmp_path):
    written = predict(run, frames(data), tmp_path / "out")
    scheme = build.class_scheme(load(run).facts.settings)
    counts = np.zeros((9, 9), int)
    for frame, image in zip(written, frames(data), strict=True):
        assert frame.ids == tmp_path / "out" / "ids" / image.name
        ids, colours = np.asarray(Image.open(frame.ids)), np.asarray(Image.open(frame.colours))
        with Image.open(frame.ids) as stored:
            assert stored.mode == "L"
        assert ids.shape == (64, 128)
        assert set(np.unique(ids)) <= set(scheme.codes)
        assert (colours == scheme.paint(scheme.encode(ids))).all()
        truth = scheme.encode(np.asarray(Image.open(labels_of(image))))
        for row, column in zip(truth.ravel(), scheme.encode(ids).ravel(), strict=True):
            if row != 255:
                counts[row, column] += 1
    assert evaluate(run)["target"]["counts"] == counts.tolist()
    with pytest.raises(OutputExistsError, match="is left as it is"):
        predict(run, frames(data)[:1], tmp_path / "out")
    predict(run, frames(data)[:1], tmp_path / "out", overwrite=True)


def test_images_that_are_none_are_named(run, tmp_path):
    (tmp_path / "frame.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"frame\.png"):
        predict(run, [tmp_path / "frame.png"], tmp_path / "out")
    with pytest.raises(MissingFileError, match=r"gone\.png"):
        predict(run, [tmp_path / "gone.png"], tmp_path / "out")


# Checking and preparing


def test_check_counts_and_says_what_to_download(data, own_data):
    gta5, cityscapes = check(["gta5-cityscapes"], data)
    assert (gta5.title, [s.split for s in gta5.splits]) == ("GTA5", ["all"])
    assert [(s.split, s.found, s.official) for s in cityscapes.splits] == [
        ("train", 3, 2975),
        ("val", 2, 500),
    ]
    assert not gta5.complete
    assert "01_images.zip" in gta5.download
    frames(own_data)[0].write_bytes(b"no image")
    labels_of(frames(own_data)[1]).unlink()
    (report,) = check(["cityscapes"], own_data)
    val = next(split for split in report.splits if split.split == "val")
    assert list(val.damaged) == [frames(own_data)[0]]
    assert len(val.without_label) == 1


def test_check_keeps_data_sets_of_one_folder_apart(own_data):
    recipe = own_data / "one.yaml"
    settings = small("source.folder=all", "target.folder=all", data=own_data)
    recipe.write_text(config.dump(settings))
    for name in ("GTA5", "Cityscapes"):
        shutil.copytree(own_data / name, own_data / "all", dirs_exist_ok=True)
    reports = check([str(recipe)], own_data)
    assert [(r.title, [(s.split, s.found) for s in r.splits]) for r in reports] == [
        ("GTA5", [("all", 3)]),
        ("Cityscapes", [("train", 3), ("val", 2)]),
    ]


def test_check_of_regions_points_to_inspect(tmp_path):
    with pytest.raises(ConfigError, match="rsadapt inspect"):
        check(["demo"], tmp_path)
    with pytest.raises(MissingFileError, match="no recipe is called 'nothing'"):
        check(["nothing"], tmp_path)


def test_inspect_of_folders_points_to_check(data):
    with pytest.raises(ConfigError, match="rsadapt check"):
        inspect(RECIPE, SMALL)


def test_prepared_frames_train_the_same_weights(run, data, tmp_path):
    source, target = prepare(RECIPE, tmp_path / "prepared", data=data, assignments=SMALL)
    assert (source.name, target.name) == ("gta5-all-64x32", "cityscapes-train-64x32")
    told = []
    again = {"data": data, "assignments": SMALL, "progress": lambda *call: told.append(call)}
    assert prepare(RECIPE, tmp_path / "prepared", **again) == [source, target]
    assert told == [(f"prepare {name}, prepared already", 3, 3) for name in ("source", "target")]
    ready = [*SMALL, f"prepared={tmp_path / 'prepared'}"]
    trained = train(RECIPE, out=tmp_path / "run", data=data, assignments=ready)
    ours, theirs = load(run).parts.network, load(trained.run.path).parts.network
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    other = [*ready, "source.size={height: 48, width: 64}"]
    with pytest.raises(MissingFileError, match="gta5-all-64x48"):
        train(RECIPE, out=tmp_path / "other", data=data, assignments=other)


def test_prepared_frames_of_a_folder_of_its_own_stand_apart():
    names = [
        build.prepared_folder(small("prepared=fast", *folder), "target").name
        for folder in ([], ["target.folder=foggy/Cityscapes"], ["target.folder=../Cityscapes"])
    ]
    assert names == [
        "cityscapes-train-64x32",
        "cityscapes-foggy_Cityscapes-train-64x32",
        "cityscapes-Cityscapes-train-64x32",
    ]


def test_prepared_frames_of_another_folder_are_refused(own_data, tmp_path):
    prepare(RECIPE, tmp_path / "fast", data=own_data, assignments=SMALL)
    shutil.rmtree(own_data / "GTA5")
    write_streets(own_data / "new", seed=9, source_frames=3, target_frames=1, height=64, width=128)
    (own_data / "new" / "GTA5").rename(own_data / "GTA5")
    ready = [*SMALL, f"prepared={tmp_path / 'fast'}"]
    with pytest.raises(ConfigError, match=r"gta5-all-64x32.*the image files differ in size"):
        train(RECIPE, out=tmp_path / "run", data=own_data, assignments=ready)


ON_TARGET = [
    "source={dataset: cityscapes, split: train, size: {height: 32, width: 64}}",
    "method={name: source_only}",
]


def test_frames_of_source_and_target_at_once_are_prepared_once_with_labels(data, tmp_path):
    fast = tmp_path / "fast"
    assert prepare(RECIPE, fast, data=data, assignments=[*SMALL, *ON_TARGET]) == [
        fast / "cityscapes-train-64x32"
    ]
    prepare(RECIPE, fast, data=data, assignments=SMALL)  # its target takes the same
    result = benchmark(
        "gta5-cityscapes",
        data,
        out=tmp_path / "bench",
        init="random",
        rows=["target-trained", "multi"],
        assignments=[*SMALL, f"prepared={fast}"],
    )
    assert list(result.measured) == ["multi", "target-trained"]  # in the order of the paper


# Benchmark


@pytest.fixture(scope="module")
def bench(data, tmp_path_factory):
    """Five rows with two seeds, on the command's own path."""
    out = tmp_path_factory.mktemp("bench") / "out"
    rows = ["source-only", "feature", "single", "multi", "lsgan", "target-trained"]

    def run_it(**changes):
        options = {"out": out, "init": "random", "rows": rows, "seeds": [0, 1]} | changes
        assignments = options.pop("changes", SMALL)
        return benchmark("gta5-cityscapes", data, assignments=assignments, **options)

    return run_it, out, run_it()


def test_benchmark_trains_every_row_and_stands_beside_the_paper(bench):
    _, out, result = bench
    assert sorted(p.name for p in (out / "runs").iterdir()) == ["seed-0", "seed-1"]
    assert list(result.measured) == [
        "source-only",
        "feature",
        "single",
        "multi",
        "lsgan",
        "target-trained",
    ]
    text = result.markdown.read_text()
    assert "| 42.4 | Tsai et al. 2018 (arXiv 1802.10349), table 1 |" in text
    assert "initial weights: random" in text
    figures = json.loads(result.figures.read_text())
    best = figures["measured_best_snapshot_chosen_with_target_labels"]
    for row, line in figures["measured_final_iteration"].items():
        assert set(line["seeds"]) == {"0", "1"}
        assert best[row]["miou"] >= line["miou"]
    assert result.chart.read_bytes().startswith(b"\x89PNG")


def test_rows_differ_in_what_they_say_and_in_nothing_else(bench):
    _, out, _ = bench
    records = {
        path.parent.name: json.loads(path.read_text())
        for path in (out / "runs" / "seed-0").glob("*/run.json")
    }
    assert {name: record["method"] for name, record in records.items()} == {
        "source-only": "source_only",
        "feature": "feature_space",
        "single": "output_space",
        "multi": "output_space",
        "lsgan": "output_space",
        "target-trained": "source_only",
    }
    said = records["target-trained"]["target_split"]
    assert said == "trained with the target's labels, which are the source's"


def test_numbers_of_frames_are_told_where_they_are_not_the_official_ones(bench, monkeypatch):
    run_it, _, _ = bench
    calls = []
    result = run_it(progress=lambda *call: calls.append(call))
    note = "note: not the official number of frames, "
    told = [(task.removeprefix(note), *n) for task, *n in calls if task.startswith(note)]
    assert told == [
        ("GTA5 all", 3, 24966),
        ("Cityscapes train", 3, 2975),
        ("Cityscapes val", 2, 500),
    ]
    assert (
        "**Not comparable with the published figures: other frames than the official ones (GTA5 "
        "all 3 of 24966, Cityscapes train 3 of 2975, Cityscapes val 2 of 500).**"
    ) in result.markdown.read_text().split("\n\n")
    records = json.loads(result.figures.read_text())["records"]
    assert records["multi"]["frames"]["GTA5 all"] == "3 of 24966 frames"
    assert "- frames: " in result.markdown.read_text()
    complete = {"GTA5 all": (24966, 24966)}
    monkeypatch.setattr(build, "frame_counts", lambda _: complete)
    calls.clear()
    assert "official ones" not in run_it(progress=lambda *c: calls.append(c)).markdown.read_text()
    assert not any("official" in task for task, *_ in calls)


def test_prepared_frames_that_do_not_fit_are_found_before_anything_is_trained(
    bench, data, tmp_path
):
    run_it, _, _ = bench
    prepare(RECIPE, tmp_path / "fast", data=data, assignments=SMALL)
    ready = [*SMALL, f"prepared={tmp_path / 'fast'}"]
    with pytest.raises(ConfigError, match=r"cityscapes-train-64x32.*expected classes.*found None"):
        run_it(out=tmp_path / "new", changes=ready, rows=["source-only", "target-trained"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(OutputExistsError, match=r"expected classes .*or delete this one"):
        prepare(RECIPE, tmp_path / "fast", data=data, assignments=[*SMALL, *ON_TARGET])


def test_benchmark_goes_on_where_it_was(bench):
    run_it, out, result = bench
    before = (out / "runs" / "seed-1" / "multi" / "checkpoint.pt").stat().st_mtime_ns
    shutil.rmtree(out / "runs" / "seed-1" / "lsgan")
    again = run_it()
    assert (out / "runs" / "seed-1" / "multi" / "checkpoint.pt").stat().st_mtime_ns == before
    for row, line in result.measured.items():
        assert again.measured[row]["seeds"] == line["seeds"]


def test_report_says_what_makes_its_figures_not_comparable(bench):
    _, _, result = bench
    title, *notes = result.markdown.read_text().split("\n\n")[:4]
    assert title == "# GTA5 -> Cityscapes, as published, but for what was changed"
    assert f"the recipe was changed ({', '.join(SMALL)})" in notes[0]
    assert "initial weights random, not the authors'" in notes[2]
    figures = json.loads(result.figures.read_text())
    assert figures["changes"] == SMALL
    assert len(figures["not_comparable_with_the_published"]) >= 3


def test_report_gathers_what_every_call_trained(data, tmp_path):
    def run_it(rows, *changes, seeds=(0,)):
        return benchmark(
            "gta5-cityscapes",
            data,
            out=tmp_path,
            init="random",
            rows=rows,
            seeds=seeds,
            assignments=[*SMALL, *changes],
        )

    assert list(run_it(["single"]).measured) == ["single"]
    found = run_it(["source-only"], seeds=(1,)).measured
    assert {row: list(line["seeds"]) for row, line in found.items()} == {
        "source-only": [1],
        "single": [0],
    }
    before = sorted(path for path in tmp_path.rglob("*") if path.is_dir())
    with pytest.raises(OutputExistsError, match=r"single: holds a run of another configuration"):
        run_it(["multi", "single"], "optimiser.rate=0.02")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_dir()) == before
    other = run_it(["multi"], "optimiser.rate=0.02")
    assert list(other.measured) == ["multi"]
    left = "Left out, as they have other settings: seed-1/source-only, seed-0/single."
    assert left in other.markdown.read_text()


def test_report_stands_after_every_run(data, tmp_path):
    def stop(task, done, _total):
        if task == "multi, seed 0" and done == 1:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        benchmark(
            "gta5-cityscapes",
            data,
            out=tmp_path,
            init="random",
            rows=["source-only", "multi"],
            assignments=[*SMALL, "training.log_every=1"],
            progress=stop,
        )
    table = json.loads((tmp_path / "table.json").read_text())
    assert list(table["measured_final_iteration"]) == ["source-only"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rows": ["mutli"]}, ConfigError, "no row is called 'mutli'; there are source-only"),
        ({"init": "gone.pth"}, MissingFileError, r"gone\.pth: no weight file here"),
        ({"rows": ["vgg"], "init": "x.pth"}, ConfigError, "--vgg-init"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(bench, tmp_path, changes, error, message):
    run_it, _, _ = bench
    with pytest.raises(error, match=message):
        run_it(out=tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_benchmark_without_data_says_what_to_download(tmp_path):
    with pytest.raises(MissingFileError, match=r"GTA5.*01_images\.zip"):
        benchmark("gta5-cityscapes", tmp_path, out=tmp_path / "out", init="random")
    with pytest.raises(ConfigError, match="there are gta5-cityscapes, synthia-cityscapes"):
        benchmark("gta6", tmp_path, out=tmp_path / "out", init="random")


def test_weights_that_do_not_fit_are_found_before_anything_is_trained(bench, run, tmp_path):
    run_it, _, _ = bench
    small = export_weights(run, tmp_path / "small.pth", names="own")
    other = [*SMALL, "network.encoder=resnet18"]
    with pytest.raises(CheckpointError, match=r"small\.pth"):
        run_it(out=tmp_path / "new", init=str(small), changes=other)
    assert not (tmp_path / "new").exists()
