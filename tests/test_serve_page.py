"""The web page in a real browser, with a drawn film as the camera."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from heic import HEIC
from PIL import Image
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Route,
    WebSocketRoute,
    expect,
    sync_playwright,
)
from running import posix_only
from serving import started

from emodetect.cli import app as command_line
from emodetect.data.synthetic import draw_film, draw_scene
from emodetect.images.formats import READ_FORMATS
from emodetect.model_file.shipped_models import model_path

CHROMIUM = shutil.which("chromium")
TOKEN = "open sesame+/=, open"
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


def drawn_on(canvas: Locator) -> np.ndarray:
    """Return what a canvas shows, BGR."""
    data = canvas.evaluate("(one) => one.toDataURL().split(',')[1]")
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


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


def test_a_photo_that_the_browser_cannot_show_has_a_preview(
    page: Page, address: str, tmp_path: Path
) -> None:
    """A photo stored on its side in such a format is shown upright, and its boxes and cards fit."""
    scene = draw_scene(("happy", "sad"), np.random.default_rng(0), width=1600, height=1200).image
    image = Image.fromarray(np.rot90(scene)[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image.save(tmp_path / "scene.tiff", exif=exif)
    page.goto(address)
    chosen = page.locator("#file").get_attribute("accept")
    assert {".heic", ".avif", ".jp2"} <= set(chosen.split(","))
    page.set_input_files("#file", tmp_path / "scene.tiff")
    expect(page.locator("#status")).to_have_text("2 faces.")
    expect(page.locator("#caption")).to_contain_text("a preview from the server, because this")
    view = drawn_on(page.locator("#view"))
    assert view.shape == (960, 1280, 3)
    small = cv2.resize(scene, (1280, 960), interpolation=cv2.INTER_AREA)
    assert np.median(np.abs(view.astype(int) - small).max(axis=2)) < 6  # but for boxes and labels
    with page.expect_download() as download:
        page.click("#json")
    (row,) = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert (row["width"], row["height"], "preview" in row) == (1600, 1200, False)
    for index, face in enumerate(row["faces"]):
        x, y, width, height = face["box"]
        style = page.locator("#boxes button").nth(index).evaluate("(one) => one.style.left")
        assert float(style.removesuffix("%")) == pytest.approx(100 * x / 1600, abs=0.01)
        inner = drawn_on(page.locator("#faces canvas").nth(index))[13:-13, 13:-13]
        expected = cv2.resize(
            scene[y : y + height, x : x + width], inner.shape[1::-1], interpolation=cv2.INTER_AREA
        )
        assert np.abs(inner.astype(int) - expected).mean() < 12


def test_a_photo_is_shown_as_the_server_turned_it(page: Page, address: str, tmp_path: Path) -> None:
    """Not every browser turns a WebP or a PNG that says so; the server does, and is asked to."""
    scene = draw_scene(("happy", "sad"), np.random.default_rng(0)).image
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by half, so that its width and height tell nothing
    turned = Image.fromarray(scene[::-1, ::-1, ::-1])
    turned.save(tmp_path / "turned.webp", lossless=True, exif=exif)
    turned.save(tmp_path / "before.png", exif=exif)
    data = (tmp_path / "before.png").read_bytes()
    begin, pixels, end = (data.index(name) - 4 for name in (b"eXIf", b"IDAT", b"IEND"))
    (tmp_path / "behind.png").write_bytes(
        data[:begin] + data[pixels:end] + data[begin:pixels] + data[end:]
    )
    exif[0x0112] = 1
    Image.fromarray(scene[..., ::-1]).save(tmp_path / "upright.png", exif=exif)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url.partition("/v1/analyze")[2]))
    page.goto(address)
    for previews, name in enumerate(("upright.png", "turned.webp", "before.png", "behind.png")):
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator("#caption")).to_contain_text(name)
        expect(page.locator("#status")).to_have_text("2 faces.")
        view = drawn_on(page.locator("#view"))
        assert view.shape == scene.shape
        assert np.median(np.abs(view.astype(int) - scene).max(axis=2)) < 6, name
        assert len([one for one in asked if one]) == previews


def test_a_photo_that_is_cut_short_ends_no_batch(page: Page, address: str, tmp_path: Path) -> None:
    """Wherever its first bytes end, in the box that begins an AVIF, or in a PNG's Exif data."""
    begins = [b"\0\0\0 ftyp", b"\0\0\0 ftypavi", b"\x89PNG\r\n\x1a\n\0\0\0\x04eXIfMM"]
    files = [tmp_path / f"{number}.avif" for number in range(len(begins))]
    for file, begin in zip(files, begins, strict=True):
        file.write_bytes(begin)
    page.goto(address)
    page.set_input_files("#file", [*files, photo(tmp_path / "whole.png", "happy")])
    expect(page.locator("#status")).to_have_text(
        "4 photos: 1 face. 3 photos could not be analysed."
    )


