"""The procedural world: deterministic, fair, georeferenced and never empty of a class."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio

from rsadapt.data.procedural.land import make_scene
from rsadapt.data.procedural.look import bend, render
from rsadapt.data.procedural.world import (
    BANDS,
    BENT,
    SAME,
    SOURCE,
    TARGET,
    WORLD_CLASSES,
    Region,
    write_world,
)
from rsadapt.errors import ConfigError, OutputExistsError

REGIONS = pytest.mark.parametrize("region", [SOURCE, TARGET], ids=["source", "target"])


def shares(labels: np.ndarray) -> np.ndarray:
    counts = np.bincount(labels.ravel(), minlength=8)[1:]
    return counts / counts.sum()


@REGIONS
def test_same_seed_same_world_and_other_seed_other_world(region: Region):
    once, again, other = (make_scene(region.land, 96, seed) for seed in (1, 1, 2))
    assert np.array_equal(once.labels, again.labels)
    assert np.array_equal(render(once, region.look, 1), render(again, region.look, 1))
    assert not np.array_equal(render(once, region.look, 1), render(once, region.look, 2))
    assert (once.labels != other.labels).mean() > 0.3


@REGIONS
@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_covers_two_percent(region: Region, seed: int):
    labels = make_scene(region.land, 768, seed).labels
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, *WORLD_CLASSES.codes}
    assert shares(labels).min() > 0.02


def test_class_shares_differ_moderately():
    source, target = (shares(make_scene(region.land, 768, 0).labels) for region in (SOURCE, TARGET))
    assert 0.03 < np.abs(source - target).sum() / 2 < 0.25
    assert (np.maximum(source / target, target / source) < 3).all()


@REGIONS
def test_border_is_irregular_and_zero_in_all_bands_only_there(region: Region):
    scene = make_scene(region.land, 256, 3)
    image = render(scene, region.look, 3)
    assert image.shape == (4, 256, 256)
    assert image.dtype == np.uint16
    assert image.max() <= region.look.dn_maximum
    outside = ~scene.valid
    for band in image:
        assert np.array_equal(band == 0, outside)
    assert np.array_equal(scene.labels == 0, outside)
    assert 0.02 < outside.mean() < 0.2
    left_edge = scene.valid[20:-20].argmax(axis=1)
    top_edge = scene.valid[:, 20:-20].argmax(axis=0)
    assert len(np.unique(left_edge)) > 3
    assert len(np.unique(top_edge)) > 3


def test_looks_differ_by_more_than_an_affine_change_of_each_band():
    scene = make_scene(SOURCE.land, 256, 0)
    ours, theirs = (render(scene, region.look, 0)[:, scene.valid] for region in (SOURCE, TARGET))
    explained = [np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(ours, theirs, strict=True)]
    assert max(explained) < 0.97
    assert min(explained) > 0.1


def test_digital_numbers_follow_the_scale():
    scene = make_scene(SOURCE.land, 96, 0)
    doubled = replace(SOURCE.look, dn_scale=2 * SOURCE.look.dn_scale)
    dark, bright = (render(scene, look, 0).astype(float) for look in (SOURCE.look, doubled))
    assert np.abs(bright - 2 * dark)[:, scene.valid].max() <= 2


def test_written_files_carry_bands_crs_nodata_and_lie_side_by_side(tmp_path):
    world = write_world(tmp_path, seed=4, size=128, scenes=2)
    assert world.source_images[1] == tmp_path / "source" / "scene_2.tif"
    assert world.target_labels[0] == tmp_path / "target" / "labels" / "scene_1.tif"
    assert len({path.read_bytes() for path in world.source_images + world.target_images}) == 4
    for region, images, labels in (
        (SOURCE, world.source_images, world.source_labels),
        (TARGET, world.target_images, world.target_labels),
    ):
        bounds = []
        for image, label in zip(images, labels, strict=True):
            with rasterio.open(image) as dataset, rasterio.open(label) as truth:
                assert dataset.dtypes == ("uint16",) * 4
                assert dataset.descriptions == BANDS
                assert dataset.crs.to_epsg() == truth.crs.to_epsg() == region.epsg
                assert dataset.transform == truth.transform
                assert dataset.res == (2.0, 2.0)
                assert dataset.nodata == 0
                assert np.array_equal(dataset.read(1) == 0, truth.read(1) == 0)
                assert truth.colormap(1)[1][:3] == WORLD_CLASSES.colours[0]
                bounds.append(dataset.bounds)
        assert bounds[0].right == bounds[1].left
        assert bounds[0].top == bounds[1].top


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_worlds_without_full_gap_have_the_sources_land_and_look(tmp_path):
    assert (SAME.land, SAME.look, SAME.curves) == (SOURCE.land, SOURCE.look, None)
    assert replace(BENT, curves=None) == SAME
    none, bent = (
        write_world(tmp_path / gap, seed=2, size=384, gap=gap) for gap in ("none", "radiometric")
    )
    source, labels = read(none.source_images[0]), read(none.source_labels[0])
    assert np.array_equal(read(bent.source_images[0]), source)
    target, theirs = read(none.target_images[0]), read(none.target_labels[0])
    assert np.array_equal(read(bent.target_labels[0]), theirs)
    assert (labels != theirs).mean() > 0.3  # another place
    assert np.abs(shares(labels) - shares(theirs)).max() < 0.12
    for code in WORLD_CLASSES.codes:  # which looks the same, class by class
        ours, found = (
            np.log(image[:, label[0] == code]).mean(1)
            for image, label in ((source, labels), (target, theirs))
        )
        assert np.abs(ours - found).max() < 0.4  # a factor of 1.5; with the full gap 2 to 5
    assert np.array_equal(read(bent.target_images[0]), bend(target, BENT.curves))


def test_curves_keep_order_and_no_factor_and_offset_undo_them():
    scene = make_scene(SOURCE.land, 256, 0)
    plain = render(scene, SOURCE.look, 0)
    bent = bend(plain, BENT.curves)
    assert np.array_equal(bent == 0, plain == 0)
    for before, after in zip(plain[:, scene.valid], bent[:, scene.valid], strict=True):
        order = np.argsort(before)
        assert (np.diff(after[order].astype(int)) >= 0).all()
        assert len(np.unique(after)) > 0.3 * len(np.unique(before))
        assert np.corrcoef(before, after)[0, 1] ** 2 < 0.96


def test_writing_twice_gives_the_same_pixels(tmp_path):
    paths = [write_world(tmp_path / name, size=96).target_images[0] for name in "ab"]
    with rasterio.open(paths[0]) as first, rasterio.open(paths[1]) as second:
        assert np.array_equal(first.read(), second.read())


def test_nothing_is_overwritten(tmp_path):
    taken = tmp_path / "target" / "labels" / "scene_1.tif"
    taken.parent.mkdir(parents=True)
    taken.touch()
    with pytest.raises(OutputExistsError, match=r"scene_1\.tif exists already"):
        write_world(tmp_path, size=96)
    assert not (tmp_path / "source").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 32}, "64 pixels"),
        ({"scenes": 0}, "one scene"),
        ({"seed": -1}, "seed"),
        ({"gap": "wide"}, "full"),
    ],
)
def test_impossible_worlds_are_refused(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        write_world(tmp_path, **settings)
