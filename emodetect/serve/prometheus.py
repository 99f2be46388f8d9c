"""The server's metrics for Prometheus; never file names, images or results of a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emodetect.recognition.photos.analysis import PhotoResult


class Metrics:
    """The metrics of a server.

    Args:
        queued: returns the number of unfinished images.
    """

    def __init__(self, queued: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "emodetect_requests", "Requests answered.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "emodetect_request_seconds",
            "Time from a request's header to the end of the response.",
            ["path"],
            registry=self.registry,
        )
        self.images = Counter(
            "emodetect_images",
            "Images and frames, by whether they could be read.",
            ["outcome"],
            registry=self.registry,
        )
        self.faces = Counter("emodetect_faces", "Faces classified.", registry=self.registry)
        self.streams = Gauge("emodetect_streams", "Open streams.", registry=self.registry)
        queue = Gauge(
            "emodetect_queue_images",
            "Unfinished images in the queue.",
            registry=self.registry,
        )
        queue.set_function(queued)

    def count(self, result: PhotoResult) -> None:
        """Count an image or a frame."""
        self.images.labels("read" if result.error is None else "error").inc()
        self.faces.inc(len(result.faces))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class CountedRequests:
    """Middleware that counts and times requests; unknown paths count as "other"."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"
        status = 500
        started_s = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started_s)
