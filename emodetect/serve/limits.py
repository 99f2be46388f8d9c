"""How much a request and a client may ask of the server, and the error for those that ask for more.

What is not a limit of one request is counted here too: what each client has in progress, and the
memory in which images are decoded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from emodetect.images.reading import MOST_BYTES

# All bodies that are being read or processed together take at most this much memory. Of a request
# that was given up, the image that a thread is just decoding is no longer counted, at most one for
# each thread: to wait for it would keep the client waiting too.
HELD_BYTES = 256 * 2**20
HELD_BYTES_PER_CLIENT = HELD_BYTES // 2
# Of one frame of a stream. Up to three frames per stream are held, beside the bodies.
FRAME_BYTES = 4 * 2**20
RETRY_AFTER_S = 1
# Clients that ask again at once would get thousands of refusals a second, which take time from the
# answers. So each waits first, and is served if there is room by then.
SECONDS_BEFORE_REFUSAL = 0.2
# An image that leaves gaps in memory behind when it has been decoded.
LARGE_BYTES = 50 * 2**20
# A provider gives a customer at least these many bits of an IPv6 address.
IPV6_PREFIX = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        body_bytes: size of a request's body.
        pixels: size of an image, read from its header before decoding; larger JPEG and HEIC photos
            are decoded reduced (see `images.reading.decode_bounded`).
        images: number of images in a request.
        queue: number of unfinished images, over all requests.
        per_client: number of unfinished images of a client, see `Clients`.
        seconds: time to receive a body, and then to respond to it.
        streams: number of open streams.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 25_000_000
    images: int = 16
    queue: int = 32
    per_client: int = 16
    seconds: float = 30.0
    streams: int = 8

    @property
    def decoding_bytes(self) -> int:
        """The memory in which images are decoded: enough for two of the largest at once."""
        return 2 * MOST_BYTES * self.pixels


class RefusedError(Exception):
    """A request that is refused, with the HTTP status and the reason for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status in (429, 503) else {}


class Clients:
    """Counts what each client has in progress; only used on the event loop.

    A client is an IPv4 address, or the first 64 bits of an IPv6 address. This machine itself is not
    counted: its programs are not strangers, and a proxy on it is not one client.

    Args:
        most: images that a client may have in progress.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_work: Counter[str] = Counter()

    @asynccontextmanager
    async def hold(self, address: str, images: int) -> AsyncIterator[None]:
        """Count images of a client until the end of the context.

        Raises RefusedError if the client has too many in progress already.
        """
        name = client_name(address)
        if name is None or images == 0:
            yield
            return
        if self.in_work[name] + images > self.most:
            await asyncio.sleep(SECONDS_BEFORE_REFUSAL)
            if self.in_work[name] + images > self.most:
                raise RefusedError(
                    429,
                    f"expected at most {self.most} unfinished images of one client; try again "
                    "later",
                )
        self.in_work[name] += images
        try:
            yield
        finally:
            self.in_work[name] -= images
            if not self.in_work[name]:
                del self.in_work[name]


def client_name(address: str) -> str | None:
    """Return what a client is counted by; None for this machine."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # whatever a proxy calls it
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return None
    # All link-local addresses begin alike.
    if isinstance(found, ipaddress.IPv6Address) and not found.is_link_local:
        return str(ipaddress.IPv6Network((int(found), IPV6_PREFIX), strict=False))
    return str(found)


class DecodingMemory:
    """Lets threads decode images at once as long as there is memory for all of them.

    Args:
        most: bytes for all images; one that needs more is decoded alone.
    """

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0
        self.was_large = False  # an image, since this was last set to False
        self.changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until there are as many bytes, and take them until the end of the context."""
        size = min(size, self.most)
        with self.changed:
            self.changed.wait_for(lambda: self.taken + size <= self.most)
            self.taken += size
            self.was_large = self.was_large or size > LARGE_BYTES
        try:
            yield
        finally:
            with self.changed:
                self.taken -= size
                self.changed.notify_all()
