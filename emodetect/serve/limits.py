"""How much a request may ask of the server, and the error for one that asks for more."""

from __future__ import annotations

from dataclasses import dataclass

# All bodies that are being read or processed together take at most this much memory.
HELD_BYTES = 256 * 2**20
# Of one frame of a stream. Up to three frames per stream are held, beside the bodies.
FRAME_BYTES = 4 * 2**20
RETRY_AFTER_S = 1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        body_bytes: size of a request's body.
        pixels: size of an image, read from its header before decoding; larger JPEG and HEIC photos
            are decoded reduced (see `images.reading.decode_bounded`). While an image with
            transparency is decoded, it takes about 20 bytes per pixel.
        images: number of images in a request.
        queue: number of unfinished images, over all requests.
        seconds: time to receive a body, and then to respond to it.
        streams: number of open streams.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 25_000_000
    images: int = 16
    queue: int = 32
    seconds: float = 30.0
    streams: int = 8


class RefusedError(Exception):
    """A request that is refused, with the HTTP status and the reason for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == 503 else {}