def test_photos_of_an_iphone_have_thumbnails(page: Page, address: str, tmp_path: Path) -> None:
    """Only HEIC photos ask the server for a preview; it is upright, large and as a thumbnail."""
    (tmp_path / "one.heic").write_bytes(HEIC["turned"])
    (tmp_path / "cut.heic").write_bytes(HEIC["turned"][:-100])
    files = [photo(tmp_path / "grey.png"), tmp_path / "one.heic", tmp_path / "cut.heic"]
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url.partition("/v1/analyze")[2]))
    page.goto(address)
    page.set_input_files("#file", files)
    expect(page.locator("#status")).to_contain_text("1 photo could not be analysed.")
    assert [one for one in asked if one] == ["?preview=true"] * 2
    tiles = page.locator("#photos button")
    tiles.nth(1).click()
    expect(page.locator("#caption")).to_contain_text("one.heic: a preview from the server")
    # Blue, red, grey and green once it is upright.
    quarters = [[(200, 0, 0), (0, 0, 200)], [(128, 128, 128), (0, 200, 0)]]
    for canvas in (page.locator("#view"), tiles.nth(1).locator("canvas")):
        shown = drawn_on(canvas)
        rows, columns = shown.shape[:2]
        for down in range(2):
            for across in range(2):
                middle = shown[rows * (1 + 2 * down) // 4, columns * (1 + 2 * across) // 4]
                assert np.abs(middle.astype(int) - quarters[down][across]).max() < 40
    assert page.evaluate("[view.width, view.height]") == [80, 120]
    tiles.nth(2).click()
    expect(page.locator("#view")).to_be_hidden()


def test_nothing_old_stays_under_an_error(page: Page, address: str, tmp_path: Path) -> None:
    """A file that cannot be analysed replaces the picture, faces and results of the one before."""
    page.goto(address)
    page.set_input_files("#file", photo(tmp_path / "grey.png"))
    expect(page.locator("#status")).to_have_text("No face found.")
    (tmp_path / "notes.jpg").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with (tmp_path / "huge.jpg").open("wb") as huge:
        huge.truncate(33 * 2**20)
    for name, said in (
        ("notes.jpg", "notes.jpg: not an image"),
        ("empty.jpg", "empty.jpg: the file is empty."),
        ("huge.jpg", "huge.jpg: too large: expected at most 33.6 MB, got 34.6 MB."),
    ):
        page.set_input_files("#file", photo(tmp_path / "scene.png", "happy", "sad"))
        expect(page.locator("#faces li")).to_have_count(2)
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator("#status")).to_contain_text(said)
        expect(page.locator("#view")).to_be_hidden()
        expect(page.locator("#empty")).to_be_visible()
        expect(page.locator("#faces li")).to_have_count(0)
        expect(page.locator("#boxes button")).to_have_count(0)
        expect(page.locator("#save")).to_be_disabled()


