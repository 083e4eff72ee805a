"""Augmentation: seeded, for any bands, image and label as one."""

import numpy as np
import pytest

from rsadapt.data.augment import Augmenter, Strengths

SIZE = 12
BANDS = pytest.mark.parametrize("bands", [1, 3, 4, 7])
EVERY = ["dihedral"]
RADIOMETRIC = ["brightness", "contrast", "band_scale", "noise", "blur"]
WARPS = ["rotate", "scale"]


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


def disc(bands, size=64):
    """A sample whose invalid pixels hold nothing, but whose valid ones are far from 0."""
    random = np.random.default_rng(1)
    valid = random.random((size, size)) < 0.8
    valid[20:40, :30] = False
    image = (5 + random.normal(size=(bands, size, size))).astype(np.float32) * valid
    return image, valid, np.where(valid, random.integers(0, 9, (size, size)), 255)


@pytest.mark.parametrize("name", [*RADIOMETRIC, *WARPS])
@BANDS
def test_every_change_depends_on_input_and_seed_alone(name, bands):
    augment = Augmenter([name])
    one, two, other = (augment(*disc(bands), seed=seed) for seed in (5, 5, 6))
    np.random.default_rng().random()
    again = Augmenter([name])(*disc(bands), seed=5)
    for a, b, c in zip(one, two, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert not np.array_equal(one[0], other[0])
    assert (one[0].dtype, one[1].dtype, one[2].dtype) == (np.float32, np.bool_, np.int64)
    assert one[0].shape == disc(bands)[0].shape


@pytest.mark.parametrize("name", RADIOMETRIC)
def test_values_change_and_nothing_else(name):
    image, valid, label = disc(3)
    kept, touched = image.copy(), []
    for seed in range(5):
        changed, still, same = Augmenter([name])(image, valid, label, seed=seed)
        np.testing.assert_array_equal(still, valid)
        np.testing.assert_array_equal(same, label)
        assert not changed[:, ~valid].any()
        assert np.isfinite(changed).all()
        touched.append((changed[:, valid] != image[:, valid]).mean())
    assert np.median(touched) > 0.9
    np.testing.assert_array_equal(image, kept)


def strengths_of(change, name, seeds=300):
    """How far a change went, by seed."""
    image, valid, label = disc(4)
    augment = Augmenter([name])
    return np.array(
        [change(image, augment(image, valid, label, seed=s)[0], valid) for s in range(seeds)]
    )


def test_brightness_adds_the_same_to_all_bands():
    def shift(image, changed, valid):
        difference = (changed - image)[:, valid]
        assert np.ptp(difference) < 1e-5
        return difference.mean()

    found = strengths_of(shift, "brightness")
    assert np.abs(found).max() <= 0.3
    assert found.min() < -0.25
    assert found.max() > 0.25


def test_contrast_keeps_the_mean_of_valid_pixels():
    def spread(image, changed, valid):
        before, after = image[:, valid], changed[:, valid]
        np.testing.assert_allclose(after.mean(axis=1), before.mean(axis=1), atol=1e-4)
        factor = after.std(axis=1) / before.std(axis=1)
        assert np.ptp(factor) < 1e-4
        return factor[0]

    found = strengths_of(spread, "contrast")
    assert 1 / 1.3 - 1e-4 < found.min() < 0.8
    assert 1.25 < found.max() < 1.3 + 1e-4


def test_bands_are_scaled_each_by_itself():
    def factors(image, changed, valid):
        ratio = changed[:, valid] / image[:, valid]
        assert np.ptp(ratio, axis=1).max() < 1e-4
        return ratio.mean(axis=1)

    found = strengths_of(factors, "band_scale")
    assert 1 / 1.2 - 1e-4 < found.min() < 0.85
    assert 1.17 < found.max() < 1.2 + 1e-4
    assert np.abs(np.corrcoef(found.T) - np.eye(4)).max() < 0.2


def test_noise_is_independent_and_as_strong_as_said():
    def noise(image, changed, valid):
        added = (changed - image)[:, valid]
        assert abs(added.mean()) < 0.1
        assert np.abs(np.corrcoef(added) - np.eye(4)).max() < 0.1
        return added.std()

    found = strengths_of(noise, "noise", seeds=100)
    assert 0.09 < found.max() < 0.11
    assert found.mean() == pytest.approx(0.05, abs=0.01)


def test_blur_is_a_weighted_mean_of_valid_neighbours():
    """Against sums written out; the width is that which fits the first pixels best."""
    image, valid, label = disc(2, size=24)
    changed, _, _ = Augmenter(["blur"], Strengths(blur=2.0))(image, valid, label, seed=1)
    rows, cols = np.indices(valid.shape)

    def slow(row, col, width):
        weight = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * width**2)) * valid
        return (weight * image).sum(axis=(1, 2)) / weight.sum()

    def worst(places, width):
        return max(np.abs(slow(*place, width) - changed[:, *place]).max() for place in places)

    places = list(zip(*np.nonzero(valid), strict=True))
    width = min(np.linspace(0.3, 2, 171), key=lambda width: worst(places[:5], width))
    assert width > 0.4
    assert worst(places, width) < 0.02


