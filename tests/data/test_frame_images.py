"""Single images, brought to what a network of frames takes."""

import numpy as np
import pytest
import torch
from PIL import Image

from rsadapt.data.frame_images import FrameImages
from rsadapt.data.images import write_png
from rsadapt.errors import DataError, MissingFileError
from rsadapt.geo.normalise import Normaliser

SIZES = {"wide": (12, 40), "tall": (31, 9), "same": (16, 24)}
MEAN, STD = (100.0, 90.0), (2.0, 4.0)


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    for name, size in SIZES.items():
        write_png(tmp_path / f"{name}.png", random.integers(0, 256, (*size, 3)).astype(np.uint8))
    return [tmp_path / f"{name}.png" for name in SIZES]


def images(files, bands=(3, 1)):
    return FrameImages(files, (16, 24), bands, Normaliser(MEAN[: len(bands)], STD[: len(bands)]))


def test_pictures_are_resized_standardised_and_remember_their_size(files):
    pictures = list(images(files))
    assert {picture.name: picture.size for picture in pictures} == SIZES
    for picture, file in zip(pictures, files, strict=True):
        small = Image.open(file).resize((24, 16), Image.Resampling.BICUBIC)
        blue, _, red = (np.asarray(small, np.float32)[..., channel] for channel in (2, 1, 0))
        expected = np.stack([(blue - 100) / 2, (red - 90) / 4])
        assert picture.image.dtype == torch.float32
        np.testing.assert_allclose(picture.image.numpy(), expected, rtol=1e-6)


def test_images_come_in_order_as_often_as_asked(files):
    taken = images(files[::-1], (1,))
    assert len(taken) == 3
    for _ in range(2):
        assert [picture.name for picture in taken] == ["same", "tall", "wide"]


def test_what_is_no_colour_image_is_named_when_its_turn_comes(files):
    write_png(files[1], np.zeros((4, 5), np.uint8))
    pictures = iter(images(files))
    assert next(pictures).name == "wide"
    with pytest.raises(DataError, match=r"tall\.png: expected a colour image"):
        next(pictures)
    files[1].unlink()
    with pytest.raises(MissingFileError, match=r"tall\.png"):
        list(images(files))
