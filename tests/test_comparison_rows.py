"""Rows of comparisons: methods by name, rows of files, and what cannot be meant."""

import pytest

from rsadapt import config
from rsadapt.comparison_rows import comparison_rows, load_rows
from rsadapt.errors import ConfigError, MissingFileError


@pytest.fixture
def whole(values):
    values["method"] |= {"segmentation": [0.3, 1.0]}
    return config.parse(values, where="test").model_dump()


def changed(whole, row):
    return config.parse(config.change(whole, row.changes), where=row.name)


def test_methods_by_name(whole):
    rows = comparison_rows(whole, given={}).all
    assert changed(whole, rows["first"]).training.steps == 2 * whole["training"]["steps"]
    assert not rows["first"].reported
    assert changed(whole, rows["output_space"]).method.discriminator_width == 4  # its own
    for row in rows.values():
        assert row.after == {"first": None, "adapted_batch_norm": "source_only"}.get(
            row.name, "first"
        )
        settings = changed(whole, row)
        assert getattr(settings.method, "segmentation", [0.3, 1.0]) == [0.3, 1.0]
        assert settings.training.validate_every == int(row.reported)  # of 3 steps


def test_lists_of_a_weight_a_level_fit_the_network(whole):
    whole["network"]["levels"] = 1
    whole["method"] |= {"segmentation": [1.0], "adversarial": [0.1]}
    found = comparison_rows(whole, given={})
    assert not found.refused
    assert changed(whole, found.all["min_ent"]).method.entropy == [
        changed(config.change(whole, {}), found.all["min_ent"]).method.entropy[-1]
    ]


def test_networks_that_begin_with_weights_need_no_first_part(whole):
    whole["init_from"] = "somewhere"
    assert "first" not in comparison_rows(whole, given={}).all
    assert comparison_rows(whole, given={}).all["min_ent"].after is None
    assert "first" in comparison_rows(whole, given={}, first_steps=5).all


def test_steps_of_the_first_part_that_are_asked_for_are_taken(whole):
    given = {"first": {"training.steps": 5}}
    for asked, steps in ((None, 5), (2, 2)):
        rows = comparison_rows(whole, given=given, first_steps=asked).all
        assert changed(whole, rows["first"]).training.steps == steps
    assert "first" not in comparison_rows(whole, given=given, first_steps=0).all


@pytest.mark.parametrize("text", ["1: {method: min_ent}", "yes: {}", "a: {0: 3}"])
def test_names_that_yaml_takes_for_others_are_told(whole, tmp_path, text):
    (tmp_path / "rows.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r'expected a name, found .*write it in "quotes"'):
        comparison_rows(whole, given=load_rows(tmp_path / "rows.yaml"))


@pytest.mark.parametrize("training", [3, {"steps": "many"}])
def test_a_group_that_a_row_spoils_is_told_when_it_is_asked_for(whole, training):
    found = comparison_rows(whole, given={"min_ent": {"training": training}})
    with pytest.raises(ConfigError, match=r"row 'min_ent': .*training"):
        found.choose(["min_ent"])


def test_rows_of_a_file(whole):
    given = {
        "first": {"training.steps": 9, "optimiser.rate": 0.5},
        "weak": {"method": "output_space", "method.adversarial": [0.0, 0.01]},
        "longer": {"training.steps": 7, "after": "weak"},
        "fresh": {"after": None, "reported": False},
        "min_ent": {"method": "min_ent", "method.entropy": [0.0, 0.5]},
    }
    rows = comparison_rows(whole, given=given).all
    assert changed(whole, rows["first"]).training.steps == 9
    assert changed(whole, rows["first"]).optimiser.rate == 0.5
    weak = changed(whole, rows["weak"]).method
    assert (weak.adversarial, weak.discriminator_width) == ([0.0, 0.01], 4)
    assert changed(whole, rows["min_ent"]).method.entropy == [0.0, 0.5]
    assert (rows["weak"].after, rows["longer"].after, rows["fresh"].after) == (
        "first",
        "weak",
        None,
    )
    chosen = comparison_rows(whole, given=given).choose(["longer"])
    names = [row.name for row in chosen]
    assert names == ["first", "source_only", "adapted_batch_norm", "weak", "longer"]


MISTAKES = [
    ({"x": 3}, "row 'x': expected changes such as 'method: cbst', found 3"),
    ({"Not a name": {}}, "row 'Not a name': expected a name of lower-case"),
    ({"x": {"after": "y"}}, "row 'x': starts after 'y', and no row before it is called so"),
    ({"x": {"method": "magic"}}, "no method is called 'magic'; there are source_only, "),
    ({"x": {"reported": 3}}, "'reported' is true or false, found 3"),
    ({"source_only": {"after": "output_space"}}, "no row before it"),
]


@pytest.mark.parametrize(("given", "says"), MISTAKES)
def test_rows_that_cannot_be_meant(whole, given, says):
    with pytest.raises(ConfigError, match=says):
        comparison_rows(whole, given=given)


def test_rows_that_cannot_be_trained_are_told_when_asked_for(whole):
    given = {"odd": {"training.epochs": 3}, "next": {"after": "odd"}}
    found = comparison_rows(whole, given=given)
    assert "odd" not in found.all
    for name in given:
        with pytest.raises(ConfigError, match=r"row 'odd': unknown key 'training.epochs'"):
            found.choose([name])
    for names, says in ((["none"], "no method or row is called"), (["cbst", "cbst"], "once")):
        with pytest.raises(ConfigError, match=says):
            found.choose(names)
    with pytest.raises(ConfigError, match="no method or row"):
        found.choose(["first"])


def test_without_batch_norm_there_is_no_row_that_adapts_it(whole):
    whole["network"] |= {"encoder": "vgg16", "levels": 1}
    whole["method"] |= {"segmentation": [1.0], "adversarial": [0.1]}
    found = comparison_rows(whole, given={})
    assert "vgg16 has no batch norm" in found.refused["adapted_batch_norm"]
    assert [row.name for row in found.choose(["min_ent"])] == ["first", "source_only", "min_ent"]


def test_ready_rows_are_trainable():
    from pathlib import Path

    from rsadapt import build

    demo = build.configuration(Path("demo")).model_dump()
    for name in config.ready("rows"):
        found = comparison_rows(demo, given=load_rows(Path(name)))
        assert not found.refused
    with pytest.raises(MissingFileError, match="no such configuration file"):
        load_rows(Path("none.yaml"))
