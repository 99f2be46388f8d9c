"""Read the images in a request's body, in memory only."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from emodetect.serve.limits import (
    HELD_BYTES,
    HELD_BYTES_PER_CLIENT,
    Limits,
    RefusedError,
    client_name,
)

FIELD = "files"
# Parts of a form besides the images; a body of tiny ones would take the event loop for seconds.
MOST_OTHER_PARTS = 64


@dataclass(frozen=True)
class Upload:
    """An image as it was sent: its file name, "" if there is none, and its bytes."""

    name: str
    data: bytes


class UploadReader:
    """Reads bodies within the limits.

    Together, unfinished ones hold at most HELD_BYTES, and those of one client
    HELD_BYTES_PER_CLIENT.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held: Counter[str | None] = Counter()  # bytes by client; None: this machine

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[list[Upload]]:
        """Yield a request's images: the files of a multipart form, or else the body as one image.

        Raises RefusedError for a body that is too large, arrives too slowly, or has no image.
        """
        taken = 0
        client = client_name(request.client.host if request.client else "")

        async def chunks() -> AsyncGenerator[bytes]:
            nonlocal taken
            async for chunk in request.stream():
                taken += len(chunk)
                self.held[client] += len(chunk)
                if taken > self.limits.body_bytes:
                    raise self._too_large()
                if self.held.total() > HELD_BYTES:
                    raise RefusedError(
                        503, "the server is out of memory for requests; try again later"
                    )
                if client is not None and self.held[client] > HELD_BYTES_PER_CLIENT:
                    raise RefusedError(
                        429,
                        f"expected at most {HELD_BYTES_PER_CLIENT:,} bytes of unfinished requests "
                        "of one client; try again later",
                    )
                yield chunk

        # Before reading anything, if the header gives the length.
        if _content_length(request) > self.limits.body_bytes:
            raise self._too_large()
        try:
            yield await self._in_time(request, chunks())
        finally:
            self.held[client] -= taken
            if not self.held[client]:
                del self.held[client]

    async def _in_time(self, request: Request, chunks: AsyncGenerator[bytes]) -> list[Upload]:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._uploads(request, chunks)
        except TimeoutError:
            raise RefusedError(
                408, f"the body did not arrive within {self.limits.seconds:g} s"
            ) from None
        except ClientDisconnect:
            raise RefusedError(400, "the body was cut short") from None

    async def _uploads(self, request: Request, chunks: AsyncGenerator[bytes]) -> list[Upload]:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != b"multipart/form-data":
            uploads = [Upload("", b"".join([chunk async for chunk in chunks]))]
        else:
            uploads = await self._files(options.get(b"boundary", b""), chunks)
        if not uploads or not any(upload.data for upload in uploads):
            raise RefusedError(
                400,
                f"expected an image as the body, or files (with file names) in the field {FIELD!r} "
                "of a multipart form; got none",
            )
        return uploads

    async def _files(self, boundary: bytes, chunks: AsyncGenerator[bytes]) -> list[Upload]:
        try:
            form = _Form(boundary, most=self.limits.images)
            async for chunk in chunks:
                form.parser.write(chunk)
        except FormParserError as error:
            raise RefusedError(400, f"the multipart form is invalid: {error}") from None
        if not form.ended:
            raise RefusedError(400, "the multipart form was cut short")
        return form.uploads

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            f"expected a body of at most {self.limits.body_bytes:,} bytes; send fewer or smaller "
            "images",
        )


class _Form:
    """The files of a multipart form, in memory; Starlette's parser writes large files to disk.

    Attributes:
        uploads: the files received so far.
        ended: whether the form is complete.
        parser: takes the form's bytes. Raises FormParserError, and RefusedError for too many files
            or parts, or files in another field.
    """

    def __init__(self, boundary: bytes, *, most: int) -> None:
        self.uploads: list[Upload] = []
        self.most = most
        self.field, self.value = bytearray(), bytearray()
        self.part: dict[bytes, bytes] = {}  # the parameters of its Content-Disposition
        self.data = bytearray()
        self.ended = False
        self.parts_left = most + MOST_OTHER_PARTS
        if not boundary:
            raise RefusedError(400, "expected a boundary in the Content-Type of a multipart form")
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self.field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self.value.extend(data[start:end]),
                "on_header_end": self._header,
                "on_part_data": lambda data, start, end: self.data.extend(data[start:end]),
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def _begin(self) -> None:
        self.parts_left -= 1
        if self.parts_left < 0:
            raise RefusedError(413, "the multipart form has too many parts; send fewer")
        self.part, self.data = {}, bytearray()

    def _header(self) -> None:
        if self.field.lower() == b"content-disposition":
            self.part = parse_options_header(bytes(self.value))[1]
        self.field, self.value = bytearray(), bytearray()

    def _end_part(self) -> None:
        ours, is_file = self.part.get(b"name") == FIELD.encode(), b"filename" in self.part
        if not ours and not is_file:
            return  # an unrelated field of the form
        if not ours or not is_file:
            raise RefusedError(
                400,
                f"send each file in the form field {FIELD!r}, with a file name (filename, not "
                "filename*, as RFC 7578 says) that contains no path",
            )
        if len(self.uploads) == self.most:
            raise RefusedError(413, f"expected at most {self.most} images in a request; send fewer")
        name = self.part[b"filename"].decode("utf-8", "replace")
        self.uploads.append(Upload(name, bytes(self.data)))

    def _end(self) -> None:
        self.ended = True


def _content_length(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0
