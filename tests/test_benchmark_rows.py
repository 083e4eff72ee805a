"""Rows of the benchmarks: valid configurations that differ in what their names say alone."""

from pathlib import Path

import pytest

from rsadapt import config
from rsadapt.benchmark_rows import (
    AS_IN_THE_PAPER,
    BENCHMARKS,
    IMAGENET,
    adaptation_rows,
    benchmark_values,
    city_rows,
    initial_weights,
)
from rsadapt.study import Row

GTA5 = BENCHMARKS["gta5-cityscapes"]
VGG = Row("vgg", {"network.encoder": "vgg16"})


def flat(values, prefix=""):
    """Every field that is no group, by dotted name."""
    fields = {}
    for key, value in values.items():
        if isinstance(value, dict):
            fields |= flat(value, f"{prefix}{key}.")
        else:
            fields[prefix + key] = value
    return fields


def settings_of(values, row):
    return config.parse(config.change(values, row.changes), where=row.name).model_dump()


def differences(name, values):
    """What a row sets that the recipe sets otherwise or not at all, and the other way round."""
    ours, recipe = (
        flat(settings_of(values, row)) for row in (adaptation_rows(values)[name], Row("recipe"))
    )
    none = object()
    return {
        key: ours.get(key)
        for key in ours.keys() | recipe.keys()
        if ours.get(key, none) != recipe.get(key, none)
    }


@pytest.fixture
def values():
    return benchmark_values(GTA5, "published")


@pytest.mark.parametrize("variant", ["published", "paper"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_row_is_a_valid_configuration_by_its_name(name, variant):
    chosen = BENCHMARKS[name]
    values = benchmark_values(chosen, variant)
    rows = chosen.rows(values)
    assert set(chosen.default) <= rows.keys()
    assert len(set(chosen.default)) == len(chosen.default)
    for key, row in rows.items():
        assert (row.name, row.after, row.reported) == (key, None, True)
        settings_of(values, row)


def test_multi_is_the_recipe(values):
    assert differences("multi", values) == {}


def test_single_level_trains_the_main_level_alone(values):
    assert differences("single", values) == {
        "method.segmentation": [0.0, 1.0],
        "method.adversarial": [0.0, 0.001],
    }


def test_least_squares_is_single_level_with_another_objective_and_its_own_weight(values):
    assert differences("lsgan", values) == {
        "method.segmentation": [0.0, 1.0],
        "method.adversarial": [0.0, pytest.approx(0.01)],
        "method.objective": "least_squares",
    }


def test_vgg_is_single_level_on_another_network(values):
    assert differences("vgg", values) == {
        "network.encoder": "vgg16",
        "network.levels": 1,
        "optimiser.updates": "once",
        "method.segmentation": [1.0],
        "method.adversarial": [0.001],
    }


def test_feature_space_row_keeps_the_rules_of_the_game(values):
    changed = differences("feature", values)
    assert changed["method.name"] == "feature_space"
    assert changed["method.segmentation"] == [0.0, 1.0]
    assert changed["method.adversarial"] == [0.0, 0.001]
    rules = {"objective", "domain_labels", "discriminator_output", "discriminator_rate"}
    assert not changed.keys() & {f"method.{rule}" for rule in rules}
    assert all(key.startswith("method.") for key in changed)


@pytest.mark.parametrize("name", ["source-only", "target-trained"])
def test_supervised_rows_have_no_adversary(values, name):
    settings = settings_of(values, adaptation_rows(values)[name])
    assert settings["method"] == {"name": "source_only", "segmentation": [0.0, 1.0]}
    assert (settings["source"] == settings["target"]) is (name == "target-trained")


def test_rows_follow_changes_to_the_recipe(values):
    changed = config.change(values, {"method.adversarial": [0.5, 0.25], "training.steps": 7})
    rows = adaptation_rows(changed)
    assert rows["lsgan"].changes["method.adversarial"] == [0.0, 2.5]
    assert settings_of(changed, rows["feature"])["method"]["adversarial"] == [0.0, 0.25]
    assert settings_of(changed, rows["vgg"])["training"]["steps"] == 7


def test_each_city_has_the_same_rows():
    values = benchmark_values(BENCHMARKS["cross-city"], "published")
    rows = city_rows(values)
    alike = adaptation_rows(values)
    for city in ("Rome", "Rio", "Tokyo", "Taipei"):
        for name in ("source-only", "feature", "single", "multi"):
            row = rows.pop(f"{city.lower()}-{name}")
            expected = config.change(values, alike[name].changes | {"target.city": city})
            assert config.change(values, row.changes) == expected
    assert rows == {}


def test_variants_differ_in_the_known_fields_alone():
    published, paper = (flat(benchmark_values(GTA5, name)) for name in ("published", "paper"))
    changed = {key: paper[key] for key in paper if paper[key] != published.get(key)}
    assert changed == AS_IN_THE_PAPER
    assert paper.keys() == published.keys()


# Initial weights


@pytest.mark.parametrize(
    ("init", "row", "vgg_init", "expected"),
    [
        ("random", Row("multi"), None, {}),
        ("imagenet", Row("multi"), "random", IMAGENET),
        ("random", VGG, None, {}),
        ("imagenet", VGG, None, IMAGENET),
        ("w.pth", VGG, "random", {}),
        ("random", VGG, "imagenet", IMAGENET),
        ("w.pth", VGG, "v.pth", {"init_from": str(Path("v.pth").resolve())}),
        ("w.pth", Row("multi"), "v.pth", {"init_from": str(Path("w.pth").resolve())}),
    ],
)
def test_initial_weights_are_those_of_the_rows_network(init, row, vgg_init, expected):
    assert initial_weights(init, row, vgg_init) == expected


def test_one_networks_file_is_not_taken_for_the_others():
    assert initial_weights("w.pth", VGG, None) is None


def test_imagenet_goes_with_every_row(values):
    for row in adaptation_rows(values).values():
        settings = settings_of(config.change(values, IMAGENET), row)
        assert settings["network"]["pretrained"]
        assert settings["bands"] == [1, 2, 3]
        assert len(settings["normalisation"]["mean"]) == 3
