"""Which formats are read, whole or damaged, and that they all give the same picture."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from heic import HEIC
from PIL import Image, ImageCms, features
from running import run_emodetect

from emodetect.errors import ImageError
from emodetect.images import pillow_decoding
from emodetect.images.conversion import to_bgr
from emodetect.images.formats import has_image_suffix
from emodetect.images.heic_items import names_types_in_text
from emodetect.images.reading import decode_bounded, decode_image, read_image

RED, GREEN, BLUE, GREY = (200, 0, 0), (0, 180, 0), (0, 0, 190), (120, 120, 120)
WHITE = (255, 255, 255)
ORIENTATION = 0x0112  # the EXIF tag


def quarters() -> np.ndarray:
    """(80, 120, 3) RGB: red, green over blue, grey."""
    rows = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8)
    return np.kron(rows, np.ones((40, 60, 1), np.uint8))


def cut_out() -> np.ndarray:
    """The same with alpha, (80, 120, 4): red is transparent."""
    picture = np.dstack([quarters(), np.full((80, 120), 255, np.uint8)])
    picture[:40, :60, 3] = 0
    return picture


def encoded(kind: str, picture: Image.Image | np.ndarray | None = None, **options: object) -> bytes:
    """Return the bytes of an image file."""
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(quarters() if picture is None else picture)
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


def assert_quarters(image: np.ndarray, expected: list[tuple[int, ...]], *, off: int = 8) -> None:
    assert image.dtype == np.uint8
    height, width = image.shape[:2]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    found = np.array([image[place][::-1] for place in places], int)
    assert np.abs(found - expected).max() <= off, found


def chunk(kind: bytes, data: bytes, *, length: int | None = None) -> bytes:
    """Return a chunk of a PNG, which may state a wrong length."""
    stated = len(data) if length is None else length
    return struct.pack(">I", stated) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(color_type: int, *parts: bytes, size: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", size, size, 8, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(parts)


def pixels_of_png(channels: int) -> bytes:
    return chunk(b"IDAT", zlib.compress(bytes(8 * (1 + 8 * channels))))


FILES = {
    "a.heic": HEIC["ten_bits"],
    "a.avif": encoded("AVIF", quality=90),
    "a.gif": encoded("GIF"),
    "a.jp2": encoded("JPEG2000"),
    "a.j2k": encoded("JPEG2000", no_jp2=True),
    "a.ppm": encoded("PPM"),
    "a.jfif": encoded("JPEG", quality=95, subsampling=0),
}
OF_OTHER_NAMES = {
    "heif": "heic",
    "hif": "heic",
    "jpe": "jfif",
    "pjpeg": "jfif",
    "pnm": "ppm",
    "jpx": "jp2",
    "apng": "gif",
}


@pytest.mark.parametrize("name", [*FILES, *(f"a.{suffix}" for suffix in OF_OTHER_NAMES)])
def test_what_telephones_browsers_and_old_programs_save_is_read(tmp_path: Path, name: str) -> None:
    """HEIC, AVIF, JFIF, GIF, JPEG 2000 and PNM give their picture, found by suffix in any case."""
    suffix = name.removeprefix("a.")
    file = tmp_path / name.upper()
    file.write_bytes(FILES[f"a.{OF_OTHER_NAMES.get(suffix, suffix)}"])
    assert has_image_suffix(file)
    assert_quarters(read_image(file), [RED, GREEN, BLUE, GREY])


@pytest.mark.parametrize("name", FILES)
def test_the_content_counts_and_not_the_suffix(tmp_path: Path, name: str) -> None:
    """Each of these formats is read under the name of another one."""
    file = tmp_path / "photo.png"
    file.write_bytes(FILES[name])
    assert_quarters(read_image(file), [RED, GREEN, BLUE, GREY])


def test_a_heic_photo_is_turned_once(tmp_path: Path) -> None:
    """A photo that a telephone stored on its side stands upright, and is not turned twice."""
    image = decode_image(HEIC["turned"])
    assert image.shape == (120, 80, 3)
    assert_quarters(image, [BLUE, RED, GREY, GREEN])


@pytest.mark.parametrize(
    ("item", "damaged", "readable"),
    [
        (b"Exif\0", b"E\xf8if\0", False),  # its type
        (b"Exif\0", b"mim\xc3\0\xa9", False),  # which the next text would complete
        (b"Exif\0", b"mime\0", True),
        (b"hvc1\0", b"hvc1\xe9", True),  # its name, in another encoding
    ],
)
def test_a_heic_photo_with_a_damaged_type_does_not_end_the_process(
    tmp_path: Path, item: bytes, damaged: bytes, readable: bool
) -> None:
    """pi-heif crashes on a type that is not text: one upload would end a server."""
    assert item in HEIC["turned"]
    (tmp_path / "a.heic").write_bytes(HEIC["turned"].replace(item, damaged, 1))
    done = run_emodetect("predict", tmp_path / "a.heic", "--detector", "none")
    assert done.returncode == (0 if readable else 1), done.stderr
    assert ("damaged HEIC file, which cannot be decoded" in done.stdout) == (not readable)


def test_a_box_of_heic_may_have_any_size() -> None:
    """Sizes of no box, of the rest of the file and of 64 bits are followed; none runs for ever."""
    photo = HEIC["turned"]
    at = photo.index(b"infe", photo.index(b"infe") + 4)
    entry = photo[at + 4 : at + 17].replace(b"Exif", b"E\xf8if")
    whole = photo[: photo.index(b"meta") - 4]
    large = (16 + len(entry)).to_bytes(8, "big")
    for size, more in ((0, b""), (1, large)):
        table = bytes(4) + b"\0\1" + size.to_bytes(4, "big") + b"infe" + more + entry
        table = (8 + len(table)).to_bytes(4, "big") + b"iinf" + table
        meta = (12 + len(table)).to_bytes(4, "big") + b"meta" + bytes(4) + table
        assert not names_types_in_text(whole + meta)
    for size in (0, 2, 7, 2**32 - 1):
        assert names_types_in_text(whole + size.to_bytes(4, "big") + b"meta")


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_other_photos_are_turned_upright(kind: str) -> None:
    """The EXIF orientation of an AVIF counts; a format without one is left as it is."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif} if kind == "AVIF" else {}
    expected = [BLUE, RED, GREY, GREEN] if kind == "AVIF" else [RED, GREEN, BLUE, GREY]
    assert_quarters(decode_image(encoded(kind, **options)), expected)


