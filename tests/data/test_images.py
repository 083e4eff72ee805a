import io
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rsadapt.data.images import read_image, read_labels, resize_image, resize_labels, write_png
from rsadapt.errors import DataError, MissingFileError, ShapeError

SIDE = st.integers(1, 70)


def colours(height=37, width=53):
    random = np.random.default_rng(0)
    rows, cols = np.mgrid[:height, :width]
    smooth = np.stack([4 * rows, 3 * cols, rows + cols], axis=-1)
    return (smooth + random.integers(0, 20, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_image_is_what_pillow_reads(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(colours()).save(path)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_image_of_another_kind_is_refused(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "image.png")
    with pytest.raises(DataError, match=r"image.png: expected a colour image of 3 bands of 8 bits"):
        read_image(tmp_path / "image.png")


def test_cmyk_is_no_colour_with_alpha(tmp_path):
    Image.new("CMYK", (4, 3), (0, 0, 0, 255)).save(tmp_path / "image.jpg")
    with pytest.raises(DataError, match=r"image.jpg: expected a colour image, found CMYK"):
        read_image(tmp_path / "image.jpg")


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_opaque_alpha_is_dropped_and_any_other_refused(tmp_path, ending):
    path, image = tmp_path / f"image.{ending}", Image.fromarray(colours()).convert("RGBA")
    image.save(path, lossless=True)
    assert np.array_equal(read_image(path), colours())
    image.putpixel((4, 2), (9, 9, 9, 254))
    image.save(path, lossless=True)
    with pytest.raises(DataError, match=rf"image.{ending}: .*pixels that are not opaque"):
        read_image(path)


@pytest.mark.parametrize("ending", ["png", "gif", "bmp"])
@pytest.mark.parametrize("count", [2, 5, 200])
def test_palette_images_are_their_colours(tmp_path, ending, count):
    path = tmp_path / f"image.{ending}"
    image = Image.fromarray(colours()).quantize(count)
    image.save(path)
    assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))


def test_palette_that_lets_something_through_is_refused(tmp_path):
    image = Image.fromarray(colours()).quantize(5)
    image.save(tmp_path / "image.png", transparency=1)
    with pytest.raises(DataError, match="pixels that are not opaque"):
        read_image(tmp_path / "image.png")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match=r"none.png: expected an image file"):
        read_image(tmp_path / "none.png")


def test_palette_labels_are_indices(tmp_path):
    ids = colours()[..., 0] % 34
    image = Image.fromarray(ids)
    image.putpalette([value * 7 % 256 for value in range(768)])
    image.save(tmp_path / "labels.png")
    read = read_labels(tmp_path / "labels.png")
    assert read.dtype == np.uint8
    assert np.array_equal(read, ids)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_16_bit_channels_are_whole_and_in_order(tmp_path, channel):
    random = np.random.default_rng(0)
    ids = random.integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "labels.png"), ids[..., ::-1])  # OpenCV writes blue first
    read = read_labels(tmp_path / "labels.png", channel)
    assert read.dtype == np.uint16
    assert np.array_equal(read, ids[..., channel])


@pytest.mark.parametrize(("shape", "channel"), [((4, 5, 3), None), ((4, 5), 1), ((4, 5, 3), 3)])
def test_labels_of_other_bands_are_refused(tmp_path, shape, channel):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "labels.png")
    with pytest.raises(DataError, match=r"labels.png: expected labels of .* not their colours"):
        read_labels(tmp_path / "labels.png", channel)


def damaged(content, random):
    """Files of which a part is missing, then files in which one bit is another."""
    for stop in [0, 4, 8, 20, *random.integers(21, len(content), 30), len(content) - 1]:
        yield content[:stop]
    for place in [9, 20, 30, *random.integers(8, len(content), 60), len(content) - 1]:
        other = bytearray(content)
        other[place] ^= 1 << random.integers(8)
        yield bytes(other)


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_damage_is_never_taken_for_pixels(tmp_path, read):
    path, content = tmp_path / "damaged.png", io.BytesIO()
    Image.fromarray(colours() if read is read_image else colours()[..., 0]).save(content, "PNG")
    for broken in damaged(content.getvalue(), np.random.default_rng(0)):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"damaged.png: expected .*download the file again"):
            read(path)


