"""Reports in a real browser: tables sort, pictures enlarge, nothing is cut off on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from labelled import dataset_of, predictions_of
from playwright.sync_api import Browser, Page, expect, sync_playwright

from emodetect.cli.video import video
from emodetect.data.synthetic import draw_film
from emodetect.emotions import EMOTIONS
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.evaluation.metrics.intervals import metric_intervals, resampled_metrics
from emodetect.evaluation.metrics.slices import measure_slices
from emodetect.model_file.metadata import Metadata
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.reports.evaluation_files import write_report
from emodetect.reports.evaluation_page import ReportedModel
from emodetect.reports.html import write_page

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

TABLE = """{% extends "report_base.html" %}
{% block report %}
<div class="wide"><table class="sortable"><thead><tr><th>name</th><th>share</th><th>images</th>
<th>p</th></tr></thead><tbody>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
<div class="faces">{% for name in ("first", "second") %}
<figure><img src="{{ image | picture }}" alt="{{ name }}">
<figcaption title="folder/{{ name }}.png">{{ name }}<span class="path">{{ name }}.png</span>
</figcaption></figure>{% endfor %}</div>
<details><summary>more</summary><p>inside</p></details>
{% endblock %}
"""
ROWS = (
    ("class 10", "9.5% 8.0% to 11.0%", "1,234", "0.5"),
    ("class 9", "—", "12", "< 0.0001"),
    ("<b>class</b>", "68.8% 60.0% to 70.0%", "200", "0.17"),
    ("class 1", "100.0% 99.0% to 100.0%", "0", ""),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A report on a phone; a script that its policy refuses fails the test."""
    from jinja2 import ChoiceLoader, DictLoader, PackageLoader

    import emodetect.reports.html as html

    templates = ChoiceLoader([DictLoader({"t.html": TABLE}), PackageLoader("emodetect.reports")])
    monkeypatch.setattr(html, "PackageLoader", lambda _: templates)
    image = np.full((48, 48), 127, np.uint8)
    write_page("t.html", tmp_path / "t.html", title="A report", rows=ROWS, image=image)
    faults: list[str] = []
    with browser.new_context(viewport={"width": 375, "height": 700}) as context:
        one = context.new_page()
        one.on("pageerror", lambda error: faults.append(str(error)))
        one.on("console", lambda message: faults.append(message.text))
        one.goto((tmp_path / "t.html").as_uri())
        yield one
    assert faults == []


def _column(page: Page, number: int) -> list[str]:
    return page.locator(f"tbody td:nth-child({number})").all_inner_texts()


def test_numbers_sort_as_numbers_from_the_keyboard(page: Page) -> None:
    """Enter on a header sorts from high to low, then from low to high, then not at all."""
    page.get_by_role("button", name="share").focus()
    page.keyboard.press("Enter")
    header = page.locator("th", has_text="share")
    expect(header).to_have_attribute("aria-sort", "descending")
    assert [cell.partition("%")[0] for cell in _column(page, 2)] == ["100.0", "68.8", "9.5", "—"]
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "ascending")
    assert [cell.partition("%")[0] for cell in _column(page, 2)] == ["9.5", "68.8", "100.0", "—"]
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") is None
    assert _column(page, 1) == [row[0] for row in ROWS]


def test_thousands_decimals_and_names_sort(page: Page) -> None:
    """1,234 is more than 200, "< 0.0001" less than 0.17, and class 9 comes before class 10."""
    page.get_by_role("button", name="images").click()
    assert _column(page, 3) == ["1,234", "200", "12", "0"]
    page.get_by_role("button", name="p", exact=True).click()
    assert _column(page, 4) == ["0.5", "0.17", "< 0.0001", ""]
    page.get_by_role("button", name="name").click()
    assert _column(page, 1) == ["<b>class</b>", "class 1", "class 9", "class 10"]
    assert page.locator("[aria-sort]").count() == 1


