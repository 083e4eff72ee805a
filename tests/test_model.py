"""Trained networks: read back as they were saved, and gone on from."""

import copy
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rsadapt import build, config
from rsadapt.adapt import checkpoint
from rsadapt.data.procedural.world import WORLD_CLASSES
from rsadapt.errors import CheckpointError, ConfigError, MissingFileError
from rsadapt.geo.normalise import Normaliser
from rsadapt.model import (
    Facts,
    Start,
    load,
    load_bare,
    probabilities,
    reopen,
    saved,
    warm_start,
)
from rsadapt.run import digest
from rsadapt.weights import load_all

BANDS = (1, 2, 3, 4)


@pytest.fixture
def settings(values):
    """Settings with "dotted.key=value" changes."""

    def parse(*assignments):
        return config.parse(config.assign(values, list(assignments)), where="test")

    return parse


@pytest.fixture
def trained(settings, tmp_path):
    """A checkpoint as a run writes it, with statistics of both domains."""
    learner = build.learner(settings("seed=5"), 4)
    for domain in ("source", "target"):
        learner.parts.train()
        with learner.parts.statistics.domain(domain):
            learner.parts.network(torch.randn(2, 4, 16, 16) + (domain == "target"))
    normalise = {
        "source": Normaliser((1.0,) * 4, (2.0,) * 4),
        "target": Normaliser((3.0,) * 4, (4.0,) * 4),
    }
    facts = Facts(settings("seed=5"), normalise, BANDS, {"seed": 5})
    file = tmp_path / "run" / "checkpoint.pt"
    file.parent.mkdir()
    state = {
        "step": 8,
        "facts": facts.to_json(),
        "network": learner.parts.network.state_dict(),
        "statistics": learner.parts.statistics.state_dict(),
    }
    checkpoint.save(file, state)
    return file, facts, learner.parts


def test_facts_read_back_the_same(trained):
    _, facts, _ = trained
    assert Facts.from_json(facts.to_json(), where=Path("x")) == facts
    unknown = json.loads(facts.to_json())
    unknown["settings"]["training"]["epochs"] = 3
    with pytest.raises(ConfigError, match=r"x\.pt: unknown key 'training\.epochs'"):
        Facts.from_json(json.dumps(unknown), where=Path("x.pt"))


def test_an_old_run_reads_all_bands_alpha_too(trained):
    _, facts, _ = trained
    older = json.loads(facts.to_json())
    del older["target_bands"]
    assert Facts.from_json(json.dumps(older), where=Path("x")).settings.bands == [1, 2, 3, 4]


def test_bands_of_a_domain_are_chosen_or_those_trained_on(trained, settings):
    _, facts, _ = trained
    facts = replace(facts, target_bands=(2, 3, 4, 5))
    assert (facts.bands_of("source"), facts.bands_of("target")) == (BANDS, (2, 3, 4, 5))
    chosen = replace(facts, settings=settings("bands=[4, 3, 2, 1]", "source.bands=[a, b, c, d]"))
    assert chosen.bands_of("source") == ["a", "b", "c", "d"]
    assert chosen.bands_of("target") == [4, 3, 2, 1]


def test_model_answers_as_it_did_when_it_was_saved(trained):
    file, facts, parts = trained
    images = torch.randn(2, 4, 20, 24)
    answers = []
    for model in (load(file), load(file.parent)):
        assert (model.step, model.facts, model.scheme) == (8, facts, WORLD_CLASSES)
        for domain in ("source", "target"):
            found = probabilities(model.parts, domain)(images)
            expected = probabilities(parts, domain)(images)
            assert torch.equal(found, expected)
            assert found.shape == (2, 7, 20, 24)
            torch.testing.assert_close(found.sum(1), torch.ones(2, 20, 24))
            answers.append(found)
    assert not torch.equal(answers[0], answers[1])


def test_pretrained_model_is_loaded_without_a_download(trained, tmp_path):
    file, _, _ = trained
    state = checkpoint.load(file)
    facts = json.loads(state["facts"])
    facts["settings"]["network"]["pretrained"] = True  # would be refused for the small encoder
    checkpoint.save(tmp_path / "other.pt", state | {"facts": json.dumps(facts)})
    assert load(tmp_path / "other.pt").facts.settings.network.pretrained


