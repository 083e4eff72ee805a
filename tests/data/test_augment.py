"""Augmentation: seeded, for any bands, image and label as one."""

import numpy as np
import pytest

from rsadapt.data.augment import Augmenter

SIZE = 12
BANDS = pytest.mark.parametrize("bands", [1, 3, 4, 7])
EVERY = ["dihedral"]


def sample(bands, seed=0):
    """A standardised sample with a slanted border of invalid pixels."""
    random = np.random.default_rng(seed)
    rows, cols = np.indices((SIZE, SIZE))
    valid = rows + 2 * cols > 6
    image = random.normal(size=(bands, SIZE, SIZE)).astype(np.float32) * valid
    label = np.where(valid, random.integers(0, 9, (SIZE, SIZE)), 255)
    return image, valid, label


def eight(array):
    """The flips and quarter turns of a square."""
    turns = [np.rot90(array, turn, (-2, -1)) for turn in range(4)]
    return [*turns, *(turn[..., ::-1] for turn in turns)]


@BANDS
def test_seed_decides_everything(bands):
    augment = Augmenter(EVERY)
    one, two, other = (augment(*sample(bands), seed=seed) for seed in (5, 5, 6))
    again = Augmenter(EVERY)(*sample(bands), seed=5)
    for a, b, c in zip(one, two, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert not np.array_equal(one[0], other[0])


@BANDS
def test_kinds_and_sizes_stay(bands):
    image, valid, label = Augmenter(EVERY)(*sample(bands), seed=1)
    assert (image.dtype, valid.dtype, label.dtype) == (np.float32, np.bool_, np.int64)
    assert image.shape == (bands, SIZE, SIZE)
    assert valid.shape == label.shape == (SIZE, SIZE)
    assert image.flags.c_contiguous


@BANDS
def test_image_validity_and_label_move_together(bands):
    """Each pixel carries its place in every band and in the label."""
    place = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    image = (place + 1000 * np.arange(bands)[:, None, None]).astype(np.float32)
    valid = place % 5 > 0
    augment, found = Augmenter(["dihedral"]), set()
    for seed in range(40):
        moved, moved_valid, label = augment(image * valid, valid, place, seed=seed)
        np.testing.assert_array_equal(moved_valid, label % 5 > 0)
        for band in range(bands):
            np.testing.assert_array_equal(moved[band], (label + 1000 * band) * moved_valid)
        found.add(next(n for n, turned in enumerate(eight(place)) if (turned == label).all()))
    assert found == set(range(8))


@pytest.mark.parametrize("name", EVERY)
def test_invalid_pixels_stay_nought(name):
    augment = Augmenter([name])
    for seed in range(10):
        image, valid, label = augment(*sample(4), seed=seed)
        assert not image[:, ~valid].any()
        assert (label[~valid] == 255).all()
        assert valid.sum() == sample(4)[1].sum()


def test_unlabelled_samples_change_as_labelled_ones():
    image, valid, label = sample(3)
    augment = Augmenter(EVERY)
    labelled, unlabelled = augment(image, valid, label, seed=3), augment(image, valid, None, seed=3)
    assert unlabelled[2] is None
    np.testing.assert_array_equal(labelled[0], unlabelled[0])
    np.testing.assert_array_equal(labelled[1], unlabelled[1])
