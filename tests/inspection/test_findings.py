"""Every finding: there where it should be, with its cure, and absent where not."""

from dataclasses import replace

import pytest

from rsadapt.geo.edges import Border, Borders
from rsadapt.geo.footprint import Coverage
from rsadapt.inspection.facts import BandDistance, Choices, PartFacts
from rsadapt.inspection.findings import find

CHOICES = Choices(256, 0.25, "region", "per_domain", adapts=True)


def only(facts):
    """The one finding that the facts call for."""
    (finding,) = find(facts)
    return finding


def test_sound_regions_give_none(sound):
    assert find(sound) == ()


def test_most_grave_come_first(changed):
    facts = changed(
        source={"holds": 100, "coverage": Coverage(1e6, 0.5)}, target={"valid_share": 0.5}
    )
    assert [finding.gravity for finding in find(facts)] == ["error", "warning", "note"]


@pytest.mark.parametrize(
    ("ours", "theirs", "cure"),
    [(1.0, 2.1, "source.pixel=2.1"), (0.3, 0.1, "target.pixel=0.3")],
)
def test_pixel_sizes(changed, ours, theirs, cure):
    finding = only(changed(source={"ground_pixel": ours}, target={"ground_pixel": theirs}))
    assert (finding.gravity, finding.topic) == ("warning", "pixel size")
    assert f"{ours:g} m on the ground in the source and {theirs:g} m" in finding.text
    assert finding.cure.endswith(f"--set {cure}")


@pytest.mark.parametrize("theirs", [1.0, 1.09, 0.92, None])
def test_pixel_sizes_that_are_nearly_one_or_unknown(changed, theirs):
    assert find(changed(target={"ground_pixel": theirs})) == ()


def test_named_bands_in_another_order(changed, make_band):
    ours = [make_band(n, 100, 20, name) for n, name in enumerate(("red", "green", "blue"), 1)]
    theirs = [make_band(n, 100, 20, name) for n, name in enumerate(("Blue", "Green", "Red"), 1)]
    finding = only(changed(source={"bands": tuple(ours)}, target={"bands": tuple(theirs)}))
    assert finding.topic == "band order"
    assert finding.cure.endswith("--set 'target.bands=[3, 2, 1]'")


def test_bands_that_look_swapped(changed, sound):
    finding = only(changed(target={"bands": sound.target.bands[::-1]}))
    assert "look like the target's in the order [1, 2, 3]" in finding.text
    assert finding.cure.endswith("--set 'target.bands=[1, 2, 3]'")


def test_constant_band_is_left_out_of_both(changed, make_band, sound):
    alpha = make_band(4, 255, 0)
    more = {"bands": (*sound.source.bands, alpha)}
    distances = (*sound.distances, BandDistance(None, 0.0, 0.0, 0.0))
    finding = only(changed(source=more, target=more, distances=distances))
    assert finding.text.startswith("band 4 is 255 everywhere in the source and 255 everywhere")
    assert finding.cure.endswith("--set 'bands=[1, 2, 3]'")


def test_constant_band_of_one_region_names_the_bands_of_each(changed, make_band, sound):
    bands = (make_band(2, 90), make_band(3, 7, 0), make_band(5, 150))
    finding = only(changed(source={"bands": bands}))
    assert "band 3 is 7 everywhere in the source;" in finding.text
    assert "--set 'source.bands=[2, 5]' --set 'target.bands=[1, 3]'" in finding.cure


def test_regions_of_constant_bands_have_no_bands_to_choose(changed, make_band):
    flat = tuple(make_band(n, 7, 0) for n in (1, 2, 3))
    assert all("--set" not in finding.cure for finding in find(changed(source={"bands": flat})))


@pytest.mark.parametrize("colour", ["white", "black"])
@pytest.mark.parametrize("border", [Border(0.021, 0), Border(0.004, 1)])
def test_borders(changed, colour, border):
    other = "black" if colour == "white" else "white"
    borders = Borders(scenes=9, **{colour: border, other: Border(0.019, 0)})
    finding = only(changed(target={"borders": borders}))
    assert f"pure {colour}" in finding.text
    assert finding.cure.endswith(f"--set target.border={colour}")


@pytest.mark.parametrize(
    ("mean", "std", "found"), [(7, 0, False), (6, 3, False), (249, 3, False), (30, 15, True)]
)
def test_a_region_of_one_colour_has_no_border(changed, make_band, mean, std, found):
    bands = tuple(make_band(n, mean, std) for n in (1, 2, 3))
    borders = Borders(scenes=1, white=Border(0.5, 1), black=Border(1.0, 1))
    topics = [f.topic for f in find(changed(target={"bands": bands, "borders": borders}))]
    assert ("unflagged border" in topics) == found


@pytest.mark.parametrize(("valid", "found"), [(0.75, True), (0.76, False)])
def test_nodata(changed, valid, found):
    findings = find(changed(source={"valid_share": valid}))
    assert [finding.topic for finding in findings] == ["nodata"] * found
    assert all("--set training.least_valid=0.5" in finding.cure for finding in findings)