def test_bare_weights_are_no_model(trained, tmp_path):
    _, _, parts = trained
    checkpoint.save(tmp_path / "bare.pt", parts.network.state_dict())
    with pytest.raises(CheckpointError, match=r"bare\.pt: bare weights"):
        load(tmp_path / "bare.pt")


def test_missing_model(tmp_path):
    with pytest.raises(MissingFileError, match=r"no run here .*--labels"):
        load(tmp_path)


def test_warm_start_takes_weights_statistics_and_the_sources_normaliser(trained, settings):
    file, facts, theirs = trained
    chosen = settings(f"init_from={file.parent}", "seed=9")
    ours = build.learner(chosen, 4).parts
    assert warm_start(ours, chosen, BANDS).normalise == facts.normalise["source"]
    for mine, yours in (
        (ours.network.state_dict(), theirs.network.state_dict()),
        (ours.statistics.state_dict(), theirs.statistics.state_dict()),
    ):
        assert all(torch.equal(mine[name], yours[name]) for name in yours)


def test_warm_start_from_bare_weights_starts_the_target_from_them(trained, settings, tmp_path):
    _, _, theirs = trained
    checkpoint.save(tmp_path / "bare.pt", theirs.network.state_dict())
    chosen = settings(f"init_from={tmp_path / 'bare.pt'}")
    ours = build.learner(chosen, 4).parts
    start = warm_start(ours, chosen, BANDS)
    assert start.normalise is None
    assert start.weights.startswith(f"bare.pt (sha256 {digest(tmp_path / 'bare.pt')}): own names")
    images = torch.randn(1, 4, 16, 16)
    answers = [probabilities(ours, domain)(images) for domain in ("source", "target")]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], probabilities(theirs, "source")(images))


def test_no_warm_start(settings):
    chosen = settings()
    parts = build.learner(chosen, 4).parts
    before = copy.deepcopy(parts.network.state_dict())
    assert warm_start(parts, chosen, BANDS) == Start("random")
    after = parts.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "classes=[{name: a, id: 1, colour: '#000000'}]",
            r"another class table \(1 water.*\(1 a\)",
        ),
        ("network.levels=1", r"tensors do not fit the configured network.*'network'"),
        ("network.encoder=resnet18", "tensors do not fit"),
    ],
)
def test_warm_start_that_does_not_fit(trained, values, change, message):
    file, _, _ = trained
    values["method"] = {"name": "source_only", "segmentation": [1.0] * (2 - (change[-1] == "1"))}
    assignments = [change, f"init_from={file}"]
    chosen = config.parse(config.assign(values, assignments), where="test")
    parts = build.learner(chosen, 4).parts
    with pytest.raises(CheckpointError, match=message):
        warm_start(parts, chosen, BANDS)


def test_warm_start_in_another_order_of_bands_is_refused(trained, settings):
    chosen = settings(f"init_from={trained[0]}")
    parts = build.learner(chosen, 4).parts
    with pytest.raises(CheckpointError, match=r"trained on bands \[1, 2, 3, 4\].*\[4, 3, 2, 1\]"):
        warm_start(parts, chosen, (4, 3, 2, 1))


def test_weights_of_other_bands_do_not_fit(trained, settings):
    file, _, _ = trained
    parts = build.learner(settings(), 3).parts
    with pytest.raises(
        CheckpointError, match=r"1 of \d+ tensors .* such as encoder\.stem\.0\.weight"
    ):
        load_all(parts.network, checkpoint.load(file)["network"], where=file)


def test_a_run_is_not_taken_for_bare_weights(trained, settings):
    file, _, _ = trained
    with pytest.raises(CheckpointError, match=r"a run's checkpoint.* leave --recipe out"):
        load_bare(file, settings())


@pytest.mark.parametrize("part", ["network", "statistics", "step"])
def test_missing_part_of_a_checkpoint_is_named(trained, tmp_path, part):
    state = checkpoint.load(trained[0])
    del state[part]
    checkpoint.save(tmp_path / "c.pt", state)
    with pytest.raises(CheckpointError, match=rf"c\.pt: .*{part} missing"):
        load(tmp_path / "c.pt")