def test_a_box_and_its_card_are_highlighted_together(
    page: Page, address: str, tmp_path: Path
) -> None:
    """Hovering over or focusing a box highlights its card, and the other way round."""
    page.goto(address)
    page.set_input_files("#file", photo(tmp_path / "scene.png", "happy", "sad"))
    expect(page.locator("#faces li")).to_have_count(2)
    boxes, cards = page.locator("#boxes button"), page.locator("#faces li")
    for index in range(2):
        label = cards.nth(index).locator("b").inner_text()
        assert label.startswith(f"{index + 1}: ")
        expect(boxes.nth(index)).to_have_accessible_name(f"Face {label}")
        for act in (
            boxes.nth(index).hover,
            cards.nth(index).hover,
            boxes.nth(index).focus,
            cards.nth(index).locator("button").focus,
        ):
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur()")
            expect(page.locator(".lit")).to_have_count(0)
            act()
            expect(page.locator(".lit")).to_have_count(2)
            expect(boxes.nth(index)).to_have_class("lit")
            expect(cards.nth(index)).to_have_class("lit")
    # The face on a card is the one in its box.
    row = page.request.post(
        f"{address}/v1/analyze", data=(tmp_path / "scene.png").read_bytes()
    ).json()[0]
    x, y, width, height = row["faces"][0]["box"]
    face = cv2.imread(str(tmp_path / "scene.png"))[y : y + height, x : x + width]
    inner = drawn_on(cards.nth(0).locator("canvas"))[13:-13, 13:-13]
    expected = cv2.resize(face, inner.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(inner.astype(int) - expected).mean() < 12


def test_the_empty_frame_takes_photos_and_offers_a_sample(
    page: Page, address: str, tmp_path: Path
) -> None:
    """The frame opens the file dialog; photos can be dropped and pasted, and a sample is drawn."""
    page.on("filechooser", lambda _: None)  # registers the listener before the first click
    page.goto(address)
    frame = page.locator("#empty").bounding_box()
    assert frame is not None
    for x, y in ((frame["width"] / 2, frame["height"] / 2), (10, frame["height"] - 10)):
        with page.expect_file_chooser() as chooser:
            page.mouse.click(frame["x"] + x, frame["y"] + y)
        assert chooser.value.is_multiple()
    page.click("#sample")
    expect(page.locator("#status")).to_have_text("4 faces.")
    data = base64.b64encode(photo(tmp_path / "scene.png", "happy").read_bytes()).decode()
    fire = """([kind, data, named]) => {
        const items = new DataTransfer();
        const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
        if (named) items.items.add(new File([bytes], named, { type: "image/png" }));
        const frame = document.getElementById("drop");
        const send = (event) => !frame.dispatchEvent(event);  // whether the page has taken it
        const how = { bubbles: true, cancelable: true };
        if (kind === "paste") {
            return send(new ClipboardEvent("paste", { ...how, clipboardData: items }));
        }
        const taken = send(new DragEvent("dragover", { ...how, dataTransfer: items }))
            && frame.classList.contains("over");
        return send(new DragEvent("drop", { ...how, dataTransfer: items }))
            && taken && !frame.classList.contains("over");
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(fire, [kind, data, ""])
        expect(page.locator("#status")).to_contain_text("That is not a file")
        taken = page.evaluate(fire, [kind, data, f"{kind}.png"])
        assert taken == (kind == "drop")  # or else the browser would show the file instead
        expect(page.locator("#status")).to_have_text("1 face.")
        expect(page.locator("#caption")).to_have_text(f"{kind}.png")


def test_several_photos_have_a_result_each(page: Page, address: str, tmp_path: Path) -> None:
    """One bad photo does not spoil the others, and the saved results are those of `predict`."""
    files = [
        photo(tmp_path / 'two, "faces".png', "happy", "sad"),
        tmp_path / "notes.jpg",
        photo(tmp_path / "grey.png"),
        photo(tmp_path / "=one.png", "happy"),
    ]
    files[1].write_text("hello")
    page.goto(address)
    page.set_input_files("#file", files)
    expect(page.locator("#status")).to_have_text(
        "4 photos: 3 faces. 1 photo could not be analysed."
    )
    tiles = page.locator("#photos button")
    assert [one.inner_text().splitlines() for one in tiles.all()] == [
        ['two, "faces".png', "2 faces"],
        ["notes.jpg", f"not an image that can be decoded ({READ_FORMATS})"],
        ["grey.png", "no face"],
        ["=one.png", "1 face"],
    ]
    for index, faces in enumerate((2, 0, 0, 1)):
        tiles.nth(index).click()
        expect(page.locator("#photos [aria-current]")).to_have_count(1)
        expect(page.locator("#caption")).to_contain_text(files[index].name)
        expect(page.locator("#faces li")).to_have_count(faces)
        expect(page.locator("#view")).to_be_visible(visible=index != 1)
    for kind in ("csv", "json"):
        with page.expect_download() as download:
            page.click(f"#{kind}")
        saved = download.value.path().read_text(encoding="utf-8")
        arguments = ["predict", *map(str, files), "--format", kind]
        written = CliRunner().invoke(command_line, arguments).stdout
        if kind == "json":
            expected = [row | {"path": Path(row["path"]).name} for row in json.loads(written)]
            assert json.loads(saved) == expected
            continue
        assert saved.splitlines()[0] == written.splitlines()[0]
        rows, expected_rows = (list(csv.reader(io.StringIO(text))) for text in (saved, written))
        assert len(rows) == 1 + 2 + 1 + 1 + 1
        for row, expected in zip(rows[1:], expected_rows[1:], strict=True):
            assert row[0] == Path(expected[0]).name
            assert [as_number(one) for one in row[1:]] == [as_number(one) for one in expected[1:]]


def as_number(text: str) -> float | str:
    """Return a number, however it is spelt, or the text that is not a number."""
    try:
        return float(text)
    except ValueError:
        return text


def test_a_full_queue_only_delays_photos(page: Page, address: str, tmp_path: Path) -> None:
    """A photo that the server has no place for is sent again, as Retry-After says."""
    refused: list[Route] = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route)
        route.fulfill(
            status=503, headers={"Retry-After": "1"}, json={"detail": "the queue is full"}
        )

    page.route("**/v1/analyze", refuse_once)
    page.goto(address)
    page.set_input_files("#file", photo(tmp_path / "scene.png", "happy"))
    expect(page.locator("#status")).to_have_text("1 face.")


def test_the_model_card_is_readable_and_runs_nothing(page: Page, tmp_path: Path) -> None:
    """The card is on the page once, as HTML; what the model's name contains stays text."""
    evil = "<img src=x onerror=document.title='owned'> **x** [y](javascript:alert(1))"
    model = tmp_path / "evil.keras"
    with zipfile.ZipFile(model_path("fer2013")) as shipped, zipfile.ZipFile(model, "w") as renamed:
        for member in shipped.namelist():
            content = shipped.read(member)
            if member == "emodetect.json":
                content = json.dumps(json.loads(content) | {"name": evil}).encode()
            renamed.writestr(member, content)
    with started("--model", str(model)) as (_, address):
        page.goto(address)
        expect(page.get_by_text("Model card")).to_have_count(1)
        page.click("summary")
        expect(page.locator("#card h2").first).to_contain_text("<img src=x")
        expect(page.locator("#card td").first).to_be_visible()
        assert page.locator("#card img, #card script, #card a").count() == 0
        assert page.title() == "emodetect"


def test_each_route_can_be_tried_on_its_page(page: Page, address: str) -> None:
    """The page of the API sends a request to each route, the stream too, and shows the answer."""
    page.goto(f"{address}/docs")
    forms = page.locator("form.try")
    assert forms.count() == 6
    for index in range(forms.count()):
        forms.nth(index).locator("button").click()
        expect(page.locator(".answer").nth(index).locator("b")).to_have_text(
            "Message" if index == 5 else "200 OK"
        )
        expect(page.locator(".answer").nth(index).locator("pre")).not_to_be_empty()
    expect(page.locator(".answer").first).to_contain_text('"path": "sample.jpg"')
    expect(page.locator("pre").first).to_contain_text(f"{address}/v1/analyze")


def test_the_page_of_the_api_sends_the_token(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the token in its field, a request and a stream get through; without it, they do not."""
    monkeypatch.setenv("EMODETECT_TOKEN", TOKEN)
    with started() as (_, address):
        page.goto(f"{address}/docs")
        answers = page.locator(".answer")
        for given, said in (("", "401"), ("\u20acuro", "401"), (TOKEN, "200")):
            page.fill("#token", given)
            page.locator("form.try button").first.click()
            expect(answers.first.locator("b")).to_contain_text(said)
        page.locator("form.try button").last.click()
        expect(answers.last).to_contain_text('"frame": 0')


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
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("Wrong token.")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("1 face.")
        expect(page.locator("#ask")).to_be_hidden()


def test_the_camera_starts_with_the_model_of_a_restarted_server(page: Page) -> None:
    """The emotions are those of the model that answers now."""
    with started() as (_, address):
        page.goto(address)
        expect(page.locator("#card h2", has_text="fer2013")).to_be_attached()
    with started("--model", "ferplus", port=int(address.rpartition(":")[2])):
        page.click("#camera")
        expect(page.locator("#status")).to_have_text("1 face.")
        expect(page.locator("#faces")).to_contain_text("contempt")
        expect(page.locator("#faces")).not_to_contain_text("NaN")


@pytest.mark.parametrize("answer", ["none", "of a proxy"])
def test_photos_outlive_the_server(
    page: Page, tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos wait for the server; if it has another model then, that one analyses all of them.

    Also if it needs a token by then.
    """
    held: list[Route] = []

    def hold_second(route: Route) -> None:
        held.append(route)
        if len(held) != 2:
            route.continue_()

    page.route("**/v1/analyze", hold_second)
    with started() as (_, address):
        page.goto(address)
        page.set_input_files("#file", [photo(tmp_path / f"{name}.png", "happy") for name in "ab"])
        expect(page.locator("#photos button").first).to_contain_text("1 face")
        while len(held) < 2:
            page.wait_for_timeout(50)
    if answer == "none":
        held[1].abort()
    else:
        held[1].fulfill(status=502, body="<p>Bad Gateway</p>")
    expect(page.locator("#status")).to_contain_text("Cannot reach the server.")
    expect(page.locator("#status")).to_contain_text("Retrying")
    monkeypatch.setenv("EMODETECT_TOKEN", TOKEN)
    with started("--model", "ferplus", port=int(address.rpartition(":")[2])):
        expect(page.locator("#ask")).to_be_visible()
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("2 photos: 2 faces.")
    with page.expect_download() as download:
        page.click("#csv")
    with download.value.path().open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["a.png", "b.png"]
    for row in rows:
        assert float(row["contempt"]) >= 0


def test_photos_chosen_while_the_server_is_away_wait_for_it(page: Page, tmp_path: Path) -> None:
    """A camera that is started and refused in between does not end their waiting."""
    page.add_init_script(
        "MediaDevices.prototype.getUserMedia = async () => { throw new Error('none'); };"
    )
    with started() as (_, address):
        page.goto(address)
        expect(page.locator("#card h2", has_text="fer2013")).to_be_attached()
    page.set_input_files("#file", [photo(tmp_path / f"{name}.png", "happy") for name in "ab"])
    expect(page.locator("#status")).to_contain_text("Retrying")
    page.click("#camera")
    expect(page.locator("#status")).to_contain_text("Retrying")
    with started(port=int(address.rpartition(":")[2])):
        expect(page.locator("#status")).to_have_text("No camera: none. 2 photos: 2 faces.")


@posix_only
def test_a_server_that_hangs_is_told_soon(page: Page) -> None:
    """Browsers take up to 70 s to close a connection whose other end is silent."""
    page.clock.install()
    with started() as (server, address):
        page.goto(address)
        page.click("#camera")
        expect(page.locator("#status")).to_have_text("1 face.")
        server.send_signal(signal.SIGSTOP)
        try:
            page.wait_for_timeout(500)
            page.clock.fast_forward(10_000)
            expect(page.locator("#status")).to_contain_text("Lost the connection", timeout=5000)
        finally:
            server.send_signal(signal.SIGCONT)
        expect(page.locator("#status")).to_have_text("1 face.")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("NotFoundError", "No camera: none was found."),
        (
            "NotAllowedError",
            "No camera: its use is not allowed; allow it for this page in the browser's settings.",
        ),
        ("Error", "No camera: The object can not be found here."),
        ("", "This browser gives pages no camera. Photos work here."),
    ],
)
def test_why_there_is_no_camera_is_told(page: Page, address: str, script: str, words: str) -> None:
    """In the same words whatever the browser, which may have none but its own language's."""
    page.add_init_script(
        "MediaDevices.prototype.getUserMedia = async () => {"
        f"  throw new DOMException('The object can not be found here.', '{script}'); }};"
        if script
        else "Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined });"
    )
    page.goto(address)
    page.click("#camera")
    expect(page.locator("#status")).to_have_text(words)


