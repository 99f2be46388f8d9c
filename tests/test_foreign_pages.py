"""A page of another site in a real browser cannot use the server of the person who visits it."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from serving import started

from emodetect.data.synthetic import draw_scene

CHROMIUM = shutil.which("chromium")
PHOTO = cv2.imencode(".jpg", draw_scene(["happy"], np.random.default_rng(0)).image)[1].tobytes()
# Maps the page's own photo, the server and how to ask to what the page could read of it.
FETCH = """async ([photo, server, options]) => {
  const body = Uint8Array.from(atob(photo), (one) => one.charCodeAt(0));
  try {
    const answer = await fetch(server + "/v1/analyze", { method: "POST", body, ...options });
    return [answer.type, await answer.text()];
  } catch (error) {
    return [error.name, ""];
  }
}"""
SOCKET = """(server) => new Promise((done) => {
  const socket = new WebSocket(server.replace("http", "ws") + "/v1/stream", "emodetect");
  socket.onopen = () => done("open");
  socket.onerror = () => done("refused");
})"""
LOADED = """([tag, address]) => new Promise((done) => {
  const one = document.createElement(tag);
  one.onload = () => done("loaded");
  one.onerror = () => done("refused");
  one.src = address;
  document.body.append(one);
})"""
FORM = """(server) => {
  document.body.innerHTML =
    `<form method="post" enctype="multipart/form-data" action="${server}/v1/analyze">
     <input type="file" name="files"><button>Send</button></form>`;
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


class Foreign(BaseHTTPRequestHandler):
    """A site of an attacker; under /public, the browser takes it for one of the internet."""

    def do_GET(self) -> None:
        """Send an empty page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path == "/public":
            self.send_header("Content-Security-Policy", "treat-as-public-address")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Foreign</title>")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of another site on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for which a name of the attacker leads to this machine."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server, which no test here may let analyse anything."""
    with started() as (_, address):
        yield address
        metrics = httpx.get(f"{address}/metrics", trust_env=False).text
        assert 'emodetect_images_total{outcome="read"}' not in metrics
        assert 'emodetect_images_total{outcome="error"}' not in metrics


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page of the other site."""
    with browser.new_context() as context:
        one = context.new_page()
        one.goto(site)
        yield one


@pytest.mark.parametrize("path", ["/", "/public"])
@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "no-cors"}, {"headers": {"Authorization": "Bearer guess"}}],
    ids=["simple", "without CORS", "with a preflight"],
)
def test_fetch_reads_nothing(
    page: Page, site: str, server: str, path: str, options: dict[str, Any]
) -> None:
    """Not with a preflight, not without one, not blindly, and not as a site of the internet."""
    page.context.grant_permissions(["local-network-access"])
    page.goto(site + path)
    kind, text = page.evaluate(FETCH, [base64.b64encode(PHOTO).decode(), server, options])
    assert (kind, text) in [("TypeError", ""), ("opaque", "")]


def test_a_form_gets_no_analysis(page: Page, server: str) -> None:
    """A form that the visitor sends shows the refusal, not their emotions."""
    page.evaluate(FORM, server)
    page.set_input_files("input", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": PHOTO})
    with page.expect_navigation() as navigation:
        page.click("button")
    assert navigation.value.status == 403
    assert "requests from other sites are refused" in page.content()


def test_a_stream_is_refused(page: Page, server: str) -> None:
    """A WebSocket, which needs no CORS, is not opened for it."""
    assert page.evaluate(SOCKET, server) == "refused"


@pytest.mark.parametrize(
    ("tag", "path"), [("img", "/sample.jpg"), ("script", "/app.js"), ("script", "/v1/model")]
)
def test_nothing_can_be_embedded(page: Page, server: str, tag: str, path: str) -> None:
    """Pictures, scripts and answers of the server do not load into it."""
    assert page.evaluate(LOADED, [tag, server + path]) == "refused"


def test_the_page_cannot_be_framed(page: Page, server: str) -> None:
    """In a frame of it, the server's page stays empty: clicks cannot be led astray."""
    page.evaluate(LOADED, ["iframe", server])
    frame = page.frames[-1]
    assert frame.url.startswith(("chrome-error:", server))
    assert frame.locator("#file").count() == 0


def test_another_name_does_not_reach_it(browser: Browser, server: str) -> None:
    """DNS rebinding: a name of the attacker that leads to the server shows nothing of it."""
    with browser.new_context() as context:
        answer = context.new_page().goto(server.replace("127.0.0.1", "evil.example"))
        assert answer is not None
        assert (answer.status, "unknown host name" in answer.text()) == (400, True)


@pytest.mark.parametrize("wanted", ["Private-Network", "Local-Network", "Method"])
def test_no_preflight_is_granted(server: str, site: str, wanted: str) -> None:
    """Whatever a browser asks for on behalf of another site, no header allows it."""
    ask = partial(httpx.options, f"{server}/v1/analyze", trust_env=False)
    answer = ask(headers={"Origin": site, f"Access-Control-Request-{wanted}": "true"})
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-allow")]
