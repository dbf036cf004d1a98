"""What every page is made with: who asks, in which language, and what was just done."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import Actor, known_actor, set_cookie
from sentops_backoffice.deps import Parts, PartsDep
from sentops_backoffice.formats import Formats
from sentops_backoffice.words import TABLES
from sentops_core.http import i18n

# Name (the word `nav.<name>`), address below /backoffice, the least role that sees it.
MENU = (
    ("overview", "index", "viewer"),
    ("datasets", "datasets", "viewer"),
    ("queue", "queue", "viewer"),
    ("feedback", "feedback", "viewer"),
    ("training", "training", "viewer"),
    ("retraining", "retraining", "viewer"),
    ("versions", "versions", "viewer"),
    ("audit", "audit", "viewer"),
    ("settings", "users", "admin"),
)


class Page:
    """`page.render("versions.html", current="versions", versions=...)`: one answer to one person."""

    def __init__(self, request: Request, parts: Parts) -> None:
        self._request = request
        self._parts = parts
        self._asked = request.query_params.get("lang")
        self.language = i18n.pick_language(
            self._asked,
            request.cookies.get(i18n.COOKIE),
            request.headers.get("accept-language", ""),
        )
        self.words = i18n.Words(self.language, TABLES)
        self.formats = Formats(self.language)

    def render(
        self, template: str, *, status: int = 200, current: str = "", **values: Any
    ) -> Response:
        """`current` is the entry of the menu; templates also get words, formats, actor, done."""
        response = self._parts.pages.render(
            template,
            status=status,
            words=self.words,
            formats=self.formats,
            actor=self.actor,
            current=current,
            menu=MENU,
            done=self._done(),
            other_languages=self._other_languages(),
            **values,
        )
        if self._asked == self.language:
            set_cookie(
                self._request, response, i18n.COOKIE, self.language, seconds=i18n.COOKIE_SECONDS
            )
        return response

    def see(self, path: str, done: str = "", **query: str) -> Response:
        """After a form: to a page, where the word `done.<done>` is said; loading it again sends nothing twice."""
        said = {"done": done} | query if done else query
        return RedirectResponse(f"{path}?{urlencode(said)}" if said else path, 303)

    @property
    def actor(self) -> Actor | None:
        return known_actor(self._request)

    def _done(self) -> str:
        """Only sentences of ours: a link cannot put words into our mouth."""
        key = f"done.{self._request.query_params.get('done', '')}"
        return self.words(key) if self.words.knows(key) else ""

    def _other_languages(self) -> list[tuple[str, str]]:
        """(code, address of this page in it). A page that answered a form has no address to load."""
        url = self._request.url
        path = url.path if self._request.method == "GET" else "/backoffice/index"
        kept = [
            pair
            for pair in self._request.query_params.multi_items()
            if pair[0] not in {"lang", "done"} and self._request.method == "GET"
        ]
        return [
            (code, f"{path}?{urlencode([*kept, ('lang', code)])}")
            for code in i18n.LANGUAGES
            if code != self.language
        ]


def page_of(request: Request, parts: PartsDep) -> Page:
    return Page(request, parts)


PageDep = Annotated[Page, Depends(page_of)]