def test_types_weigh_more_where_the_source_standardises_the_target(changed, sound):
    scenes = (replace(sound.source.scenes[0], dtype="uint16"),)
    finding = only(changed(target={"scenes": scenes}))
    assert (finding.gravity, finding.topic) == ("note", "value types")
    assert "uint8 in the source and uint16 in the target" in finding.text
    choices = replace(CHOICES, normalise_by="source")
    finding = only(changed(target={"scenes": scenes}, choices=choices))
    assert finding.gravity == "warning"
    assert finding.cure.endswith("--set normalise_by=region")


def test_shifted_values(changed):
    distances = (BandDistance(1.5, 0.4, 0.1, 0.1), *[BandDistance(0.9, 0.2, 0.2, 0.1)] * 2)
    finding = only(changed(distances=distances))
    assert (finding.gravity, finding.topic) == ("note", "values shifted")
    assert finding.text.endswith("source: band 1 by 1.5")
    choices = replace(CHOICES, normalise_by="source")
    finding = only(changed(distances=distances, choices=choices))
    assert finding.gravity == "warning"
    assert finding.cure.endswith(" --set normalise_by=region")


def test_values_shaped_otherwise(changed):
    distances = (BandDistance(0.5, 0.4, 0.4, 0.3), *[BandDistance(0.5, 0.2, 0.2, 0.1)] * 2)
    assert only(changed(distances=distances)).cure.endswith("as set")
    finding = only(changed(distances=distances, choices=replace(CHOICES, batch_norm="both")))
    assert (finding.gravity, finding.topic) == ("warning", "values shaped otherwise")
    assert finding.cure.endswith("--set network.batch_norm=per_domain")


def test_classes_absent_and_rare(changed):
    classes = {"land": 0.9995, "sea": 0.0005, "ice": 0.0}
    absent, rare = find(changed(source={"training": PartFacts(4_000_000, classes, 0.0)}))
    assert (absent.gravity, absent.topic) == ("warning", "class absent")
    assert "no training pixel is labelled ice" in absent.text
    assert (rare.gravity, rare.topic) == ("note", "class rare")
    assert "sea takes 0.0005" in rare.text
    classes = {"land": 0.998, "sea": 0.002}
    assert find(changed(source={"training": PartFacts(4_000_000, classes, 0.0)})) == ()


def test_labels_without_a_class_are_an_error(changed):
    none = PartFacts(4_000_000, {"land": 0.0, "sea": 0.0}, 1.0)
    finding = only(changed(source={"training": none}))
    assert (finding.gravity, finding.topic) == ("error", "no labels")


@pytest.mark.parametrize(("land", "found"), [(0.36, False), (0.34, True)])
@pytest.mark.parametrize("part", ["training", "validation"])
def test_class_shares(changed, land, found, part):
    labelled = PartFacts(1_000_000, {"land": land, "sea": 1 - land}, 0.0)
    findings = find(
        changed(
            target={part: labelled}
            if part == "validation"
            else {"training": replace(labelled, pixels=4_000_000)}
        )
    )
    assert [finding.topic for finding in findings] == ["class shares"] * found
    assert all("land 60% and 34%" in finding.text for finding in findings)


def test_class_shares_of_methods_that_do_not_adapt(changed):
    labelled = PartFacts(4_000_000, {"land": 0.1, "sea": 0.9}, 0.0)
    facts = changed(target={"training": labelled}, choices=replace(CHOICES, adapts=False))
    assert "adversarial" not in only(facts).cure


@pytest.mark.parametrize(("share", "found"), [(0.5, True), (0.49, False)])
def test_unlabelled(changed, share, found):
    part = PartFacts(4_000_000, {"land": 0.6, "sea": 0.4}, share)
    findings = find(changed(source={"training": part}))
    assert [finding.topic for finding in findings] == ["unlabelled"] * found


def test_scenes_too_small_for_a_window(changed):
    finding = only(changed(target={"holds": 200}))
    assert (finding.gravity, finding.topic) == ("error", "scenes too small")
    assert finding.cure.startswith("--set training.tile=200")
    assert find(changed(target={"holds": 256})) == ()


@pytest.mark.parametrize(("windows", "found"), [(15, True), (17, False)])
def test_little_to_train_on(changed, windows, found):
    pixels = round(windows * 256**2 / 0.95)
    findings = find(changed(target={"training": PartFacts(pixels, None, None)}))
    assert [finding.topic for finding in findings] == ["little to train on"] * found
    assert all("--set training.tile=224" in finding.cure for finding in findings)


def test_too_little_for_any_window(changed):
    finding = only(changed(target={"training": PartFacts(10_000, None, None)}))
    assert finding.cure == "add scenes"


@pytest.mark.parametrize(("repeated", "found"), [(0.3, True), (0.005, False)])
def test_overlaps(changed, repeated, found):
    findings = find(changed(source={"coverage": Coverage(1e6, repeated)}))
    assert [finding.topic for finding in findings] == ["overlapping scenes"] * found


def test_scenes_left_out_and_scenes_without_place(changed, sound):
    scenes = (sound.source.scenes[0], replace(sound.source.scenes[0], ground_size=None))
    facts = changed(
        source={"left_out": ("source region: 1 of 3 scenes",), "scenes": scenes, "coverage": None}
    )
    left_out, unplaced = find(facts)
    assert left_out.text == "source region: 1 of 3 scenes"
    assert (unplaced.gravity, unplaced.topic) == ("note", "place unknown")
    assert "1 of 2 scenes" in unplaced.text
    assert "gdal_edit.py -a_srs" in unplaced.cure
