"""Markdown as HTML for the page: the card of a model, and the documentation."""

from __future__ import annotations

from markdown_it import MarkdownIt

# "js-default" escapes HTML and drops links to scripts; without pictures, nothing is loaded from
# elsewhere. The card of a model may contain anything.
_MARKDOWN = MarkdownIt("js-default").disable("image")
_CARD = MarkdownIt("js-default").disable(["image", "link", "autolink", "reference"])


def document_html(text: str) -> str:
    """Return a document in Markdown as HTML; it must not link to other files."""
    html: str = _MARKDOWN.render(text)
    return html


def card_html(card: str) -> str:
    """Return a card in Markdown as HTML that is safe to insert into the page.

    Its headings are a level lower, because the page has one of its own. It has no links: a label in
    the file of a stranger's model could be one.
    """
    tokens = _CARD.parse(card)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
    html: str = _CARD.renderer.render(tokens, _CARD.options, {})
    return html
