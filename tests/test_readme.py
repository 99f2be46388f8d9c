"""The README and the pages beside it: their command lines are right, and most are run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
import pytest
from running import run_emodetect

from emodetect.cli import app
from emodetect.data.synthetic import draw_face, draw_scene

ROOT = Path(__file__).parent.parent
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
MARK = re.compile(r"<!-- (run|not run: .+) -->")


class Line(NamedTuple):
    """A command line of a page: the words after `emodetect`, and whether it is marked to run."""

    page: str
    words: tuple[str, ...]
    runs: bool


def command_lines(page: Path) -> list[Line]:
    """Return the lines of indented blocks that call emodetect; a mark holds for one block."""
    found = []
    mark = ""
    in_block = False
    for text in page.read_text(encoding="utf-8").splitlines():
        if comment := MARK.fullmatch(text):
            mark = comment[1]
        elif text.startswith("    "):
            in_block = True
            words = shlex.split(text, comments=True)
            for at, word in enumerate(words):
                if word == "emodetect" and (at == 0 or words[at - 1] == "|"):
                    own = words[at + 1 :]
                    end = min((own.index(one) for one in "|>&" if one in own), default=len(own))
                    found.append(Line(page.name, tuple(own[:end]), mark == "run"))
        elif text and in_block:
            in_block, mark = False, ""
    return found


LINES = [line for page in PAGES for line in command_lines(page)]


def parse(group: click.Group, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let click parse a command line as it does for a user; paths need not be there."""
    name, command, rest = group.resolve_command(click.Context(group), words)
    assert name
    assert command
    if isinstance(command, click.Group) and rest:
        parse(command, rest, monkeypatch)
        return
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter, "type", click.Path(path_type=Path))
    command.make_context(name, rest)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}: {' '.join(line.words)}")
def test_a_command_line_of_the_pages_is_understood(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page names a command, an option or a choice that is not there."""
    parse(app, list(line.words), monkeypatch)


def headings(page: Path) -> set[str]:
    """Return the names that links use for the headings of a page."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    """Links and pictures of a page lead to files of the repository, and to headings in them."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, heading = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        assert not heading or heading in headings(there), target


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's lines speak of: a picture, photos, a video, folders of faces."""
    folder = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    scene = draw_scene(("happy", "sad"), rng, width=480, height=320).image
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "scene.jpg", folder / "docs")
    (folder / "albums").mkdir()
    for name in ("albums/first.jpg", "albums/second.jpg"):
        cv2.imwrite(str(folder / name), scene)
    writer = cv2.VideoWriter(
        str(folder / "talk.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (480, 320)
    )
    for _ in range(10):
        writer.write(scene)
    writer.release()
    for emotion in ("happy", "sad", "surprise"):
        (folder / "faces" / emotion).mkdir(parents=True)
        for number in range(4):
            file = folder / "faces" / emotion / f"{number}.png"
            cv2.imwrite(str(file), draw_face(emotion, rng, size=64))
    return folder


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.runs], ids=lambda line: " ".join(line.words)
)
def test_a_command_line_of_the_readme_works(line: Line, users_folder: Path) -> None:
    """What a reader types first does what the README says, without a word of complaint."""
    done = run_emodetect(*line.words, cwd=users_folder)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()


@pytest.mark.parametrize("page", ["README.md", "docs/quick_start.md"])
def test_what_the_first_command_prints_is_what_the_page_shows(page: str) -> None:
    """Each line has the emotion and the box that the page shows, and nearly its percentage."""
    shown = re.findall(r"^    (docs/scene\.jpg .+)$", (ROOT / page).read_text(), re.MULTILINE)
    printed = run_emodetect("predict", "docs/scene.jpg", cwd=ROOT).stdout.splitlines()
    assert len(shown) == 5
    for expected, line in zip(shown, printed, strict=True):
        told, found = (re.sub(r"[\d.]+%", "", text).split() for text in (expected, line))
        assert told == found
        percentages = [float(re.search(r"([\d.]+)%", text)[1]) for text in (expected, line)]  # type: ignore[index]
        assert percentages[0] == pytest.approx(percentages[1], abs=1)
