"""The web page in a real browser, with a drawn film as the camera."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect, sync_playwright
from serving import started

from emodetect.data.synthetic import draw_film, draw_scene

CHROMIUM = shutil.which("chromium")
TOKEN = "sesame+/="
PATIENCE_MS = 60_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with a drawn film of one face as its camera."""
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    scenes = draw_film(["happy"], np.random.default_rng(0), frames=30, width=320, height=240)
    film.write_bytes(b"".join(cv2.imencode(".jpg", scene.image)[1].tobytes() for scene in scenes))
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server."""
    with started() as (_, found):
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that loads nothing from other sites and has no script errors."""
    expect.set_options(timeout=PATIENCE_MS)
    errors: list[str] = []
    asked: set[str] = set()
    with browser.new_context() as context:
        one = context.new_page()
        one.set_default_timeout(PATIENCE_MS)
        one.on("pageerror", lambda error: errors.append(str(error)))
        one.on("request", lambda request: asked.add(request.url))
        yield one
        assert errors == []
        assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in asked)


def photo(path: Path, *emotions: str) -> Path:
    """Draw a photo of faces, or a blank one."""
    image = np.full((300, 400, 3), 127, np.uint8)
    if emotions:
        image = draw_scene(emotions, np.random.default_rng(0)).image
    cv2.imwrite(str(path), image)
    return path


def test_a_photo_is_boxed_and_saved(page: Page, address: str, tmp_path: Path) -> None:
    """With the keyboard alone, a photo gets boxes and bars, and can be saved."""
    page.on("filechooser", lambda _: None)  # registers the listener before Enter
    page.goto(address)
    expect(page.locator("body")).to_contain_text(f"only to this server, {address[7:]}")
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(photo(tmp_path / "scene.png", "happy", "sad"))
    expect(page.locator("#status")).to_have_text("2 faces.")
    expect(page.locator("#faces li")).to_have_count(2)
    expect(page.locator("#faces .bar")).to_have_count(2 * 7)
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.locator("#save")).to_be_focused()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    saved = cv2.imread(str(download.value.path()))
    drawn = cv2.imread(str(tmp_path / "scene.png"))
    assert saved.shape == drawn.shape
    changed = np.abs(saved.astype(int) - drawn).max(axis=2) > 60
    assert 0.005 < changed.mean() < 0.2  # boxes and labels, on the photo
    page.get_by_role("link", name="Model card").click()
    expect(page.locator("#card pre")).to_contain_text("# fer2013")


def test_a_photo_that_the_browser_cannot_show_is_analysed(
    page: Page, address: str, tmp_path: Path
) -> None:
    """Its faces are listed and boxed without the picture, and the page says why."""
    page.goto(address)
    chosen = page.locator("#file").get_attribute("accept")
    assert {".heic", ".avif", ".jp2"} <= set(chosen.split(","))
    page.set_input_files("#file", photo(tmp_path / "earlier.png"))
    expect(page.locator("#status")).to_have_text("No face found.")
    page.set_input_files("#file", photo(tmp_path / "scene.ppm", "happy", "sad"))
    expect(page.locator("#status")).to_have_text(
        "2 faces. This browser cannot show this kind of photo."
    )
    expect(page.locator("#faces li")).to_have_count(2)
    height, width = cv2.imread(str(tmp_path / "scene.ppm")).shape[:2]
    assert page.evaluate("[view.width, view.height]") == [width, height]


def test_what_shows_no_face_is_told(page: Page, address: str, tmp_path: Path) -> None:
    """The page says if an image has no face, and if a file is not an image."""
    page.goto(address)
    page.set_input_files("#file", photo(tmp_path / "grey.png"))
    expect(page.locator("#status")).to_have_text("No face found.")
    (tmp_path / "notes.jpg").write_text("hello")
    page.set_input_files("#file", tmp_path / "notes.jpg")
    expect(page.locator("#status")).to_contain_text("Cannot read this file: not an image")


