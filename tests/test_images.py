"""From the bytes of an image file to the pixels that a model sees."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from emodetect.errors import ImageError
from emodetect.images.model_input import channels_of, to_input
from emodetect.images.reading import decode_image, read_image

ORIENTATION = 0x0112  # the EXIF tag
RED, GREEN, BLUE, GRAY = (0, 0, 255), (0, 255, 0), (255, 0, 0), (128, 128, 128)  # BGR


def _quadrants() -> np.ndarray:
    """(40, 60, 3) RGB: red, green over blue, grey."""
    picture = np.empty((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:] = RED[::-1], GREEN[::-1]
    picture[20:, :30], picture[20:, 30:] = BLUE[::-1], GRAY
    return picture


def _corners(image: np.ndarray) -> list[tuple[int, ...]]:
    """The BGR colours inside the four quadrants, row by row."""
    height, width = image.shape[:2]
    places = [(height // 4, width // 4), (height // 4, 3 * width // 4)]
    places += [(3 * height // 4, width // 4), (3 * height // 4, 3 * width // 4)]
    return [tuple(int(value) for value in image[place]) for place in places]


def _assert_colors(image: np.ndarray, expected: list[tuple[int, ...]], *, off: int) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert np.abs(np.array(_corners(image)) - np.array(expected)).max() <= off


# Which quadrant stands where once the picture is upright, by EXIF orientation 1 to 8.
UPRIGHT = {
    1: [RED, GREEN, BLUE, GRAY],
    2: [GREEN, RED, GRAY, BLUE],
    3: [GRAY, BLUE, GREEN, RED],
    4: [BLUE, GRAY, RED, GREEN],
    5: [RED, BLUE, GREEN, GRAY],
    6: [BLUE, RED, GRAY, GREEN],
    7: [GRAY, GREEN, BLUE, RED],
    8: [GREEN, GRAY, RED, BLUE],
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_a_photo_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    """A telephone's photo is seen as its EXIF orientation says, mirrored ones too."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = tmp_path / "photo.jpg"
    Image.fromarray(_quadrants()).save(file, quality=95, subsampling=0, exif=exif)
    image = read_image(file)
    assert image.shape == ((60, 40, 3) if orientation >= 5 else (40, 60, 3))
    _assert_colors(image, UPRIGHT[orientation], off=12)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_a_photo_with_alpha_is_turned_upright(tmp_path: Path, suffix: str) -> None:
    """An EXIF orientation counts for a PNG or WebP with transparency as for any other photo."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = Image.fromarray(_quadrants()).convert("RGBA")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    options = {"lossless": True} if suffix == ".webp" else {}
    file = tmp_path / f"photo{suffix}"
    picture.save(file, exif=exif, **options)
    image = read_image(file)
    assert image.shape == (60, 40, 3)
    _assert_colors(image, UPRIGHT[6], off=2)


@pytest.mark.parametrize(
    ("name", "options", "off"),
    [
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tiff", {}, 0),
        ("a.tif", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.webp", {"quality": 95}, 12),
        ("a.jpg", {"quality": 95, "subsampling": 0}, 6),
        ("a.jpeg", {"quality": 95, "subsampling": 0, "progressive": True}, 6),
        ("a.PNG", {"format": "PNG", "optimize": True}, 0),
    ],
)
def test_every_format_gives_the_same_picture(
    tmp_path: Path, name: str, options: dict[str, object], off: int
) -> None:
    """JPEG, PNG, WebP, BMP and TIFF files of one picture have the same pixels, as BGR."""
    file = tmp_path / name
    Image.fromarray(_quadrants()).save(file, **options)
    image = read_image(file)
    assert image.shape == (40, 60, 3)
    _assert_colors(image, [RED, GREEN, BLUE, GRAY], off=off)


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    """A PNG that is called .jpg is read as the PNG that it is."""
    file = tmp_path / "really-a-png.jpg"
    Image.fromarray(_quadrants()).save(file, format="PNG")
    _assert_colors(read_image(file), [RED, GREEN, BLUE, GRAY], off=0)


def test_a_palette_picture_has_its_colours(tmp_path: Path) -> None:
    """A PNG with a palette, transparent entries or not, is read with the palette's colours."""
    picture = Image.fromarray(_quadrants()).quantize(4)
    picture.save(tmp_path / "a.png")
    _assert_colors(read_image(tmp_path / "a.png"), [RED, GREEN, BLUE, GRAY], off=2)


