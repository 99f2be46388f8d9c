"""Frames with their times as a stream of bytes for ffmpeg: uncompressed video in Matroska.

Matroska (RFC 9559) is the simplest format that ffmpeg reads from a pipe and that has a time for
each frame; raw frames alone would all be shown equally long.
"""

from __future__ import annotations

import numpy as np

TICKS_PER_S = 100_000
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


def stream_header(*, size: tuple[int, int], fps: float) -> bytes:
    """Return the beginning of the stream.

    Args:
        size: width and height in pixels.
        fps: frames per second, as far as they are constant.
    """
    width, height = size
    pixels = (_integer("b0", width), _integer("ba", height), _element("2eb524", b"BGR\x18"))
    track = (
        *(_integer("d7", 1), _integer("73c5", 1), _integer("83", 1)),  # number, UID, type: video
        _element("86", b"V_UNCOMPRESSED"),
        _integer("23e383", round(1e9 / fps)),  # time of a frame in ns
        _element("e0", *pixels),
    )
    return (
        _element("1a45dfa3", _element("4282", b"matroska"))
        + bytes.fromhex("18538067")  # segment
        + _UNKNOWN_SIZE
        + _element("1549a966", _integer("2ad7b1", 10**9 // TICKS_PER_S))
        + _element("1654ae6b", _element("ae", *track))
    )


def stream_frame(image: np.ndarray, time_s: float) -> bytes:
    """Return a (height, width, 3) uint8 BGR frame, as a cluster of its own."""
    block = _element("a3", b"\x81\0\0\x80", image.tobytes())  # of track 1, at the cluster's time
    return _element("1f43b675", _integer("e7", round(time_s * TICKS_PER_S)), block)


def _element(number: str, *content: bytes) -> bytes:
    size = sum(map(len, content))
    return b"".join((bytes.fromhex(number), (1 << 56 | size).to_bytes(8, "big"), *content))


def _integer(number: str, value: int) -> bytes:
    return _element(number, value.to_bytes(8, "big"))
