"""Streams over WebSocket: encoded frames in, faces out; old frames are dropped for new ones."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from emodetect.errors import EmodetectError
from emodetect.recognition.face_rows import tracked_record
from emodetect.recognition.photos.analysis import PhotoResult
from emodetect.serve.access import PROTOCOL
from emodetect.serve.drain import Drain
from emodetect.serve.limits import FRAME_BYTES, Clients, RefusedError
from emodetect.serve.prometheus import Metrics
from emodetect.serve.request_analysis import Analysis

# A stream that sends no frames, or does not read its results, does not keep its place forever.
IDLE_S = 60.0
# Close codes of RFC 6455 and of the registry that it founds.
NORMAL, NOT_BYTES, TOO_BIG, FAILED, RESTART, TRY_LATER = 1000, 1003, 1009, 1011, 1012, 1013

# What a stream counts as among the images of a client: it never ends by itself.
STREAM_IMAGES = 4

_Frame = tuple[int, float, bytes]


class Streams:
    """The open streams of a server, up to the limit."""

    def __init__(
        self, analysis: Analysis, metrics: Metrics, drain: Drain, clients: Clients
    ) -> None:
        self.analysis, self.metrics, self.drain = analysis, metrics, drain
        self.clients = clients
        self.open = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve a stream until it ends.

        Frames are numbered from 0 in the order of arrival. A frame that arrives during an analysis
        waits for its end, unless a newer one replaces it.
        """
        offered = socket.scope["subprotocols"]
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        if self.open >= self.analysis.limits.streams:
            await socket.close(TRY_LATER, "too many open streams; try again later")
            return
        self.open += 1
        self.metrics.streams.inc()
        try:
            try:
                images = min(STREAM_IMAGES, self.clients.most)
                address = socket.client.host if socket.client else ""
                async with self.clients.hold(address, images):
                    code, reason = await self._serve(socket)
            except RefusedError as error:
                code, reason = TRY_LATER, error.reason
            async with asyncio.timeout(IDLE_S):
                await socket.close(code, reason)
        except (WebSocketDisconnect, TimeoutError):
            pass  # the client is gone already, or does not read
        finally:
            self.open -= 1
            self.metrics.streams.dec()

    async def _serve(self, socket: WebSocket) -> tuple[int, str]:
        """Return the code and the reason to close the stream with."""
        newest: asyncio.Queue[_Frame] = asyncio.Queue(1)
        reading = asyncio.create_task(_read(socket, newest))
        sending = asyncio.create_task(self._send_results(socket, newest))
        draining = asyncio.create_task(self.drain.begun.wait())
        tasks: list[asyncio.Task[Any]] = [reading, sending, draining]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            drains = not (reading.done() or sending.done())
            if drains:  # the frames that have arrived still get their results
                reading.cancel()
                tasks.append(asyncio.create_task(newest.join()))
                await asyncio.wait((sending, tasks[-1]), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():  # it only ends with an error
                sending.result()
            return (RESTART, "the server is shutting down") if drains else reading.result()
        except EmodetectError as error:
            logging.getLogger(__name__).error("%s", error)
            return FAILED, "the server's model failed"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_results(self, socket: WebSocket, newest: asyncio.Queue[_Frame]) -> None:
        tracker = self.analysis.tracker()
        while True:
            number, time_s, data = await newest.get()
            result = await self.analysis.frame(tracker, data, time_s)
            self.metrics.count(result)
            async with asyncio.timeout(IDLE_S):
                await socket.send_json(_record(number, time_s, result))
            newest.task_done()


async def _read(socket: WebSocket, newest: asyncio.Queue[_Frame]) -> tuple[int, str]:
    started_s, number = time.monotonic(), 0
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), IDLE_S)
        except TimeoutError:
            return NORMAL, f"no frame for {IDLE_S:g} s"
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        data = message.get("bytes")
        if data is None:
            return NOT_BYTES, "expected a JPEG frame as bytes, got text"
        if len(data) > FRAME_BYTES:
            return TOO_BIG, f"expected frames of at most {FRAME_BYTES:,} bytes, got {len(data):,}"
        if newest.full():
            newest.get_nowait()
            newest.task_done()
        newest.put_nowait((number, time.monotonic() - started_s, data))
        number += 1


def _record(number: int, time_s: float, result: PhotoResult) -> dict[str, Any]:
    return {
        "frame": number,
        "time_s": round(time_s, 4),
        "width": result.width,
        "height": result.height,
        "faces": [tracked_record(face) for face in result.faces],
        "error": result.error,
    }