def swapping_profile() -> bytes:
    """Return a colour profile whose red is sRGB's green, and the other way round."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    places = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * count, 12)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 8], profile[green : green + 8] = (
        profile[green : green + 8],
        profile[red : red + 8],
    )
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


def grey_profile() -> bytes:
    """Return a colour profile for images of one channel, whose greys are lighter than sRGB's."""
    profile = swapping_profile().replace(b"RGB ", b"GRAY", 1).replace(b"rTRC", b"kTRC", 1)
    exponent = profile.index(b"para") + 12
    return profile[:exponent] + struct.pack(">I", 1 << 16) + profile[exponent + 4 :]  # of 1


@pytest.mark.parametrize("form", ["HEIC", "AVIF", "transparent AVIF"])
def test_the_colour_profile_counts(form: str) -> None:
    """Colours stored in another space than sRGB, as telephones do, are converted."""
    swapped = [(0, 200, 0), (180, 0, 0), BLUE, GREY]
    data = HEIC["profile"]
    if form != "HEIC":
        picture = np.dstack([quarters(), np.full((80, 120), 255, np.uint8)])
        picture[:40, :60, 3] = 0 if form == "transparent AVIF" else 255
        data = encoded("AVIF", picture, quality=95, icc_profile=swapping_profile())
        swapped[0] = WHITE if form == "transparent AVIF" else swapped[0]
    assert_quarters(decode_image(data), swapped)


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "TIFF", "AVIF"])
def test_a_pillow_image_has_the_colours_of_its_file(form: str) -> None:
    """A photo with a colour profile, perhaps on its side, is the same however it is given."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    second = {"save_all": True, "append_images": [Image.fromarray(quarters())]}
    more = second if form == "MPO" else {}
    for options in ({}, {"exif": exif} if form in ("JPEG", "AVIF") else {}):
        data = encoded(form, icc_profile=swapping_profile(), **more, **options)
        opened = to_bgr(Image.open(io.BytesIO(data))).astype(int)
        assert np.abs(opened - decode_image(data)).max() <= 3


def test_a_damaged_profile_does_no_harm() -> None:
    """An unreadable profile, or one for other channels, leaves the colours as they are stored."""
    for profile in (b"no profile", swapping_profile()[:200], grey_profile()):
        image = decode_image(encoded("AVIF", quality=95, icc_profile=profile))
        assert_quarters(image, [RED, GREEN, BLUE, GREY])
    grey = Image.fromarray(quarters()).convert("L")
    grey.info["icc_profile"] = swapping_profile()
    assert_quarters(to_bgr(grey), [(60, 60, 60), (106, 106, 106), (22, 22, 22), GREY], off=1)


def test_the_colour_profile_of_a_grey_pillow_image_counts() -> None:
    """A profile for grey is used for an image with transparency as for one without."""
    opaque, cut = Image.new("L", (20, 10), 90), Image.new("LA", (20, 10), (90, 255))
    cut.putpixel((0, 0), (90, 0))
    for picture in (opaque, cut):
        picture.info["icc_profile"] = grey_profile()
        assert (to_bgr(picture)[1:] > 120).all()
    assert to_bgr(cut)[0, 0].tolist() == [255, 255, 255]
    assert (to_bgr(cut)[1:] == to_bgr(opaque)[1:]).all()


@pytest.mark.parametrize("exif", [b"no TIFF", b"II*\0"])
def test_damaged_exif_data_do_no_harm(exif: bytes) -> None:
    """A photo whose EXIF data cannot be read is shown as it is stored."""
    data = encoded("PNG", cut_out(), exif=b"Exif\0\0" + exif)
    assert_quarters(decode_image(data), [WHITE, GREEN, BLUE, GREY])


def test_an_unused_profile_leaves_transparent_pixels_on_white() -> None:
    """Where the colours cannot be converted, what lies under transparent pixels stays hidden."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    hidden = Image.new("RGBA", (6, 4), (0, 0, 0, 0))
    assert (decode_image(encoded("AVIF", hidden, quality=95, icc_profile=lab)) > 250).all()
    hidden.info["icc_profile"] = lab
    assert (to_bgr(hidden) == 255).all()