@pytest.mark.parametrize("colors", [2, 256])
def test_a_transparent_palette_entry_is_white(tmp_path: Path, colors: int) -> None:
    """A PNG whose palette has a transparent entry shows white there, like one with alpha."""
    pixels = np.zeros((20, 20), np.uint8)
    pixels[:, 10:] = 1
    picture = Image.fromarray(pixels, mode="P")
    picture.putpalette([0, 0, 0, *(colors - 1) * [200, 0, 0]])
    picture.save(tmp_path / "a.png", transparency=0)
    image = read_image(tmp_path / "a.png")
    assert tuple(image[5, 5]) == (255, 255, 255)
    assert tuple(image[5, 15]) == (0, 0, 200)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_grey_picture_gets_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    """A grey file comes back as BGR with the same value in each channel."""
    pixels = np.full((30, 20), 90, np.uint8)
    pixels[15:] = 200
    file = tmp_path / f"grey{suffix}"
    Image.fromarray(pixels).save(file)
    image = read_image(file)
    assert image.shape == (30, 20, 3)
    assert np.ptp(image.astype(int), axis=2).max() <= 1
    assert abs(int(image[5, 5, 0]) - 90) <= 3
    assert abs(int(image[25, 5, 0]) - 200) <= 3


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparent_pixels_lie_on_white(tmp_path: Path, suffix: str) -> None:
    """A cut-out face has a white background, and half-transparent pixels are blended with it."""
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[:, :10] = (10, 60, 110, 255)
    pixels[:, 10:20] = (10, 60, 110, 0)
    pixels[:, 20:] = (10, 60, 110, 128)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    file = tmp_path / f"cut-out{suffix}"
    Image.fromarray(pixels, mode="RGBA").save(file, **options)
    image = read_image(file)
    assert image.shape == (20, 30, 3)
    assert tuple(image[5, 5]) == (110, 60, 10)
    assert tuple(image[5, 15]) == (255, 255, 255)
    half = [round(value * 128 / 255 + 127) for value in (110, 60, 10)]
    assert np.abs(image[5, 25].astype(int) - half).max() <= 1


def test_a_grey_picture_with_alpha_lies_on_white(tmp_path: Path) -> None:
    """Grey with transparency is blended with white like colour with transparency."""
    pixels = np.zeros((20, 30, 2), np.uint8)
    pixels[:, :15] = (40, 255)
    pixels[:, 15:] = (40, 0)
    file = tmp_path / "grey-alpha.png"
    Image.fromarray(pixels, mode="LA").save(file)
    image = read_image(file)
    assert tuple(image[5, 5]) == (40, 40, 40)
    assert tuple(image[5, 25]) == (255, 255, 255)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_brightness(tmp_path: Path, channels: int) -> None:
    """A 16-bit PNG is scaled to 8 bits, so that half of the range stays half of the range."""
    pixels = np.full((20, 30, channels), 0x8000, np.uint16)
    pixels[:10] = 0x2000
    if channels == 4:
        pixels[..., 3] = 0xFFFF
    file = tmp_path / "deep.png"
    file.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    image = read_image(file)
    assert image.dtype == np.uint8
    assert image.shape == (20, 30, 3)
    assert np.abs(image[5, 5].astype(int) - 0x20).max() <= 1
    assert np.abs(image[15, 5].astype(int) - 0x80).max() <= 1


def test_a_printers_jpeg_has_the_right_colours(tmp_path: Path) -> None:
    """A CMYK JPEG, as layout programs write it, is not read as its negative."""
    file = tmp_path / "print.jpg"
    Image.fromarray(_quadrants()).convert("CMYK").save(file, quality=95)
    with Image.open(file) as opened:
        reference = np.asarray(opened.convert("RGB"))[..., ::-1]
    # Decoders differ a little in how they turn CMYK to RGB; a negative is off by over 100.
    _assert_colors(read_image(file), _corners(reference), off=40)


