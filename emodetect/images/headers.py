"""What the headers of image files say, read without a decoder: their size, and whether they end.

Only of the formats that OpenCV decodes here, which Pillow would take longer to open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from emodetect.images import formats

# A progressive JPEG has 10 scans as libjpeg writes it, and some 20 if it is optimised.
MOST_SCANS = 100
_END_OF_PNG = b"IEND"
# As libjpeg finds a marker: after any other bytes, and not one of those that have no length.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
# As libjpeg goes on after a damaged part of a scan: not at what no segment begins with.
_SEGMENT_IN_SCAN = re.compile(rb"\xff[^\x00-\xbf\xd0-\xd7\xff]")
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Start of frame: all of C0 to CF but tables (C4), extensions (C8) and arithmetic coding (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# Of the types that libtiff takes for a size: bytes, shorts, longs and long8s, also signed ones.
_TIFF_VALUE_BYTES = {1: 1, 6: 1, 3: 2, 8: 2, 4: 4, 9: 4, 16: 8, 17: 8}


def stated_size(data: bytes, form: str) -> tuple[int, int] | None:
    """Return the width and height in pixels that a file states; None if they are not known."""
    if form == formats.JPEG:
        return _jpeg_size(data)
    if form == formats.PNG:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if form == formats.BMP:
        return _bmp_size(data)
    if form == formats.WEBP:
        return _webp_size(data)
    return _tiff_size(data) if form == formats.TIFF else None


def is_cut_short(data: bytes, form: str) -> bool:
    """Return whether the end of a JPEG or PNG is missing; OpenCV would silently fill it with grey.

    OpenCV would also allocate as much memory as a PNG chunk claims to need, up to 4 GB.
    """
    if form == formats.PNG:
        position = 8
        while position + 8 <= len(data):
            length = int.from_bytes(data[position : position + 4], "big")
            if data[position + 4 : position + 8] == _END_OF_PNG:
                return position + 8 + length > len(data)
            position += 12 + length
        return True
    if form != formats.JPEG:
        return False
    last = max(_jpeg_segments(data), default=0)  # an EXIF thumbnail has an end marker too
    return data.find(b"\xff\xd9", last) < 0


def is_decoded_whole(data: bytes) -> bool:
    """Return whether a decoder keeps the whole JPEG in memory, even to return a smaller copy.

    It does so if the components of a pixel come one after another: in a progressive JPEG, or in
    one whose first scan lacks some. It takes 2 bytes for each sample then.
    """
    components = 0
    for at in _jpeg_segments(data):
        if data[at + 1] in _PROGRESSIVE_FRAMES:
            return True
        if data[at + 1] in _JPEG_FRAMES:
            (components,) = data[at + 9 : at + 10] or (0,)
        elif data[at + 1] == _JPEG_SCAN:
            return data[at + 4 : at + 5] != bytes([components])
    return False


def has_too_many_scans(data: bytes) -> bool:
    """Return whether a JPEG has more than MOST_SCANS scans.

    A decoder goes through all pixels for each of them, however few bytes it has: a file of 400 kB
    can take it half a minute.
    """
    if data.count(bytes([0xFF, _JPEG_SCAN])) <= MOST_SCANS:
        return False  # with those of a preview, or of a film behind the picture
    scans, position = 0, 2
    while found := _SEGMENT_IN_SCAN.search(data, position):
        at = found.start()
        scans += data[at + 1] == _JPEG_SCAN
        if data[at + 1] == _JPEG_END or scans > MOST_SCANS:
            break
        position = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return scans > MOST_SCANS


def _jpeg_segments(data: bytes) -> Iterator[int]:
    """Yield where each segment of a JPEG begins, up to the first scan."""
    position = 2
    while found := _JPEG_MARKER.search(data, position):
        at = found.start()
        yield at
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _JPEG_SCAN or length < 2:
            return
        position = at + 2 + length


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for at in _jpeg_segments(data):
        if at + 9 <= len(data) and data[at + 1] in _JPEG_FRAMES:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
    return None


def _bmp_size(data: bytes) -> tuple[int, int]:
    if data[14] == 12:  # the oldest header
        return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
    # A negative height means that the rows go from top to bottom.
    width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(width), abs(height)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") for at in (26, 28))
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    big = number(2, 2) == 43  # BigTIFF
    width, count_size, entry_size = (8, 8, 20) if big else (4, 2, 12)
    first = number(8 if big else 4, width)
    entries = min(number(first, count_size), len(data) // entry_size)
    found: dict[int, int] = {}
    for at in range(first + count_size, first + count_size + entries * entry_size, entry_size):
        value_size = _TIFF_VALUE_BYTES.get(number(at + 2, 2), 0)
        # Of a tag that repeats, libtiff takes the first.
        found.setdefault(number(at, 2), number(at + 4 + width, value_size))
    return (found[256], found[257]) if 256 in found and 257 in found else None