@pytest.mark.parametrize("name", ["profile", "cut_out", "ten_bits"])
def test_a_photo_that_hides_its_size_is_refused(name: str) -> None:
    """A decoder would find one of any size in it, beyond all limits."""
    data = HEIC[name].replace(b"ispe", b"isqe")
    for read in (decode_image, lambda file: decode_bounded(file, most=1000)):
        with pytest.raises(ImageError, match="its header states no size"):
            read(data)


@pytest.mark.parametrize("orientation", [1, 6, 9])
def test_the_size_of_a_nearly_square_photo_is_upright(orientation: int) -> None:
    """Reduced, 60 x 59 pixels have the same shape on either side."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photo = decode_bounded(encoded("JPEG", Image.new("RGB", (60, 59)), exif=exif), most=1000)
    assert (photo.width, photo.height) == ((59, 60) if orientation == 6 else (60, 59))


def test_a_damaged_tag_does_not_hide_the_orientation() -> None:
    """A photo with one tag of another type than it should have is turned upright all the same."""
    turned = struct.pack("<HHIHH", ORIENTATION, 3, 1, 3, 0)
    white_point = struct.pack("<HHI4s", 0x013E, 2, 4, b"off\0")  # should be two fractions
    tags = struct.pack("<H", 2) + turned + white_point + bytes(4)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags
    image = decode_image(encoded("PNG", cut_out(), exif=exif))
    assert_quarters(image, [GREY, BLUE, GREEN, WHITE])


def test_transparent_pixels_lie_on_white() -> None:
    """What is transparent is white in each format that has transparency."""
    for data in (
        HEIC["cut_out"],
        encoded("AVIF", cut_out(), quality=95),
        encoded("JPEG2000", cut_out()),
        encoded("GIF", cut_out()),
    ):
        assert_quarters(decode_image(data), [WHITE, GREEN, BLUE, GREY])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animation_gives_its_first_frame(kind: str, mode: str) -> None:
    """Of several frames the first is read."""
    first = Image.fromarray(quarters()).convert(mode)
    rest = [Image.new(mode, first.size, "white")] * 2
    data = encoded(kind, first, save_all=True, append_images=rest, duration=100)
    assert_quarters(decode_image(data), [RED, GREEN, BLUE, GREY], off=16)


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG2000", np.full((32, 32), 0x8000, np.uint16)),
        b"P5 32 32 65535\n" + b"\x80\x00" * 1024,
        b"P5 32 32 1023\n" + b"\x02\x00" * 1024,
        b"P6 32 32 65535\n" + b"\x80\x00" * 3072,
        b"P2 32 32 15\n" + b"8 " * 1024,
    ],
)
def test_any_depth_keeps_its_brightness(data: bytes) -> None:
    """Half of the range stays half of the range, with 4, 10 and 16 bits."""
    image = decode_image(data)
    assert image.shape == (32, 32, 3)
    assert np.abs(image.astype(int) - 128).max() <= 8


def test_black_and_white_and_grey_have_three_channels() -> None:
    """Images of one channel, or one bit, come as BGR."""
    for mode in ("1", "L"):
        image = decode_image(encoded("PPM", Image.new(mode, (20, 10), "white")))
        assert image.shape == (10, 20, 3)
        assert (image == 255).all()


@pytest.mark.parametrize("name", FILES)
def test_what_is_cut_short_or_garbage_is_an_error_of_one_line(name: str) -> None:
    """A file cut anywhere, or with other bytes in it, is never a crash."""
    data, rng = FILES[name], np.random.default_rng(1)
    for share in np.linspace(0.02, 0.98, 25):
        with pytest.raises(ImageError) as caught:
            decode_image(data[: int(share * len(data))])
        assert "\n" not in str(caught.value)
    for _ in range(60):
        wrong = bytearray(data)
        for place in rng.integers(4, min(len(data), 300), 8):
            wrong[place] = rng.integers(256)
        for read in (decode_image, lambda file: decode_bounded(file, most=10**7)):
            with contextlib.suppress(ImageError):
                read(bytes(wrong))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        # A colour profile after the pixels that breaks off: IndexError
        (png(6, pixels_of_png(4), chunk(b"iCCP", b"a\0"), chunk(b"IEND", b"")), "damaged PNG"),
        # No palette: AssertionError
        (png(3, chunk(b"tEXt", b"a\0tRNS"), pixels_of_png(1), chunk(b"IEND", b"")), "damaged PNG"),
        (png(6, pixels_of_png(4), chunk(b"IEND", b"", length=0xFFFFFFF0)), "cut short"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b"", length=0xFFFFFFF0), "cut short"),
    ],
)
def test_whatever_a_decoder_raises_is_an_error_of_that_photo(data: bytes, said: str) -> None:
    """Errors of every kind that damaged files cause in decoders are told as ImageError."""
    with pytest.raises(ImageError, match=said):
        decode_image(data)


def claiming(kind: str, side: int) -> bytes:
    """Return a small file that claims to be `side` pixels wide and high."""
    if kind == "PNG":
        return png(2, pixels_of_png(3), chunk(b"IEND", b""), size=side)
    if kind == "PPM":
        return b"P6 %d %d 255\n" % (side, side) + bytes(100)
    if kind == "GIF":
        data = bytearray(encoded("GIF"))
        data[6:10] = struct.pack("<HH", side, side)
        return bytes(data)
    small = np.full((8, 8, 3), 200, np.uint8)
    data = bytearray(encoded(kind, small))
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "WEBP":
        at = data.index(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = struct.pack("<HH", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", side, -side)
    elif kind == "TIFF":
        for tag in (256, 257):
            at = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
            data[at : at + 4] = struct.pack("<I", side)
    elif kind == "AVIF":
        at = data.index(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", side, side)
    elif kind == "JPEG2000":
        at = data.index(b"ihdr") + 4
        data[at : at + 8] = struct.pack(">II", side, side)
        at = data.index(b"\xff\x51") + 6
        data[at : at + 8] = struct.pack(">II", side, side)
    elif kind == "HEIC":
        data = bytearray(HEIC["ten_bits"])
        at = data.index(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", side, side)
    return bytes(data)


KINDS = ["PNG", "PPM", "GIF", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "HEIC"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_file_that_claims_too_many_pixels_is_refused(kind: str) -> None:
    """The header decides, before a decoder takes gigabytes; also with a limit of one's own."""
    data = claiming(kind, 15_000) if kind != "HEIC" else HEIC["ten_bits"]
    with pytest.raises(ImageError, match=r"too large|damaged AVIF"):
        decode_bounded(data, most=4_000)
    if kind != "HEIC":
        with pytest.raises(ImageError, match=r"too large|damaged AVIF"):
            decode_image(data)