def test_truncated_jpeg_is_refused(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(colours()).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"image.jpg: expected an image"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_file_that_cannot_be_read_is_named(tmp_path, monkeypatch, read):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "image.png").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"image.png: .*cannot be read \(Permission denied\)"):
        read(tmp_path / "image.png")


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_more_pixels_than_an_image_has_are_refused(tmp_path, monkeypatch, read):
    path = tmp_path / "image.bmp"
    Image.fromarray(colours() if read is read_image else colours()[..., 0]).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"image.bmp: .*DecompressionBombError"):
        read(path)


def test_png_that_memory_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "huge.png"
    write_png(path, colours())
    content = bytearray(path.read_bytes())
    content[16:24] = (900_000).to_bytes(4, "big") * 2  # width and height
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"huge.png: expected an image"):
        read_image(path)


def test_pillow_reads_where_rasterio_is_not_installed(tmp_path):
    image, ids = colours(), (colours()[..., 0] % 34)
    write_png(tmp_path / "image.png", image)
    write_png(tmp_path / "ids.png", ids, [(value, 0, 0) for value in range(34)])
    cv2.imwrite(str(tmp_path / "16.png"), np.full((4, 5, 3), 300, np.uint16))
    code = (
        "import sys; sys.modules['rasterio'] = None\n"
        "import numpy as np\n"
        "from rsadapt.data.images import read_image, read_labels\n"
        "from rsadapt.errors import DataError\n"
        "np.savez('read.npz', image=read_image('image.png'), ids=read_labels('ids.png'))\n"
        "try:\n    read_labels('16.png', 0)\nexcept DataError as error:\n    print(error)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    read = np.load(tmp_path / "read.npz")
    assert np.array_equal(read["image"], image)
    assert np.array_equal(read["ids"], ids)
    assert "pip install rasterio" in shown.stdout


@given(SIDE, SIDE, SIDE, SIDE)
def test_images_are_resized_as_by_pillow(height, width, new_height, new_width):
    image = colours(height, width)
    expected = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    assert np.array_equal(resize_image(image, new_height, new_width), np.asarray(expected))


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(["uint8", "uint16", "int32", "int64"]))
def test_labels_are_resized_as_by_pillow(height, width, new_height, new_width, dtype):
    labels = colours(height, width)[..., 1]
    expected = Image.fromarray(labels).resize((new_width, new_height), Image.Resampling.NEAREST)
    resized = resize_labels(labels.astype(dtype), new_height, new_width)
    assert resized.dtype == dtype
    assert np.array_equal(resized, np.asarray(expected))


@pytest.mark.parametrize("shape", [(1052, 1914), (1046, 1914), (1024, 2048), (760, 1280)])
def test_labels_of_real_sizes_are_resized_as_by_pillow(shape):
    labels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    expected = Image.fromarray(labels).resize((1280, 720), Image.Resampling.NEAREST)
    assert np.array_equal(resize_labels(labels, 720, 1280), np.asarray(expected))


@pytest.mark.parametrize("array", [colours(), colours()[..., 0]])
def test_written_png_reads_back(tmp_path, array):
    path = tmp_path / "new" / "written.png"
    write_png(path, array)
    assert np.array_equal(read_image(path) if array.ndim == 3 else read_labels(path), array)
    assert list(path.parent.iterdir()) == [path]


def test_palette_colours_ids_and_keeps_them(tmp_path):
    ids, palette = np.array([[0, 1], [2, 1]], np.uint8), [(9, 8, 7), (1, 2, 3), (200, 100, 0)]
    write_png(tmp_path / "ids.png", ids, palette)
    assert np.array_equal(read_labels(tmp_path / "ids.png"), ids)
    shown = np.asarray(Image.open(tmp_path / "ids.png").convert("RGB"))
    assert np.array_equal(shown, np.array(palette)[ids])


@pytest.mark.parametrize(
    ("array", "palette"),
    [
        (np.zeros((2, 3), np.int64), None),
        (np.zeros((2, 3, 4), np.uint8), None),
        (np.zeros((2, 3, 3), np.uint8), [(0, 0, 0)]),
    ],
)
def test_array_that_is_no_png_is_refused(tmp_path, array, palette):
    with pytest.raises(ShapeError, match=r"x.png: "):
        write_png(tmp_path / "x.png", array, palette)
    assert not any(tmp_path.iterdir())
