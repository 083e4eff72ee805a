"""Data sets in YAML: merged, filled in, and mistakes told with file and field."""

import pytest
import yaml

from rsadapt import config
from rsadapt.config.datasets import merged
from rsadapt.errors import ConfigError, MissingFileError

VALUES = {
    "title": "Mine",
    "folder": "mine",
    "classes": [{"name": "other", "id": 0, "colour": "#000000"}],
    "choices": {"city": ["*"]},
    "common": {"pixel": 0.5, "polygons": {"inside": 4}},
    "parts": {
        "train": {
            "each": {"tile": ["a", "b"]},
            "scenes": ["{city}/{tile}_{tile}.tif"],
            "labels": ["{city}/labels"],
            "polygons": {"outside": 2},
        },
        "val": {"scenes": ["val"], "listed": ["val.txt"], "pixel": 0.6},
        "test": {"scenes": ["test"], "polygons": {"outside": 2}, "count": 3},
    },
}


def written(folder, **changes):
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(config.change(VALUES, changes), sort_keys=False))
    return file


def expanded(folder, **source):
    values = {
        "source": {"dataset": "mine.yaml"} | source,
        "target": {"scenes": ["x.tif"]},
        "method": {"name": "source_only"},
    }
    return config.parse(values, where="run.yaml", folder=folder)


def test_a_part_becomes_a_plain_region(tmp_path):
    written(tmp_path)
    settings = expanded(tmp_path, part="train", validation_part="test", city=["x", "y"], pixel=0.7)
    region = settings.source
    assert region.folder == "mine"
    assert region.scenes == ["x/a_a.tif", "x/b_b.tif", "y/a_a.tif", "y/b_b.tif"]
    assert region.labels == ["x/labels", "y/labels"]
    assert (region.pixel, region.polygons.inside, region.polygons.outside) == (0.7, 4, 2)
    assert region.validation.scenes == ["test"]
    assert [entry.name for entry in settings.classes] == ["other"]
    again = config.parse(yaml.safe_load(config.dump(settings)), where="run.yaml")
    assert again == settings


def test_a_part_is_whole_unless_a_line_is_asked_for(tmp_path):
    written(tmp_path)
    assert expanded(tmp_path, part="val").source.validation.share == 0
    asked = expanded(tmp_path, part="val", validation={"share": 0.2})
    assert (asked.source.validation.share, asked.source.validation.side) == (0.2, "east")


def test_classes_of_the_configuration_come_first(tmp_path):
    written(tmp_path)
    mine = [{"name": "own", "id": 3, "colour": "#112233"}]
    values = {
        "classes": mine,
        "source": {"dataset": "mine.yaml", "part": "val"},
        "target": {"scenes": ["x.tif"]},
        "method": {"name": "source_only"},
    }
    assert config.parse(values, where="run.yaml", folder=tmp_path).classes[0].name == "own"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts.train.scnes": ["x"]}, r"mine\.yaml: unknown key 'parts.train.scnes'.*'scenes'"),
        ({"common.pixl": 1}, "unknown key 'common.pixl'; did you mean 'pixel'"),
        ({"parts.val": {"listed": ["x"]}}, r"mine\.yaml: 'parts.val': name the files of a region"),
        ({"parts.val.pixel": "big"}, "'parts.val.pixel': .*found 'big'"),
        ({"classes": [{"name": "a", "id": 0}]}, "'classes.0.colour' is missing"),
        ({"parts": {}}, "'parts': .*at least 1 item"),
        (
            {"parts.val.scenes": ["{town}/x"]},
            r"parts.val: '{town}/x' holds {town}, of which neither",
        ),
        ({"choices.pixel": ["1"]}, "choices.pixel: regions have a field of that name"),
        ({"common.label_colours": {"red": 1}}, "'common.label_colours.red': .*found 'red'"),
        ({"parts.train.each.tile": [2, 10]}, "'parts.train.each.tile.0': .*found 2"),
    ],
)
def test_mistakes_in_the_file_are_told_with_file_and_field(tmp_path, changes, message):
    file = written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        config.load_dataset(file.name, tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, r"run\.yaml: 'source.part': expected a part of Mine \(train, val, test\), found none"),
        ({"part": "train", "validation_part": "val"}, "'val' is of another pixel than 'train'"),
        ({"part": "train", "city": ["x"], "town": 1}, "unknown key 'source.town'"),
        ({"part": "train", "split": "train"}, "unknown key 'source.split'"),
    ],
)
def test_mistakes_in_naming_a_part(tmp_path, source, message):
    written(tmp_path)
    with pytest.raises(ConfigError, match=message):
        expanded(tmp_path, **source)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingFileError, match=r"gone\.yaml: no such"):
        config.load_dataset("gone.yaml", tmp_path)


def test_later_fields_lie_over_earlier():
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}) == {
        "a": {"b": 3, "c": 2},
        "d": [2],
    }


def test_driving_data_sets_are_left_alone():
    values = {"source": {"dataset": "gta5", "split": "all"}, "target": {"dataset": "cityscapes"}}
    assert config.datasets.expand(values, folder=None) == values