@pytest.mark.parametrize("kind", ["PPM", "GIF"])
def test_the_limit_is_the_callers_and_not_pillows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow refuses images of more than 179 million pixels; --max-pixels may allow more."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = encoded(kind, np.full((8, 8, 3), 200, np.uint8))
    assert decode_image(data).shape == (8, 8, 3)
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(ImageError, match="expected at most 63 pixels, got 8 x 8"):
        decode_image(data, max_pixels=63)


@pytest.mark.nightly
def test_more_pixels_than_usual_are_decoded_on_demand() -> None:
    """A PNG beyond the default limit is an error, and an image with a higher one."""
    side = 14_500
    done, data = cv2.imencode(".png", np.zeros((side, side), np.uint8))
    assert done
    with pytest.raises(ImageError, match="at most 200,000,000 pixels"):
        decode_image(data.tobytes())
    assert decode_image(data.tobytes(), max_pixels=300_000_000).shape == (side, side, 3)


def oldest_bmp() -> bytes:
    """Return a BMP as OS/2 1 and Windows 2 wrote it, with 16 bits for its width and height."""
    head = struct.pack("<IHHIIHHHH", 26 + 80 * 120 * 3, 0, 0, 26, 12, 120, 80, 1, 24)
    return b"BM" + head + quarters()[::-1, :, ::-1].tobytes()