def test_a_camera_that_shows_nothing_is_released(page: Page, address: str) -> None:
    """If the browser does not play the camera's picture, the camera is off."""
    page.add_init_script(
        "HTMLMediaElement.prototype.play = async () => { throw new Error('blocked'); };"
    )
    page.goto(address)
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("No picture from the camera: blocked.")
    expect(page.locator("#camera")).to_have_text("Start camera")
    assert not page.evaluate("document.querySelector('video').srcObject.active")


def test_an_answer_of_something_else_is_told(page: Page, address: str) -> None:
    """A page in between, such as one that asks for a password, is not taken for the model."""
    page.route("**/v1/model", lambda route: route.fulfill(body="<p>Log in</p>"))
    page.goto(address)
    expect(page.locator("#status")).to_contain_text("Something else than emodetect answered.")


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
        "  window.asked = true; const one = await ask.apply(this, options); "
        "  document.title = window.opened.push(one); return one; };"
    )
    page.goto(address)
    expect(page.locator("#card h2", has_text="fer2013")).to_be_attached()
    page.evaluate(
        "async () => { const button = document.getElementById('camera'); button.click();"
        "  while (!window.asked) await new Promise((done) => setTimeout(done));"
        "  button.click(); }"
    )
    expect(page.locator("#status")).to_have_text("1 face.")
    expect(page).to_have_title("2")
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("The camera is off.")
    assert not page.evaluate("window.opened.some((one) => one.active)")