def test_pictures_enlarge_by_click_and_by_keyboard(page: Page) -> None:
    """A picture opens large with its whole path; arrows turn pages, Escape leads back to it."""
    small = page.locator("figure img").first.bounding_box()
    page.locator("figure button").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("folder/first.png")
    previous, following = (page.get_by_role("button", name=name) for name in ("Previous", "Next"))
    expect(previous).to_have_attribute("aria-disabled", "true")
    expect(following).to_have_attribute("aria-disabled", "false")
    large = dialog.locator("img").bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 2 * small["width"]
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("folder/second.png")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("figure button").nth(1)).to_be_focused()
    page.locator("figure button").first.click()
    page.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_a_wide_table_scrolls_on_a_phone(page: Page) -> None:
    """The table moves in its own box, which the keyboard reaches, and the page does not."""
    page.evaluate("document.querySelector('td:nth-child(2)').textContent = 'x'.repeat(90)")
    page.set_viewport_size({"width": 374, "height": 700})
    box = page.locator(".wide")
    expect(box).to_have_attribute("tabindex", "0")
    assert page.evaluate("document.documentElement.scrollWidth") <= 374
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")


def test_what_is_closed_is_printed(page: Page) -> None:
    """On paper nobody can open it; on the screen it is closed again afterwards."""
    inside = page.get_by_text("inside")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(inside).to_be_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(inside).to_be_hidden()


def test_tables_of_an_evaluation_fit_a_desktop(browser: Browser, tmp_path: Path) -> None:
    """The tables of seven emotions need no scrolling sideways; bars are bars on a phone too."""
    emotions = tuple(EMOTIONS[:7])
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(7), 30)
    scores = rng.dirichlet(np.ones(7), len(labels)) + 2 * np.eye(7)[labels]
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).tolist()
    predictions = predictions_of(labels.tolist(), probabilities, emotions)
    dataset = dataset_of(emotions, labels.tolist(), rng.integers(0, 256, len(labels)).tolist())
    metrics = {
        **{"model": "runs/mine", "data": "folder:faces", "split": "test", "seen": False},
        **{"caveats": [], "leaked": 0},
        **{"skipped": [], "left_out": {}, "tta": None, "bootstrap": 100, "robustness": None},
        **compute_metrics(predictions),
        "batch_size_difference": 0.0,
        "intervals_95": metric_intervals(
            predictions, resampled_metrics(predictions, resamples=100)
        ),
        "slices": measure_slices(predictions, dataset, np.arange(len(labels))),
    }
    metadata = Metadata(name="mine", emotions=emotions, image_size=16, color="gray")
    model = ReportedModel(metadata=metadata, run=None, heat="none")
    (file, *_) = write_report(predictions, metrics, tmp_path, model=model)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(file.as_uri())
        assert page.locator(".wide").count() > 3
        for width in (1024, 1300, 1366, 1440, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            scrolled = page.evaluate(
                "[...document.querySelectorAll('.wide')].map(e => e.scrollWidth - e.clientWidth)"
            )
            assert max(scrolled) <= 0, width
        # On a phone they do scroll, but a bar is still long enough to show a share.
        page.set_viewport_size({"width": 390, "height": 844})
        bars = page.locator("#emotions td.bar i")
        assert bars.count() == 7
        assert bars.first.evaluate("bar => bar.getBoundingClientRect().width") > 40


def write_person(path: Path, frames: int) -> None:
    """Write a video of one drawn person."""
    with VideoWriter(path, fps=25.0) as writer:
        scenes = draw_film(
            ["happy"], np.random.default_rng(0), frames=frames, width=320, height=200
        )
        for index, scene in enumerate(scenes):
            writer.write(Frame(index, index / 25.0, scene.image))


def test_a_page_about_videos_is_used_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    """It loads nothing, stays within the screen, its overview sorts and leads to each video."""
    write_person(tmp_path / "long.mp4", 20)
    write_person(tmp_path / "short.mp4", 10)
    report = tmp_path / "videos.html"
    videos = [str(tmp_path / "long.mp4"), str(tmp_path / "short.mp4")]
    result = CliRunner().invoke(video, [*videos, "--report", str(report)])
    assert result.exit_code == 0, result.exception
    asked: list[str] = []
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        overview = page.locator("#overview")
        for order in (["long.mp4", "short.mp4"], ["short.mp4", "long.mp4"]):
            overview.get_by_role("button", name="length").click()
            assert overview.locator("tbody th").all_inner_texts() == order
        overview.get_by_role("link", name="short.mp4").click()
        expect(page.locator("#video-2 h2")).to_be_in_viewport()
    assert not [url for url in asked if not url.startswith(("data:", report.as_uri()))]
