"""One request of a page: who, in which language, and whether a script asks for a fragment."""

import math
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from sentops_core.domain.errors import NotFound, PlatformError
from sentops_core.http import i18n
from sentops_core.http.errors import status_of
from sentops_web.deps import Parts
from sentops_web.i18n import TABLES
from sentops_web.identity import Client, identify_visitor, set_cookie
from sentops_web.numbers import decimal, whole
from sentops_web.pages import Pages
from sentops_web.view import (
    AnswerView,
    ProblemView,
    SimilarView,
    WhyView,
    answer_view,
    history_view,
    problem_view,
    script_words,
    similar_view,
    training_view,
)

PERMALINK = "link"  # what a form of a permalink says of where it stands
_SHOWN = 20


@dataclass(frozen=True)
class Kept:
    """What somebody wrote and must not have to write again, and a table's columns to choose from."""

    text: str = ""
    note: str = ""
    lines: str = ""
    columns: tuple[str, ...] = ()


_NOTHING_KEPT = Kept()


class Visit:
    def __init__(self, request: Request, parts: Parts) -> None:
        self.parts = parts
        # A cookie that was given over HTTPS never travels without it.
        self.secure = parts.settings.secure_cookies or request.url.scheme == "https"
        self.client: Client = identify_visitor(request, parts.signer)
        self.language = i18n.pick_language(
            request.query_params.get("lang"),
            request.cookies.get(i18n.COOKIE),
            request.headers.get("accept-language", ""),
        )
        self.chosen = request.query_params.get("lang") == self.language
        self.words = i18n.Words(self.language, TABLES)
        self.fragment = "x-fragment" in request.headers
        self.pages: Pages = request.state.pages
        self._here = _address(request)

    def part(self, template: str, *, status: int = 200, **values: object) -> Response:
        """A template with what all of them use."""
        html = self.pages.render(
            template,
            words=self.words,
            decimal=lambda value, digits=1: decimal(value, self.language, digits=digits),
            whole=lambda value: whole(value, self.language),
            **values,
        )
        return self.finish(HTMLResponse(html, status))

    def page(self, template: str, *, status: int = 200, **values: object) -> Response:
        """A whole page: head, languages and foot are the same on each."""
        return self.part(
            template,
            status=status,
            languages={code: self._in_language(code) for code in i18n.LANGUAGES},
            script_words=script_words(self.words, self.parts.answering.labels),
            **values,
        )

    def see(self, path: str = "/", **query: str) -> Response:
        """After a plain form: load the page anew, so that reloading it sends nothing twice."""
        address = f"{path}?{urlencode(query)}" if query else path
        return self.finish(RedirectResponse(address, 303))

    def finish(self, response: Response) -> Response:
        if self.client.new_cookie is not None:
            set_cookie(response, self.client.new_cookie, secure=self.secure)
        if self.chosen:
            response.set_cookie(
                i18n.COOKIE,
                self.language,
                max_age=i18n.COOKIE_SECONDS,
                samesite="lax",
                secure=self.secure,
            )
        response.headers["cache-control"] = "no-store"
        return response

    async def found(self, prediction_id: str, *, withdrawn: bool = False) -> AnswerView:
        parts = self.parts
        found = await parts.lookup.find(
            parts.signer.open_prediction_id(prediction_id), self.client.key
        )
        if found is None:
            raise NotFound("This prediction is not kept any more.")
        return answer_view(
            found.row,
            found.vote,
            client=self.client.key,
            words=self.words,
            signer=parts.signer,
            withdrawn=withdrawn,
        )

    async def similar_to(self, answer: AnswerView) -> SimilarView:
        """NotFound where the text is somebody else's: what it resembles would tell of it."""
        if answer.text is None:
            raise NotFound(
                "Its text is not kept, or not yours, so nothing can be compared with it."
            )
        self.parts.spend_texts(self.client, 1)
        return similar_view(await self.parts.similar.like(answer.text))

    async def whole(
        self,
        *,
        answer: AnswerView | None = None,
        why: WhyView | None = None,
        error: PlatformError | None = None,
        in_many: bool = False,
        kept: Kept = _NOTHING_KEPT,
    ) -> Response:
        """The page on which people ask; `in_many` says that the trouble is with the table of texts."""
        parts = self.parts
        history = await parts.lookup.history(self.client.key, _SHOWN)
        response = self.page(
            "page.html",
            status=200 if error is None else status_of(error),
            training=training_view(await parts.status.look(), self.words),
            history=history_view(history, parts.signer),
            max_text=parts.answering.limits.text_characters,
            answer=answer,
            why=why,
            similar=None,
            similar_enabled=parts.similar.enabled,
            place="",
            kept=kept,
            problem=None if error is None else problem_view(error, self.words),
            in_many=in_many,
        )
        return waiting(response, error)

    async def answer_part(self, answer: AnswerView, *, place: str) -> Response:
        return self.part(
            "answer.html",
            answer=answer,
            why=None,
            similar=None,
            similar_enabled=self.parts.similar.enabled,
            place=place,
            kept=_NOTHING_KEPT,
            problem=None,
        )

    async def problem(self, error: PlatformError, *, kept: Kept = _NOTHING_KEPT) -> Response:
        if self.fragment:
            return self.problem_part(error)
        return await self.whole(error=error, kept=kept)

    def problem_part(self, error: PlatformError) -> Response:
        view: ProblemView = problem_view(error, self.words)
        return waiting(self.part("problem.html", status=status_of(error), problem=view), error)

    def _in_language(self, code: str) -> str:
        path, query = self._here
        return f"{path}?{urlencode([*query, ('lang', code)])}"


def waiting(response: Response, error: PlatformError | None) -> Response:
    """Say to programs and proxies, too, how long to wait."""
    if error is not None and error.retry_after is not None:
        response.headers["retry-after"] = str(problem_seconds(error))
    return response


def problem_seconds(error: PlatformError) -> int:
    return 0 if error.retry_after is None else math.ceil(error.retry_after.total_seconds())


def _address(request: Request) -> tuple[str, list[tuple[str, str]]]:
    """What can be loaded again in the other language; after a form that is the page it came from, at its beginning."""
    if request.method != "GET":
        return "/", []
    query = [(name, text) for name, text in request.query_params.multi_items() if name == "p"]
    return request.url.path, query[:1]
