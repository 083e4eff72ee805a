"""The page is one file that needs no other, says every finding, and shows names as they are."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from rsadapt.classes import ClassScheme
from rsadapt.inspection.examples import Example
from rsadapt.inspection.page import page
from rsadapt.verbs.inspect import Inspection, find

SCHEME = ClassScheme(("land", "sea"), ((4,), (9,)), ((1, 2, 3), (0, 0, 255)))
VOID = {"meta", "img", "link", "br"}


class Tags(HTMLParser):
    """What a page consists of; every tag must be closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.names, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def compose(facts, scheme=SCHEME, examples=None, title="both.yaml"):
    inspection = Inspection(**vars(facts), findings=find(facts))
    values = json.loads(json.dumps(inspection.to_dict(), allow_nan=False))
    return page(values, examples or {"source": [], "target": []}, scheme, title=title)


@pytest.fixture
def examples():
    picture = np.zeros((32, 32, 3), np.uint8)
    shown = [Example("one", picture, picture), Example("two", picture, picture)]
    return {"source": shown, "target": [replace(shown[0], label=None)]}


def test_page_needs_no_other_file_and_no_script(sound, examples):
    tags = Tags(compose(sound, examples=examples))
    assert not {"script", "link", "iframe", "object"} & set(tags.names)
    for name, value in tags.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/png;base64,")
            content = base64.b64decode(value.partition(",")[2], validate=True)
            with Image.open(io.BytesIO(content)) as image:
                assert image.format == "PNG"
    assert "http" not in re.sub(r"base64,[^\"]*|http-equiv", "", compose(sound))


def test_figures_of_what_there_is(sound, examples, changed):
    corners = ((10.0, 50.0), (10.1, 50.0), (10.1, 49.9), (10.0, 49.9))
    placed = replace(sound.source.scenes[0], footprint=corners)
    scenes = {"scenes": (placed,)}
    assert compose(sound).count("<img") == 2  # bands and classes
    assert compose(sound, examples=examples).count("<img") == 4
    assert compose(changed(source=scenes, target=scenes)).count("<img") == 3
    assert "No window could be drawn" in compose(sound)


def test_findings_stand_first_with_their_cures(changed, sound):
    text = compose(changed(source={"ground_pixel": 2.1}, target={"holds": 100}))
    error, warning = (text.index(words) for words in ("scenes too small", "2.1 m on the ground"))
    assert text.index("<h2>Findings") < error < warning < text.index("<h2>Side by side")
    assert "--set target.pixel=2.1" in text
    assert "nothing stands in the way" in compose(sound)


def test_names_of_users_are_text(changed, sound, make_band):
    evil = "<script>alert('$x_$')</script>"
    classes = replace(sound.source.training, classes={evil: 1.0, "sea": 0.0})
    scene = replace(sound.source.scenes[0], path=f"a/{evil}.tif", label=f"{evil}.gpkg")
    bands = tuple(make_band(n, 90 + n, name=evil) for n in (1, 2, 3))
    facts = changed(
        source={"training": classes, "scenes": (scene,), "bands": bands, "left_out": (evil,)}
    )
    scheme = replace(SCHEME, names=(evil, "sea"))
    tags = Tags(compose(facts, scheme, title=evil))
    assert "script" not in tags.names
    assert sum(evil in words for words in tags.words) >= 5
