"""How much a request may ask of the server, and what is answered where it asks more."""

from __future__ import annotations

from dataclasses import dataclass

# Bodies that are being read or worked on hold at most this, whatever each of them may.
HELD_BYTES = 256 * 2**20
# A frame of a stream: three of them may wait for each stream, beside the bodies.
FRAME_BYTES = 4 * 2**20
RETRY_AFTER_S = 1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        body_bytes: of a request's body.
        pixels: of an image, told from its header before it is decoded; one with transparency
            takes some 20 bytes for each while it is.
        images: in one request.
        queue: images that are taken on and not yet done, of all requests.
        seconds: in which a body must have come, and then be answered.
        streams: that are open at once.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 25_000_000
    images: int = 16
    queue: int = 32
    seconds: float = 30.0
    streams: int = 8


class RefusedError(Exception):
    """A request that is not served: its HTTP status and why, for the one who sent it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == 503 else {}
