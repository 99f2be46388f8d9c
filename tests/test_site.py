"""The documentation site: what it is built from is complete, and a reader needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import commands

import emodetect
from emodetect.model_file.shipped_models import shipped_models

ROOT = Path(__file__).parent.parent
# What a browser fetches without being asked: the sources of pictures, scripts and style sheets.
FETCHED = (
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?([^\"'\s>]+)",
    r"<link\b[^>]*\brel=[\"']?(?:stylesheet|icon|preload|preconnect|prefetch)[^>]*?\bhref=[\"']?([^\"'\s>]+)",
    r"url\([\"']?([^\"')]+)",
    r"@import\s+[\"']([^\"']+)",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as scripts/test.sh does: a warning, such as of a broken link, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_nothing_comes_from_other_hosts(site: Path) -> None:
    """A reader without a network, or who wants nobody to know, misses nothing."""
    found = [
        (file.relative_to(site), address)
        for file in [*site.rglob("*.html"), *site.rglob("*.css")]
        for pattern in FETCHED
        for address in re.findall(pattern, _read(file))
        if re.match(r"(https?:)?//", address)
    ]
    assert found == []


def test_every_command_is_explained(site: Path) -> None:
    """The reference has each command, and its examples are lines of their own."""
    page = _read(site / "commands.html")
    for name, _ in commands():
        assert f'id="emodetect-{name.replace(" ", "-")}"' in page
    assert "<code>emodetect video talk.mp4\n" in page


def test_every_public_name_is_explained(site: Path) -> None:
    """What can be imported from emodetect is in the reference; examples there are code."""
    page = _read(site / "api.html")
    for name in set(emodetect.__all__) - {"__version__"}:
        assert re.search(rf'id="emodetect\.(errors\.)?{name}"', page), name
    assert "<blockquote>" not in page


def test_pages_from_elsewhere_are_there_and_linked(site: Path) -> None:
    """Data sets, model cards and the changelog, whose files lie outside docs/, are pages too."""
    home = _read(site / "index.html")
    for model in shipped_models():
        assert f'href="models/{model}.html"' in home
        assert (site / "models" / f"{model}.html").is_file()
    assert 'href="data_sets.html#labels-of-your-own"' in _read(site / "train.html")
    assert 'href="scale.html"' in _read(site / "changelog.html")


def test_notebooks_are_pages_with_their_output(site: Path) -> None:
    """What a notebook shows, such as learning curves, is on its page, which the guide links to."""
    page = _read(site / "notebooks" / "2_train_on_your_own_folder.html")
    assert "data:image/png;base64," in page
    assert "val_accuracy" in page
    assert 'href="notebooks/2_train_on_your_own_folder.html"' in _read(site / "use.html")


def test_search_works_without_a_server(site: Path) -> None:
    """Read from files, where browsers allow no workers, the search has its index and a stand-in."""
    assert (site / "search" / "search_index.js").is_file()
    assert 'src="javascripts/iframe-worker.js"' in _read(site / "index.html")