@pytest.mark.parametrize("name", ["blur", *WARPS])
def test_invalid_pixels_are_mixed_into_no_other(name):
    """Of a constant image every valid pixel keeps the constant."""
    _, valid, label = disc(3)
    image = np.full((3, *valid.shape), 7, np.float32) * valid
    for seed in range(10):
        changed, still, _ = Augmenter([name])(image, valid, label, seed=seed)
        np.testing.assert_allclose(changed[:, still], 7, rtol=1e-4)
        assert not changed[:, ~still].any()


@pytest.mark.parametrize("name", WARPS)
@BANDS
def test_warps_move_labels_and_validity_with_the_image(name, bands):
    """An image that is smooth in row and column tells where each pixel came from."""
    rows, cols = np.indices((64, 64))
    valid = (rows // 8 + cols // 8) % 5 > 0
    label = np.where(valid, rows // 8 * 8 + cols // 8, 255)
    image = np.stack([rows, cols][:bands] + [rows + cols] * (bands - 2)).astype(np.float32) * valid
    for seed in range(10):
        moved, still, tag = Augmenter([name])(image, valid, label, seed=seed)
        assert still.mean() > 0.3
        assert (tag[~still] == 255).all()
        assert (tag[still] != 255).all()
        for band, there in zip(moved[:2], (tag // 8, tag % 8), strict=False):
            assert np.abs(band[still] - (8 * there[still] + 3.5)).max() <= 4.6


def test_rotation_turns_by_any_angle_and_leaves_corners_invalid():
    valid, shares = np.ones((65, 65), bool), []
    image = np.ones((2, 65, 65), np.float32)
    for seed in range(40):
        _, still, label = Augmenter(["rotate"])(image, valid, valid * 3, seed=seed)
        assert still[22:43, 22:43].all()
        assert set(np.unique(label)) <= {3, 255}
        shares.append(still.mean())
    assert 0.80 < min(shares) < 0.85
    assert max(shares) > 0.97


def test_scale_magnifies_as_often_as_it_shrinks():
    valid = np.ones((100, 100), bool)
    image = np.zeros((1, 100, 100), np.float32)
    image[:, 40:60, 40:60] = 1
    augment = Augmenter(["scale"], Strengths(scale=1.5))
    sides = np.array([augment(image, valid, None, seed=s)[0].sum() ** 0.5 / 20 for s in range(300)])
    assert 1 / 1.5 - 0.03 < sides.min() < 0.7
    assert 1.45 < sides.max() < 1.53
    assert np.mean(sides > 1) == pytest.approx(0.5, abs=0.1)


def test_strength_of_nought_changes_nothing():
    still = Strengths(rotate=0, scale=1, brightness=0, contrast=0, band_scale=0, noise=0, blur=0)
    image, valid, label = disc(3)
    same, *_ = Augmenter([*RADIOMETRIC, *WARPS], still)(image, valid, label, seed=1)
    np.testing.assert_allclose(same, image, atol=1e-5)


def test_all_together():
    names = ["dihedral", "flip", *WARPS, *RADIOMETRIC]
    image, valid, label = disc(5)
    changed, still, tag = Augmenter(names)(image, valid, label, seed=2)
    assert not changed[:, ~still].any()
    assert ((tag == 255) == ~still).all()
    assert np.isfinite(changed).all()


def test_an_image_without_a_valid_pixel_stays_empty():
    image, label = np.zeros((3, 32, 32), np.float32), np.full((32, 32), 255)
    valid = np.zeros((32, 32), bool)
    changed, still, _ = Augmenter([*WARPS, *RADIOMETRIC])(image, valid, label, seed=0)
    assert not changed.any()
    assert not still.any()
