"""Frames: drawn pass after pass, taken in order to score, refused before a run starts."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from rsadapt.classes import IGNORE_INDEX, ClassScheme
from rsadapt.data.augment import Augmenter
from rsadapt.data.cityscapes import CITYSCAPES
from rsadapt.data.folder import dataset_scheme
from rsadapt.data.frames import FrameEvaluation, Frames, FrameSamples, _spread
from rsadapt.data.images import write_png
from rsadapt.data.stream import stream
from rsadapt.errors import ConfigError, DataError
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.statistics import band_statistics

SCHEME = ClassScheme(("building", "road"), ((11,), (7,)), ((0, 0, 9), (9, 0, 9)))
TRAIN = {11: 0, 7: 1}
SIZE = (12, 20)
MEAN = (104.0, 116.5, 122.25)


@pytest.fixture
def root(tmp_path):
    random = np.random.default_rng(0)
    for number in range(5):
        name = f"town{number % 2}/{number}"
        write_png(
            tmp_path / f"leftImg8bit/train/{name}_leftImg8bit.png",
            random.integers(0, 256, (24, 33, 3)).astype(np.uint8),
        )
        write_png(
            tmp_path / f"gtFine/train/{name}_gtFine_labelIds.png",
            random.integers(6, 13, (25, 31)).astype(np.uint8),
        )
        test = tmp_path / f"leftImg8bit/test/{number}_leftImg8bit.png"
        write_png(test, np.zeros((24, 33, 3), np.uint8))
    return tmp_path


@pytest.fixture
def frames(root):
    return Frames("source", tuple(CITYSCAPES.frames(root, "train")), CITYSCAPES, SIZE, (3, 2, 1))


def samples(frames, *, seed=0, scheme=SCHEME, normalise=None, **options):
    normalise = normalise or Normaliser(MEAN, (1.0,) * len(frames.bands))
    return FrameSamples(frames, seed=seed, normalise=normalise, scheme=scheme, **options)


def test_sample_is_what_published_code_makes_of_the_files(frames):
    sample = samples(frames, seed=None)[2]
    size = SIZE[::-1]
    image = Image.open(frames.frames[2].image).resize(size, Image.Resampling.BICUBIC)
    pixels = (np.asarray(image, np.float32)[..., ::-1] - np.float32(MEAN)).transpose(2, 0, 1)
    raw = np.asarray(Image.open(frames.frames[2].label).resize(size, Image.Resampling.NEAREST))
    label = np.full(SIZE, IGNORE_INDEX)
    for value, train_id in TRAIN.items():
        label[raw == value] = train_id
    assert (sample.image.dtype, sample.label.dtype) == (torch.float32, torch.int64)
    assert np.array_equal(sample.image.numpy(), pixels)
    assert np.array_equal(sample.label.numpy(), label)
    assert sample.valid.shape == SIZE
    assert sample.valid.all()
    assert sample.name == "2"


def test_without_a_seed_frames_come_in_order_over_and_over(frames):
    source = samples(frames, seed=None)
    assert "".join(source[number].name for number in range(12)) == "012340123401"


def test_each_pass_holds_every_frame_once_in_another_order(frames):
    source = samples(frames, seed=3)
    names = [source[number].name for number in range(50)]
    passes = [tuple(names[start : start + 5]) for start in range(0, 50, 5)]
    assert all(sorted(names) == list("01234") for names in passes)
    assert len(set(passes)) > 5


def test_sample_depends_on_seed_and_number_alone(frames):
    augment = Augmenter(["dihedral"])
    first, second = (samples(frames, seed=1, augment=augment) for _ in range(2))
    later = {number: second[number] for number in (7, 0, 3)}
    for number, sample in later.items():
        assert torch.equal(first[number].image, sample.image)
        assert torch.equal(first[number].label, sample.label)
    other = samples(frames, seed=2)
    assert [first[n].name for n in range(20)] != [other[n].name for n in range(20)]


def test_passes_turn_a_frame_differently(frames):
    source = samples(
        replace(frames, frames=frames.frames[:1]), augment=Augmenter(["dihedral"]), scheme=None
    )
    turned = {source[number].image.numpy().tobytes() for number in range(12)}
    assert len(turned) > 4


def test_without_a_class_table_labels_are_never_opened(frames):
    for frame in frames.frames:
        frame.label.unlink()
    assert samples(frames, scheme=None)[0].label is None


def test_frames_survive_workers(frames):
    source = pickle.loads(pickle.dumps(samples(frames)))
    batch = next(stream(source, batch_size=2, workers=1))
    assert torch.equal(batch.image[1], samples(frames)[1].image)


def test_evaluation_keeps_labels_at_their_own_size(frames):
    evaluation = FrameEvaluation(frames, normalise=Normaliser(MEAN, (1.0, 1.0, 1.0)), scheme=SCHEME)
    sample = list(evaluation)[4]
    raw = np.asarray(Image.open(frames.frames[4].label))
    assert (len(evaluation), sample.name) == (5, "4")
    assert sample.image.shape[1:] == sample.valid.shape == SIZE
    assert np.array_equal(sample.label.numpy(), dataset_scheme(SCHEME, CITYSCAPES).encode(raw))


def test_labels_of_a_split_without_any_are_refused(root):
    frames = Frames("target", tuple(CITYSCAPES.frames(root, "test")), CITYSCAPES, SIZE)
    assert not frames.labelled
    with pytest.raises(DataError, match=r"target: these frames of Cityscapes have no labels"):
        samples(frames)


def test_ids_beyond_8_bits_are_named(frames):
    label = frames.frames[0].label
    Image.fromarray(np.full((4, 5), 300, np.uint16)).save(label)
    with pytest.raises(DataError, match=rf"{label.name}: label ids outside .*300 \(20 pixels\)"):
        FrameEvaluation(frames, normalise=Normaliser(MEAN, (1.0,) * 3), scheme=SCHEME)[0]


def test_statistics_are_those_of_the_resized_images(frames):
    plain = samples(frames, seed=None, scheme=None, normalise=Normaliser((0.0,) * 3, (1.0,) * 3))
    blocks = [(plain[n].image.numpy().astype(np.uint8), plain[n].valid.numpy()) for n in range(5)]
    assert frames.statistics() == band_statistics(blocks)
    assert frames.statistics().basis == "all pixels"


def test_statistics_of_about_so_many_pixels_take_whole_frames(frames):
    few = frames.statistics(pixels=round(2.4 * SIZE[0] * SIZE[1]))
    assert few.pixels == 2 * SIZE[0] * SIZE[1]
    assert few.basis == "a sample of 40 % of pixels"
    assert frames.statistics(pixels=1).pixels == SIZE[0] * SIZE[1]
    assert frames.statistics(pixels=10**9) == frames.statistics()


def test_fingerprint_tells_what_statistics_were_taken_of(frames):
    mark = frames.fingerprint()
    assert frames.fingerprint(pixels=10**9) == mark
    others = [
        frames.fingerprint(pixels=1),
        replace(frames, bands=(1, 2, 3)).fingerprint(),
        replace(frames, size=(8, 16)).fingerprint(),
        replace(frames, frames=frames.frames[1:]).fingerprint(),
    ]
    file = frames.frames[2].image
    file.write_bytes(file.read_bytes() + b"0")
    assert len({mark, frames.fingerprint(), *others}) == 6
    assert replace(frames, name="target").fingerprint() == frames.fingerprint()


def test_statistics_spread_over_many_frames(frames):
    calls = []
    many = replace(frames, frames=frames.frames * 100)
    many.statistics(lambda *call: calls.append(call))
    assert calls[-1] == ("read source", 200, 200)


@pytest.mark.parametrize(("count", "most"), [(24966, 200), (500, 3), (7, 7), (3, 200), (1, 1)])
def test_spread_is_even_from_the_first_to_nearly_the_last(count, most):
    numbers = _spread(count, most)
    steps = np.diff([*numbers, count])
    assert numbers[0] == 0
    assert len(numbers) == min(count, most)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


def test_statistics_take_the_frames_that_are_spread(frames):
    """The last of 500 frames alone are dark, and count by their share."""
    dark = frames.frames[0]
    write_png(dark.image, np.zeros((24, 33, 3), np.uint8))
    some = replace(frames, frames=frames.frames[1:2] * 400 + (dark,) * 100)
    light = replace(frames, frames=frames.frames[1:2]).statistics()
    assert some.statistics().mean == pytest.approx([0.8 * mean for mean in light.mean])


def test_check_accepts_what_is_sound(frames):
    frames.check(SCHEME)


def test_check_refuses_labels_without_any_class(frames):
    for frame in frames.frames:
        write_png(frame.label, np.full((25, 31), 77, np.uint8))
    with pytest.raises(
        DataError, match=r"source: expected pixels of the class table.*is it Cityscapes"
    ):
        frames.check(SCHEME)


def test_check_refuses_colours_for_labels(frames):
    write_png(frames.frames[0].label, np.zeros((25, 31, 3), np.uint8))
    with pytest.raises(DataError, match=r"0_gtFine_labelIds.png: expected labels of one band"):
        frames.check(SCHEME)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"frames": ()}, "at least one frame"), ({"bands": (0, 1)}, "among 1, 2, 3")],
)
def test_frames_that_cannot_be_meant_are_refused(frames, change, complaint):
    with pytest.raises((ConfigError, DataError), match=complaint):
        replace(frames, **change)
