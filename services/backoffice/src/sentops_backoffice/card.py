"""A model card as HTML: text of ours and of users, so nothing of it may become markup, address or picture."""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "linkify": False})
    .enable("table")
    .disable(["link", "autolink", "image", "reference", "html_block", "html_inline"])
)
_DEEPER = 2  # the page's own headings stand above those of a card


def render_card(markdown: str) -> Markup:
    """Headings, lists, tables and code of the card; everything else as it stands."""
    tokens = _MARKDOWN.parse(markdown)
    for token in tokens:
        _adapt(token)
    rendered: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return Markup(rendered)  # noqa: S704 - the renderer escapes all text


def _adapt(token: Token) -> None:
    token.attrs.pop(
        "style", None
    )  # alignment of columns; the page's policy allows no such attribute
    if token.type in {"heading_open", "heading_close"}:
        token.tag = f"h{min(6, int(token.tag[1]) + _DEEPER)}"
    for child in _children(token):
        _adapt(child)


def _children(token: Token) -> Sequence[Token]:
    return token.children or ()