def scaled_webp() -> bytes:
    """Return a lossy WebP that asks for a larger display, in the bits above its size."""
    data = bytearray(encoded("WEBP", quality=95))
    assert data[12:16] == b"VP8 "
    data[27] |= 0x40
    data[29] |= 0x80
    return bytes(data)


def repeating_tiff() -> bytes:
    """Return a TIFF that states its size, of which libtiff takes the first, and then 1 x 1."""
    data = encoded("TIFF")
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    entries = data[first + 2 : first + 2 + 12 * count]
    width, height, rest = entries[:12], entries[12:24], entries[24:]
    assert width[:2] + height[:2] == struct.pack("<HH", 256, 257)
    again = [struct.pack("<HHII", tag, 4, 1, 1) for tag in (256, 257)]
    table = struct.pack("<H", count + 2) + width + again[0] + height + again[1] + rest + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + table


@pytest.mark.parametrize(
    "data",
    [
        scaled_webp(),
        encoded("WEBP", lossless=True),
        encoded("WEBP", cut_out(), lossless=True),
        encoded("WEBP", cut_out(), quality=95),
        encoded("TIFF", big_tiff=True),
        repeating_tiff(),
        oldest_bmp(),
    ],
    ids=[
        *("WebP", "lossless WebP", "lossless WebP with alpha", "WebP with alpha"),
        *("BigTIFF", "TIFF with repeated tags", "oldest BMP"),
    ],
)
def test_each_variant_of_a_header_tells_the_size(data: bytes) -> None:
    """A picture is read if it has as many pixels as the limit, and refused with one more."""
    assert decode_image(data, max_pixels=120 * 80).shape == (80, 120, 3)
    with pytest.raises(ImageError, match="got 120 x 80"):
        decode_image(data, max_pixels=120 * 80 - 1)


@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
def test_no_type_of_value_hides_the_size_of_a_tiff(kind: int) -> None:
    """Sizes count in whatever type libtiff takes them."""
    side = 200 if kind in (1, 6) else 15_000
    data = bytearray(encoded("TIFF", np.full((8, 8, 3), 200, np.uint8)))
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1)) + 2
        data[at : at + 10] = struct.pack("<HII", kind, 1, side)
    with pytest.raises(ImageError, match=f"got {side:,} x {side:,}"):
        decode_image(bytes(data), max_pixels=side * side - 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_a_large_picture_is_as_a_small_one(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is converted in bands, to save memory, is the same picture; so is one on its side."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (41, 30, {"RGBA": 4, "LA": 2}.get(mode, 3)), np.uint8)
    if mode == "P":
        image = Image.fromarray(pixels).quantize(40)
        image.info["transparency"] = 3
    elif mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (41, 30), np.uint16))
    else:
        image = Image.fromarray(pixels, mode=mode)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for options in ({}, {"exif": exif}, {"icc_profile": profile}):
        file = io.BytesIO()
        image.save(file, "PNG", **options)
        monkeypatch.undo()
        whole = decode_image(file.getvalue())
        monkeypatch.setattr(pillow_decoding, "_BAND_PIXELS", 100)
        assert (decode_image(file.getvalue()) == whole).all()