def test_a_path_may_hold_any_letters(tmp_path: Path) -> None:
    """Folders and files with spaces and letters outside ASCII are read."""
    folder = tmp_path / "Fotos für 情感 😀"
    folder.mkdir()
    file = folder / "счастье é.png"
    Image.fromarray(_quadrants()).save(file)
    _assert_colors(read_image(file), [RED, GREEN, BLUE, GRAY], off=0)


def _noisy(kind: str, **options: object) -> bytes:
    """A 64 x 48 picture whose file is long enough to be cut anywhere."""
    pixels = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    """A half-downloaded picture is an error, never a picture with a grey rest."""
    data = _noisy(kind)
    file = tmp_path / f"cut.{kind.lower()}"
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError):
        read_image(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_lacks_its_last_bytes_is_refused(tmp_path: Path, kind: str) -> None:
    """Even a picture that lacks a few bytes at its end is told to be incomplete."""
    file = tmp_path / "cut"
    file.write_bytes(_noisy(kind)[:-16])
    with pytest.raises(ImageError):
        read_image(file)


def test_a_chunk_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    """A small PNG that announces 4 GB of pixels is told to be cut short; a decoder would take as
    much memory."""
    data = _noisy("PNG")
    at = data.index(b"IDAT")
    file = tmp_path / "photo.png"
    file.write_bytes(data[: at - 4] + b"\xff\xff\xff\xff" + data[at:])
    with pytest.raises(ImageError, match="cut short"):
        read_image(file)


def test_a_cut_photo_with_a_thumbnail_is_refused(tmp_path: Path) -> None:
    """The end marker of the thumbnail inside a photo is not taken for the photo's own end."""
    thumbnail = _noisy("JPEG", quality=20)
    assert thumbnail.endswith(b"\xff\xd9")
    exif = b"Exif\x00\x00" + thumbnail
    data = _noisy("JPEG", quality=95)
    header = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    whole = data[:2] + header + data[2:]
    file = tmp_path / "photo.jpg"
    file.write_bytes(whole)
    assert read_image(file).shape == (48, 64, 3)
    file.write_bytes(whole[: len(whole) - len(data) // 2])
    with pytest.raises(ImageError):
        read_image(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_a_cut_file_with_bytes_behind_it_is_refused(
    tmp_path: Path, kind: str, share: float
) -> None:
    """A download whose rest was filled with zeros is refused like one without its rest."""
    data = _noisy(kind)
    kept = data[: int(len(data) * share)]
    file = tmp_path / "zeros"
    file.write_bytes(kept + bytes(len(data) - len(kept)))
    with pytest.raises(ImageError):
        read_image(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_bytes_behind_the_end_do_no_harm(tmp_path: Path, kind: str) -> None:
    """A whole picture with something appended, as cameras and editors do, is read."""
    file = tmp_path / "photo"
    file.write_bytes(_noisy(kind) + b"\x00\x00appended by some camera")
    assert read_image(file).shape == (48, 64, 3)


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """Each scan of a few bytes takes a pass over all pixels, so thousands would take minutes."""
    data = _noisy("JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scans = data[:start] + 200 * data[start:-2]
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(scans + data[-2:])
    with pytest.raises(ImageError, match="at most 100 scans, got more"):
        read_image(photo)
    hidden = b"\xff\x02\xff\xff"  # a decoder looks for the next segment right behind it
    photo.write_bytes(data[:-2] + hidden + 200 * data[start:-2] + data[-2:])
    with pytest.raises(ImageError, match="at most 100 scans, got more"):
        read_image(photo)
    # Neither a preview before the picture nor a film behind it counts.
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 300) + 150 * b"\xff\xda"
    photo.write_bytes(data[:2] + comment + data[2:] + 500 * b"\xff\xda\x00")
    assert (read_image(photo) == decode_image(data)).all()


def test_a_progressive_photo_that_is_cut_is_refused(tmp_path: Path) -> None:
    """A progressive JPEG, whose first scans alone already give a picture, must be whole."""
    data = _noisy("JPEG", progressive=True)
    file = tmp_path / "photo.jpg"
    file.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(ImageError):
        read_image(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"just some text\n", "not an image"),
        (b"\xff\xd8", "cut short"),
        (b"\xff\xd8\xff\xd9", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (b"\x89PNG\r\n\x1a\nIEND", "cut short"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X", "damaged"),
        (b"BM", "not an image"),
        (b"II*\x00", "not an image"),
        (bytes(1000), "not an image"),
        (b"PK\x03\x04" + bytes(40), "by its content: a zip archive; unpack it"),
    ],
)
def test_what_is_no_image_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    """Empty files, text and bare signatures end in an ImageError that says what is wrong."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=said):
        read_image(file)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_a_tiff_of_more_than_16_bits_is_told(tmp_path: Path, dtype: str) -> None:
    """It is an image, as microscopes and scanners make, and not a broken one."""
    file = tmp_path / "scan.tif"
    Image.fromarray(np.ones((40, 40), dtype)).save(file)
    with pytest.raises(ImageError, match="TIFF of more than 16 bits"):
        read_image(file)


def test_a_missing_file_and_a_folder_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is not there or is a folder is told apart from a broken picture."""
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match=r"^expected an image file, got a folder$"):
        read_image(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # also for root
    with pytest.raises(ImageError, match="no permission to read this folder"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    "shape", [(48, 48), (20, 90), (90, 20), (300, 200), (1, 1), (7, 5), (1, 1000), (1000, 1)]
)
@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_the_input_has_the_models_shape(shape: tuple[int, int], color: str) -> None:
    """Whatever the crop's shape, the model's input is a uint8 square of its own size."""
    crop = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    pixels = to_input(crop, size=48, color=color)
    assert pixels.shape == (48, 48, channels_of(color))
    assert pixels.dtype == np.uint8


def test_the_colour_mode_decides_the_channels() -> None:
    """A BGR crop becomes RGB in that order, or the luma of Rec. 601 in grey."""
    crop = np.full((48, 48, 3), (200, 100, 50), np.uint8)
    assert to_input(crop, size=48, color="rgb")[0, 0].tolist() == [50, 100, 200]
    luma = 0.299 * 50 + 0.587 * 100 + 0.114 * 200
    assert abs(int(to_input(crop, size=48, color="gray")[0, 0, 0]) - luma) <= 1


def test_a_crop_that_is_not_square_keeps_its_proportions() -> None:
    """A disc in an oblong crop is still as wide as high, and the padding repeats the edges."""
    crop = np.full((48, 96, 3), 10, np.uint8)
    cv2.circle(crop, (48, 24), 16, (250, 250, 250), cv2.FILLED)
    crop[0], crop[-1] = 60, 90
    pixels = to_input(crop, size=96, color="gray")[..., 0]
    rows, columns = np.nonzero(pixels > 200)
    assert np.ptp(rows) == np.ptp(columns) == 32
    assert (pixels[:24] == 60).all()
    assert (pixels[-24:] == 90).all()


def test_a_large_crop_shrinks_to_the_means_of_its_blocks() -> None:
    """Shrinking by a whole number averages each block, as the small training images look."""
    crop = np.random.default_rng(1).integers(0, 256, (480, 480, 3), dtype=np.uint8)
    means = crop.reshape(48, 10, 48, 10, 3).mean(axis=(1, 3))[..., ::-1]
    found = to_input(crop, size=48, color="rgb").astype(float)
    assert np.abs(found - means).max() <= 1


def test_a_crop_of_the_right_size_is_not_resampled() -> None:
    """Pixels of a stored 48 x 48 grey image reach the model as they are."""
    gray = np.random.default_rng(2).integers(0, 256, (48, 48), dtype=np.uint8)
    crop = np.repeat(gray[..., None], 3, axis=2)
    assert np.array_equal(to_input(crop, size=48, color="gray")[..., 0], gray)


def test_the_crop_itself_is_left_alone() -> None:
    """Making the input does not change the caller's picture."""
    crop = np.random.default_rng(4).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    before = crop.copy()
    to_input(crop, size=48, color="rgb")
    assert np.array_equal(crop, before)
