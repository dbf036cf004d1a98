"""The runbook as a page: what each alert means, how to look, what to do. The file is grafana/runbook.md."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count, pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_HERE = re.compile(r"#|/backoffice/|https?://")  # anything else is a file that is not served
_NO_WORD = re.compile(r"[^\w\s-]")
_SPACES = re.compile(r"\s")


@dataclass(frozen=True)
class Heading:
    id: str
    level: int
    text: str


@dataclass(frozen=True)
class Runbook:
    html: Markup
    headings: tuple[Heading, ...]


@cache
def runbook() -> Runbook:
    """As it came with the program."""
    text = files(__package__).joinpath("runbook.md").read_text(encoding="utf-8")
    return render_runbook(text)


def render_runbook(markdown: str) -> Runbook:
    """Headings have the addresses that GitHub gives them; the title goes, since the page has one."""
    tokens = _without_title(_MARKDOWN.parse(markdown))
    headings: list[Heading] = []
    for opening, inside in pairwise(tokens):
        if opening.type == "heading_open":
            text = _text_of(inside)
            one = Heading(_free_id(text, headings), int(opening.tag[1]), text)
            opening.attrs["id"] = one.id
            headings.append(one)
    for token in tokens:
        token.attrs.pop("style", None)  # alignment of columns; the page's policy allows none
        if token.children:
            token.children = _with_links_that_lead_somewhere(token.children)
    rendered: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    html = _focusable(rendered)
    return Runbook(Markup(html), tuple(headings))  # noqa: S704 - the renderer escapes all text


def _without_title(tokens: list[Token]) -> list[Token]:
    """A heading is three tokens: opening, text, closing."""
    return tokens[3:] if tokens and tokens[0].tag == "h1" else tokens


def _text_of(token: Token) -> str:
    return "".join(one.content for one in token.children or ())


def _free_id(text: str, taken: Sequence[Heading]) -> str:
    wanted = _SPACES.sub("-", _NO_WORD.sub("", text.strip().lower())) or "section"
    used = {one.id for one in taken}
    names = (wanted if number == 0 else f"{wanted}-{number}" for number in count())
    return next(name for name in names if name not in used)


def _with_links_that_lead_somewhere(children: list[Token]) -> list[Token]:
    """Links have no links within, so the next end belongs to the last beginning."""
    kept, dropped = [], False
    for child in children:
        if child.type == "link_open":
            dropped = _HERE.match(str(child.attrs.get("href", ""))) is None
        if not (dropped and child.type in {"link_open", "link_close"}):
            kept.append(child)
    return kept


def _focusable(html: str) -> str:
    """What scrolls sideways can be reached by keyboard."""
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace("<table>", '<div class="wide" tabindex="0"><table>')
    return html.replace("</table>", "</table></div>")