@pytest.mark.parametrize("before", [b"\0", b"\xff\xd0", b"\xff\0\xff\x01", b"\xff\xff"])
def test_no_bytes_hide_the_size_of_a_jpeg(before: bytes) -> None:
    """Bytes that libjpeg skips between two segments hide neither the size nor a missing end."""
    data = claiming("JPEG", 15_000)
    at = data.index(b"\xff\xc0")
    data = data[:at] + before + data[at:]
    with pytest.raises(ImageError, match="too large"):
        decode_image(data)
    with pytest.raises(ImageError, match="too large"):
        decode_bounded(data, most=10**6)
    with pytest.raises(ImageError, match="cut short"):
        decode_image(FILES["a.jfif"][:2] + before + FILES["a.jfif"][2:-2])


@pytest.mark.parametrize(("most", "side"), [(9_600, 120), (9_599, 60), (1_000, 30), (150, 15)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_large_jpeg_is_decoded_reduced(most: int, side: int, turned: bool) -> None:
    """It has at most that many pixels, stands upright, and its whole size is known."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6 if turned else 1
    data = encoded("JPEG", quality=95, subsampling=0, exif=exif)
    image = decode_bounded(data, most=most)
    rows, columns = image.pixels.shape[:2]
    assert (image.width, image.height) == ((80, 120) if turned else (120, 80))
    assert (rows if turned else columns) == side
    upright = [BLUE, RED, GREY, GREEN] if turned else [RED, GREEN, BLUE, GREY]
    assert_quarters(image.pixels, upright, off=12)
    with pytest.raises(ImageError, match="cut short"):
        decode_bounded(data[:-2], most=most)


@pytest.mark.parametrize("kind", ["JPEG", "HEIC"])
def test_what_decoders_hold_whole_may_be_twice_as_large(kind: str) -> None:
    """Progressive JPEGs and HEIC are reduced too, but only up to twice the limit."""
    data = encoded("JPEG", quality=95, progressive=True) if kind == "JPEG" else HEIC["turned"]
    image = decode_bounded(data, most=4_800)
    whole = (120, 80) if kind == "JPEG" else (80, 120)
    assert (image.width, image.height) == whole
    assert image.pixels.shape[:2] == (whole[1] // 2, whole[0] // 2)
    with pytest.raises(ImageError, match=r"HEIC 9,598\), got"):
        decode_bounded(data, most=4_799)


def test_the_limit_does_not_depend_on_the_order_of_imports(tmp_path: Path) -> None:
    """Also where OpenCV was imported first, and would allow a gigapixel."""
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        (tmp_path / kind).write_bytes(claiming(kind, 15_000))
    program = (
        "import sys, cv2, pathlib\n"
        "from emodetect.errors import ImageError\n"
        "from emodetect.images.reading import read_image\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        read_image(pathlib.Path(name))\n"
        "    except ImageError as error:\n"
        "        print('too large' in str(error))\n"
    )
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        [sys.executable, "-c", program, *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True"] * 4


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pi-heif, or with a Pillow built without a format, the error gives the pip line."""
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match="pip install pi-heif"):
        decode_image(HEIC["ten_bits"])
    monkeypatch.setattr(features, "check", lambda feature: False)
    for name in ("a.avif", "a.jp2"):
        with pytest.raises(ImageError, match="pip install --upgrade pillow"):
            decode_image(FILES[name])
    assert decode_image(FILES["a.gif"]).shape == (80, 120, 3)


def test_what_a_misnamed_video_is_is_told() -> None:
    """A film or raw photo under the name of a photo is told as what it is."""
    for head, said in (
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "video"),
        (b"\x1aE\xdf\xa3" + bytes(50), "video"),
        (b"8BPS" + bytes(50), "unsupported image format"),
    ):
        with pytest.raises(ImageError, match=f"(a|not an image.*) {said}"):
            decode_image(head)


def test_a_jpeg_loads_no_library_for_other_formats(tmp_path: Path) -> None:
    """Reading a JPEG or PNG imports neither Pillow nor pi-heif, which would take time."""
    file = tmp_path / "a.jpg"
    file.write_bytes(cv2.imencode(".jpg", quarters())[1].tobytes())
    program = (
        "import sys, pathlib\n"
        "from emodetect.images.reading import read_image\n"
        "read_image(pathlib.Path(sys.argv[1]))\n"
        "assert not {'PIL', 'pi_heif'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, file], check=True)