def test_photos_replace_what_the_camera_saw(page: Page, address: str, tmp_path: Path) -> None:
    """The last minute of the camera's face is shown until there are photos, and then no more."""
    page.goto(address)
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("1 face.")
    page.click("#camera")
    expect(page.locator("#minute")).to_be_visible()
    page.set_input_files("#file", photo(tmp_path / "scene.png", "happy", "sad"))
    expect(page.locator("#status")).to_have_text("2 faces.")
    expect(page.locator("#camera")).to_have_text("Start camera")
    expect(page.locator("#minute")).to_be_hidden()


def test_a_refused_camera_leaves_the_photos(page: Page, address: str, tmp_path: Path) -> None:
    """Photos stay, and are analysed to the end, until a camera has started."""
    page.add_init_script(
        "const ask = MediaDevices.prototype.getUserMedia;"
        "MediaDevices.prototype.getUserMedia = function (...options) {"
        "  return new Promise((open, refuse) => {"
        "    window.refuse = () => refuse(new Error('none'));"
        "    window.grant = () => open(ask.apply(this, options)); }); };"
    )
    page.goto(address)
    held: list[Route] = []
    page.route("**/v1/analyze", lambda route: held.append(route))
    page.set_input_files("#file", [photo(tmp_path / f"{name}.png", "happy") for name in "ab"])
    while not held:
        page.wait_for_timeout(50)
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("Waiting for the camera …")
    expect(page.locator("#photos button")).to_have_count(2)
    page.unroute("**/v1/analyze")  # lets the held one go on
    page.evaluate("refuse()")
    expect(page.locator("#status")).to_have_text("No camera: none. 2 photos: 2 faces.")
    for tile in page.locator("#photos button").all():
        expect(tile).to_contain_text("1 face")
    expect(page.locator("#faces li")).to_have_count(1)
    expect(page.locator("#csv")).to_be_enabled()
    page.click("#camera")
    expect(page.locator("#status")).to_have_text("Waiting for the camera …")
    page.evaluate("grant()")
    expect(page.locator("#photos")).to_be_hidden()
    expect(page.locator("#csv")).to_be_disabled()
    expect(page.locator("#speed")).to_contain_text("ms per frame")


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
        expect(page.locator("#file")).to_be_focused()
        expect(page.locator("#status")).to_contain_text("or start the camera.")
        page.set_input_files("#file", photo(tmp_path / "scene.png", "happy"))
        expect(page.locator("#status")).to_have_text("1 face.")
        page.click("#camera")
        expect(page.locator("#speed")).to_contain_text("ms per frame")