def test_double_precision_is_kept_when_a_run_is_opened(trained, tmp_path):
    file, _, _ = trained
    state = checkpoint.load(file)
    facts = json.loads(state["facts"])
    facts["settings"]["device"]["precision"] = "64-true"
    state["facts"] = json.dumps(facts)
    state["network"] = {
        name: value.double() + 1e-12 if value.is_floating_point() else value
        for name, value in state["network"].items()
    }
    checkpoint.save(tmp_path / "c.pt", state)
    try:
        found = load(tmp_path / "c.pt").parts.network.state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[name], value) for name, value in state["network"].items())


def test_copied_run_needs_nothing_else(trained, tmp_path):
    file, _, _ = trained
    shutil.copy(file, tmp_path / "renamed.pt")
    assert load(tmp_path / "renamed.pt").step == 8


def test_another_process_opens_the_same_model_once(trained, tmp_path):
    file, facts, parts = trained
    bare = tmp_path / "bare.pt"
    torch.save(parts.network.state_dict(), bare)
    opened = load_bare(bare, facts.settings)
    earlier = opened.facts.record | {"started": "2026-01-01T00:00:00+00:00"}
    opened = replace(opened, facts=replace(opened.facts, record=earlier))
    place = pickle.loads(pickle.dumps(saved(opened, bare=True)))
    again = reopen(place)
    images = torch.randn(1, 4, 32, 32)
    with torch.inference_mode():
        expected, found = (
            probabilities(model.parts, "target")(images) for model in (opened, again)
        )
    assert torch.equal(expected, found)
    assert again.facts == opened.facts
    assert reopen(pickle.loads(pickle.dumps(place))) is again
    assert reopen(saved(load(file), bare=False)).step == 8
    bare.write_bytes(b"another")
    with pytest.raises(CheckpointError, match=r"bare\.pt: is another file than when prediction"):
        reopen(place)
    bare.unlink()
    with pytest.raises(MissingFileError, match=r"bare\.pt: no such file"):
        reopen(place)


@pytest.fixture
def trained_elsewhere(trained, tmp_path):
    """A checkpoint of a run on an accelerator that no machine of the tests has."""
    state = checkpoint.load(trained[0])
    facts = json.loads(state["facts"])
    facts["settings"]["device"] |= {"accelerator": "mps", "threads": 1}
    file = tmp_path / "elsewhere.pt"
    checkpoint.save(file, state | {"facts": json.dumps(facts)})
    return file


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has what the test says is lacking")
def test_what_was_trained_on_another_device_is_used_on_what_there_is(trained, trained_elsewhere):
    with pytest.warns(UserWarning, match="was trained on mps, which this machine lacks; uses "):
        moved = load(trained_elsewhere)
    assert torch.equal(
        probabilities(moved.parts, "target")(torch.ones(1, 4, 32, 32, device=moved.device)).cpu(),
        probabilities(load(trained[0]).parts, "target")(torch.ones(1, 4, 32, 32)),
    )
    with pytest.raises(ConfigError, match=r"accelerator is mps, and this machine has .*cpu"):
        load(trained_elsewhere, build.Use("mps"))
    with pytest.raises(ConfigError, match="threads: expected at least 1, found 0"):
        load(trained_elsewhere, build.Use(threads=0))


def test_a_device_that_is_asked_for_is_taken_in_other_processes_too(trained_elsewhere):
    use = build.Use("cpu", threads=2)
    opened = load(trained_elsewhere, use)
    again = reopen(pickle.loads(pickle.dumps(saved(opened, bare=False, use=use))))
    assert again is not opened
    for model in (opened, again):
        assert model.device == torch.device("cpu")
        assert model.facts.settings.device.threads == 2


def test_one_weight_file_under_two_recipes_is_two_models(trained, settings, tmp_path):
    _, facts, parts = trained
    bare = tmp_path / "bare.pt"
    torch.save(parts.network.state_dict(), bare)
    other = settings("seed=5", "network.rates=[2, 5]")
    places = [saved(load_bare(bare, each), bare=True) for each in (facts.settings, other)]
    assert places[0].digest != places[1].digest
    found = [reopen(place).facts.settings.network.rates for place in places]
    assert found == [facts.settings.network.rates, [2, 5]]
    assert found[0] != found[1]
