"""MkDocs hook: pages of the site that lie outside docs/, links to them, and the commands' help.

The links in docs/ and the other files are those that work in the repository. On the site, they lead
to the pages.
"""

from __future__ import annotations

import inspect
import posixpath
import re
import textwrap
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from emodetect.cli import app

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "emodetect" / "assets"
PAGES = {  # page: its file in the repository
    "data_sets.md": "data/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    **{f"models/{card.name}": card.relative_to(ROOT).as_posix() for card in CARDS.glob("*.md")},
}
PAGE_OF = {file: page for page, file in PAGES.items()} | {"README.md": "index.md"}
LINK = re.compile(r"(\]\()([^):#\s]+)((?:#[^)\s]*)?\))")


def on_startup(**_: Any) -> None:
    """Turn the help of all commands into Markdown, as mkdocs-click takes it."""

    def convert(command: click.Command) -> None:
        command.help = _as_markdown(command.help or "")
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                one = command.get_command(context, name)
                assert one is not None
                convert(one)

    convert(app)


def _as_markdown(text: str) -> str:
    """Turn click's unwrapped paragraphs, which are examples, into blocks of code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if paragraph.startswith("\b\n"):
            lines = textwrap.dedent(paragraph.removeprefix("\b\n"))
            paragraphs[number] = textwrap.indent(lines, "    ")
    return "\n\n".join(paragraphs)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, file in PAGES.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let the links of a page lead to pages instead of files of the repository."""
    own = page.file.src_uri
    folder = posixpath.dirname(PAGES.get(own, f"docs/{own}"))

    def moved(link: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(folder, link[2]))
        target = PAGE_OF.get(file, file.removeprefix("docs/"))
        return link[1] + posixpath.relpath(target, posixpath.dirname(own) or ".") + link[3]

    return LINK.sub(moved, markdown)