def test_a_phone_shows_all_of_it(browser: Browser, address: str, tmp_path: Path) -> None:
    """On a narrow screen nothing is cut off, and buttons are large enough to tap."""
    with browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True) as context:
        page = context.new_page()
        page.goto(address)
        page.set_input_files("#file", photo(tmp_path / "scene.png", "happy"))
        expect(page.locator("#status")).to_have_text("1 face.", timeout=PATIENCE_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for button in page.locator("button:visible, .button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 44


def test_the_camera_outlives_its_server(page: Page) -> None:
    """The camera's face is tracked; the page reports a dead server and reconnects later."""
    with started() as (server, address):
        page.goto(address)
        page.click("#camera")
        expect(page.locator("#status")).to_have_text("1 face.")
        expect(page.locator("#faces li b")).to_contain_text(": ")  # its number
        expect(page.locator("#speed")).to_contain_text("ms per frame")
        page.wait_for_timeout(1000)
        painted = page.evaluate(
            "() => document.getElementById('timeline').getContext('2d')"
            ".getImageData(0, 0, 1200, 240).data.some((value) => value > 0)"
        )
        assert painted
        server.kill()
        expect(page.locator("#status")).to_contain_text("Retrying")
    with started(port=int(address.rpartition(":")[2])):
        expect(page.locator("#status")).to_have_text("1 face.")
        page.click("#camera")
        expect(page.locator("#status")).to_have_text("The camera is off.")


def test_the_camera_asks_for_a_token_that_is_new(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the restarted server needs a token, the page asks for it, and the camera continues."""
    with started() as (_, address):
        page.goto(address)
        page.click("#camera")
        expect(page.locator("#status")).to_have_text("1 face.")
    monkeypatch.setenv("EMODETECT_TOKEN", TOKEN)
    with started(port=int(address.rpartition(":")[2])):
        expect(page.locator("#status")).to_have_text("This server needs an access token.")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("1 face.")
        expect(page.locator("#ask")).to_be_hidden()


def test_frames_that_are_too_large_are_sent_once(page: Page, address: str) -> None:
    """Frames that are too large stop the camera, and the page says why."""
    opened: list[WebSocketRoute] = []
    page.route_web_socket(
        "**/v1/stream",
        lambda one: (
            opened.append(one),
            one.on_message(lambda _: one.close(code=1009, reason="expected small frames")),
        ),
    )
    page.goto(address)
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("The server reports: expected small frames.")
    expect(page.locator("#camera")).to_have_text("Start camera")
    page.wait_for_timeout(2500)
    assert len(opened) == 1


def test_no_camera_stays_on_by_itself(page: Page, address: str) -> None:
    """However fast the button is clicked, the camera is off once the page says so."""
    page.add_init_script(
        "const ask = MediaDevices.prototype.getUserMedia; window.opened = [];"
        "MediaDevices.prototype.getUserMedia = async function (...options) {"
        "  const one = await ask.apply(this, options); "
        "  document.title = window.opened.push(one); return one; };"
    )
    page.goto(address)
    expect(page.locator("#card pre")).to_contain_text("# fer2013")
    page.evaluate(
        "async () => { const button = document.getElementById('camera'); button.click();"
        "  await new Promise((done) => setTimeout(done)); button.click(); }"
    )
    expect(page.locator("#status")).to_have_text("1 face.")
    expect(page).to_have_title("2")
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("The camera is off.")
    assert not page.evaluate("window.opened.some((one) => one.active)")


def test_an_older_photos_answer_is_not_shown(page: Page, address: str, tmp_path: Path) -> None:
    """A late result of an older photo does not replace that of a newer one."""
    page.goto(address)
    held: list[Route] = []
    page.route("**/v1/analyze", lambda route: held.append(route))
    for name, emotions in (("older", ("happy", "sad")), ("newer", ("happy",))):
        asked = len(held)
        page.set_input_files("#file", photo(tmp_path / f"{name}.png", *emotions))
        while len(held) == asked:
            page.wait_for_timeout(50)
    for route in reversed(held):
        with page.expect_response("**/v1/analyze"):
            route.continue_()
        expect(page.locator("#status")).to_have_text("1 face.")
    page.wait_for_timeout(300)
    expect(page.locator("#status")).to_have_text("1 face.")


def test_the_page_asks_for_the_token(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page asks for the token, and sends it for photos and for the camera."""
    monkeypatch.setenv("EMODETECT_TOKEN", TOKEN)
    with started() as (_, address):
        page.goto(address)
        expect(page.locator("#status")).to_have_text("This server needs an access token.")
        for wrong in ("wrong", "\u20acuro"):
            page.fill("#token", wrong)
            page.keyboard.press("Enter")
            expect(page.locator("#status")).to_have_text("Wrong token.")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#ask")).to_be_hidden()
        page.set_input_files("#file", photo(tmp_path / "scene.png", "happy"))
        expect(page.locator("#status")).to_have_text("1 face.")
        page.click("#camera")
        expect(page.locator("#speed")).to_contain_text("ms per frame")
