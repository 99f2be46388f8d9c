"""What MP4 and QuickTime files say of their tracks (ISO/IEC 14496-12).

OpenCV leaves this out: it turns frames upright, but does not mirror them, and it counts frames that
an edit list hides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MOST_BOXES = 10_000  # in one place; a file is not trusted
LONGEST_HEADER = 256  # bytes of a box, from its start, that are read


@dataclass(frozen=True)
class Track:
    """A track of a file.

    Attributes:
        kind: "vide" for pictures, "soun" for sound.
        mirrored: players mirror its frames, besides turning them.
        shown: the share of it that is shown, more than 0 and at most 1; the rest was trimmed
            without encoding it anew.
    """

    kind: str
    mirrored: bool = False
    shown: float = 1.0


def mp4_tracks(path: Path) -> list[Track]:
    """Return the tracks of an MP4 or QuickTime file; none for another or a damaged file.

    >>> mp4_tracks(Path("talk.mp4"))  # doctest: +SKIP
    [Track(kind='vide', mirrored=False, shown=1.0), Track(kind='soun', mirrored=False, shown=1.0)]
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            for kind, start, stop in _boxes(file, 0, end):
                if kind == b"moov":
                    return _tracks(file, start, stop)
    except (OSError, struct.error):
        pass
    return []


def _tracks(file: IO[bytes], start: int, stop: int) -> list[Track]:
    movie_ticks, found = 0, []
    for kind, inner, end in _boxes(file, start, stop):
        if kind == b"mvhd":
            movie_ticks, _ = _timing(_head(file, inner, end))
        elif kind == b"trak":
            found.append(_track(file, inner, end, movie_ticks))
    return found


def _track(file: IO[bytes], start: int, stop: int, movie_ticks: int) -> Track:
    kind, mirrored, shown_s, whole_s = "", False, 0.0, 0.0
    for name, inner, end in _boxes(file, start, stop):
        if name == b"tkhd":
            head = _head(file, inner, end)
            wide = head[:1] == b"\1"
            (ticks,) = struct.unpack_from(">Q" if wide else ">I", head, 28 if wide else 20)
            if movie_ticks and ticks not in (0, _unknown(wide)):
                shown_s = (ticks + 1) / movie_ticks  # it may have been rounded down
            a, b, _, c, d = struct.unpack_from(">5i", head, 52 if wide else 40)
            mirrored = a * d - b * c < 0
        elif name == b"mdia":
            for part, at, part_end in _boxes(file, inner, end):
                head = _head(file, at, part_end)
                if part == b"mdhd":
                    ticks_per_s, ticks = _timing(head)
                    whole_s = ticks / ticks_per_s if ticks_per_s else 0.0
                elif part == b"hdlr":
                    kind = head[8:12].decode("latin-1")
    # A file that is still written, or sent in fragments, states no lengths.
    shown = shown_s / whole_s if 0 < shown_s < whole_s else 1.0
    return Track(kind, mirrored, shown)


def _timing(head: bytes) -> tuple[int, int]:
    """Return the ticks per second of a movie's or a medium's header, and its length in ticks."""
    wide = head[:1] == b"\1"  # version 1, with times of 64 bits
    ticks_per_s, ticks = struct.unpack_from(">IQ" if wide else ">II", head, 20 if wide else 12)
    return ticks_per_s, 0 if ticks == _unknown(wide) else ticks


def _unknown(wide: bool) -> int:
    """Return the length in ticks that says that it is not known: all bits are 1."""
    return 2**64 - 1 if wide else 2**32 - 1


def _head(file: IO[bytes], start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(min(stop - start, LONGEST_HEADER))


def _boxes(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box between two places, and where its content starts and stops."""
    for _ in range(MOST_BOXES):
        if stop - start < 8:
            return
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if size == 1:  # too large for 32 bits
            (size,) = struct.unpack(">Q", file.read(8))
            content += 8
        end = start + size if size else stop
        if end < content or end > stop:
            return
        yield kind, content, end
        start = end
