"""The procedural street: deterministic, in the official layouts, alike in layout, not in look."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsadapt.data.procedural.street import STREET_CLASSES, render, write_streets
from rsadapt.data.procedural.street_domains import CAMERA, GAME, Domain
from rsadapt.data.procedural.street_look import value_noise
from rsadapt.data.procedural.street_scene import Face, Ground, Street, Thing, make_street
from rsadapt.data.procedural.street_shapes import LABEL_IDS, Material, plain
from rsadapt.data.procedural.street_view import Camera, look_at
from rsadapt.errors import ConfigError, OutputExistsError

DOMAINS = pytest.mark.parametrize("domain", [GAME, CAMERA], ids=["game", "camera"])
SMALL = {"source_frames": 3, "target_frames": 2, "validation_frames": 1, "height": 32, "width": 64}
ROAD, SKY, CAR = 7, 23, 26


def frames(domain: Domain, count: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = [render(domain, 1000 + seed, height=64, width=128) for seed in range(count)]
    images, labels = zip(*pairs, strict=True)
    return np.stack(images), np.stack(labels)


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*.png")
    }


@DOMAINS
@pytest.mark.parametrize(("height", "width"), [(128, 256), (33, 50)])
def test_same_seed_same_frame_and_other_seed_other_frame(domain: Domain, height: int, width: int):
    once, again, other = (
        render(domain, seed, height=height, width=width) for seed in (2**62, 2**62, 1000)
    )
    assert once[0].shape == (height, width, 3)
    assert once[1].shape == (height, width)
    assert once[0].dtype == once[1].dtype == np.uint8
    assert np.array_equal(once[0], again[0])
    assert np.array_equal(once[1], again[1])
    assert (once[1] != other[1]).mean() > 0.1


@DOMAINS
def test_every_class_is_there_and_what_is_no_class_is_ignored(domain: Domain):
    _, labels = frames(domain, 40)
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    assert shares[list(STREET_CLASSES.codes)].min() > 0.005
    others = set(np.flatnonzero(shares)) - set(STREET_CLASSES.codes)
    assert others
    assert others <= set(STREET_CLASSES.ignored)


@DOMAINS
def test_sky_lies_above_road_and_cars_between(domain: Domain):
    _, labels = frames(domain, 20)
    sky, car, road = (np.nonzero(labels == code)[1].mean() for code in (SKY, CAR, ROAD))
    assert sky < car < road


def test_domains_differ_in_colours_by_more_than_a_gain_of_each_channel():
    (game, ours), (camera, theirs) = frames(GAME, 20), frames(CAMERA, 20)
    game, camera = (
        (images - images.mean((0, 1, 2))) / images.std((0, 1, 2)) for images in (game, camera)
    )
    away = [
        np.abs(game[ours == code].mean(0) - camera[theirs == code].mean(0)).max()
        for code in STREET_CLASSES.codes
    ]
    assert np.median(away) > 0.25


def test_class_shares_differ_moderately():
    shares = []
    for domain in (GAME, CAMERA):
        _, labels = frames(domain, 40)
        counts = np.bincount(labels.ravel(), minlength=256)[list(STREET_CLASSES.codes)]
        shares.append(counts / counts.sum())
    assert 0.03 < np.abs(shares[0] - shares[1]).sum() / 2 < 0.25


def test_only_the_nearest_face_shows_where_a_pinhole_camera_sees_it():
    far, near = (
        Face(plain(material), "across", z, (-1.0, 1.0), (0.0, 2.0), tone=0.5)
        for material, z in ((Material.BOX, 20.0), (Material.PAINT, 10.0))
    )
    things = tuple(Thing((face,), face.span, (face.at, face.at), 2.0) for face in (far, near))
    street = Street(Ground(road=4.0, pavement=6.0, crossing=(0.0, 0.0)), things)
    camera = Camera((1.0, 1.0), (1.0, 1.0), (0.5, 0.5), heading=0.0, aside=(0.0, 0.0), bonnet=0.0)
    view = look_at(street, camera, 0, height=100, width=200)
    rows, cols = np.nonzero(view.material == Material.PAINT)
    # 200 pixels of focal length at 10 m: 20 pixels a metre around the image's middle.
    assert (rows.min(), rows.max() + 1) == (30, 70)
    assert (cols.min(), cols.max() + 1) == (80, 120)
    assert Material.BOX not in view.material
    assert np.allclose(view.depth[rows, cols], 10.0)
    assert np.allclose(view.along[rows, cols], (cols + 0.5 - 100) / 20, atol=1e-4)
    road = np.flatnonzero(LABEL_IDS[view.material[69]] == ROAD)
    # A metre below the lens and 19.5 pixels below the horizon, four metres are 78 pixels.
    assert (road[0], road[-1] + 1) == (22, 178)


@DOMAINS
def test_nothing_stands_in_a_crossing(domain: Domain):
    crossings = 0
    for seed in range(12):
        street = make_street(domain.layout, seed)
        start, end = street.ground.crossing
        crossings += start < end
        for face in (face for thing in street.things for face in thing.faces):
            first, last = face.span if face.runs == "along" else (face.at, face.at)
            assert start == end or last <= start or first >= end
    assert crossings > 1


def test_nothing_is_left_out_for_a_crossing_that_is_not_there():
    ground = Ground(road=4.0, pavement=6.0, crossing=(20.0, 20.0))
    assert not ground.crossed(15.0, 25.0)
    assert Ground(road=4.0, pavement=6.0, crossing=(20.0, 26.0)).crossed(15.0, 25.0)


def test_value_noise_passes_through_its_lattice_and_stays_between():
    lattice = np.arange(6, dtype=float)
    corners = value_noise(3, *np.meshgrid(lattice, lattice))
    middle = value_noise(3, *np.meshgrid(lattice[:-1] + 0.5, lattice[:-1] + 0.5))
    around = np.stack([corners[:-1, :-1], corners[1:, :-1], corners[:-1, 1:], corners[1:, 1:]])
    assert np.allclose(middle, around.mean(axis=0), atol=1e-6)
    assert len(np.unique(corners)) == corners.size


def test_layouts_are_the_official_ones(tmp_path):
    told = []
    streets = write_streets(tmp_path / "s", seed=100, **SMALL, progress=lambda *a: told.append(a))
    assert told[-1][1:] == (6, 6)
    sources = sorted(streets.gta5.glob("images/*.png"))
    assert [file.name for file in sources] == ["00001.png", "00002.png", "00003.png"]
    pairs = [(file, streets.gta5 / "labels" / file.name) for file in sources]
    for split, count in (("train", 2), ("val", 1)):
        images = sorted(streets.cityscapes.glob(f"leftImg8bit/{split}/*/*_leftImg8bit.png"))
        labels = sorted(streets.cityscapes.glob(f"gtFine/{split}/*/*_gtFine_labelIds.png"))
        assert len(images) == len(labels) == count
        for image, label in zip(images, labels, strict=True):
            city, sequence, frame, _ = image.stem.split("_")
            assert image.parent.name == label.parent.name == city
            assert label.name == f"{city}_{sequence}_{frame}_gtFine_labelIds.png"
        pairs += zip(images, labels, strict=True)
    assert len(list(streets.folder.rglob("*.*"))) == 2 * len(pairs) == 12
    for image, label in pairs:
        with Image.open(image) as colours, Image.open(label) as ids:
            assert (colours.mode, ids.mode) == ("RGB", "L")
            assert colours.size == ids.size == (64, 32)
            STREET_CLASSES.encode(np.asarray(ids))  # raises for an id that it does not know
    assert len(set(digests(streets.folder).values())) == 12


def test_same_seed_same_bytes(tmp_path):
    first, again, other = (
        digests(write_streets(tmp_path / name, seed=seed, **SMALL).folder)
        for name, seed in (("a", 100), ("b", 100), ("c", 101))
    )
    assert first == again
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


def test_a_folder_that_holds_anything_is_refused(tmp_path):
    (tmp_path / "taken.txt").touch()
    with pytest.raises(OutputExistsError, match="holds files already"):
        write_streets(tmp_path, seed=100, **SMALL)
    with pytest.raises(OutputExistsError, match="is a file"):
        write_streets(tmp_path / "taken.txt", seed=100, **SMALL)
    assert [file.name for file in tmp_path.iterdir()] == ["taken.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"height": 31}, "32 pixels"), ({"target_frames": 0}, "a frame or more"), ({"seed": -1}, "0")],
)
def test_impossible_worlds_are_refused(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        write_streets(tmp_path, **{"seed": 100, **SMALL, **change})
