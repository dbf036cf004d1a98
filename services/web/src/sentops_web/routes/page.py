"""The page: one address, plain forms that work without script, and the same parts as fragments with it."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from sentops_core.domain.errors import NotFound, PlatformError
from sentops_core.http import i18n
from sentops_core.http.errors import status_of
from sentops_web.answering import readable
from sentops_web.deps import Parts, PartsOf
from sentops_web.explain import explain
from sentops_web.i18n import TABLES
from sentops_web.identity import Client, identify_visitor, set_cookie
from sentops_web.pages import Pages
from sentops_web.view import (
    AnswerView,
    WhyView,
    answer_view,
    history_view,
    problem_sentence,
    script_words,
    training_view,
    why_view,
)

router = APIRouter(include_in_schema=False)

_SHOWN = 20


class Visit:
    """One request of the page: who, in which language, and whether a script asks for a fragment."""

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

    def part(self, template: str, *, status: int = 200, **values: object) -> Response:
        html = self.pages.render(template, words=self.words, **values)
        return self.finish(HTMLResponse(html, status))

    def see(self, **query: str) -> Response:
        """After a plain form: load the page anew, so that reloading it sends nothing twice."""
        return self.finish(RedirectResponse(f"/?{urlencode(query)}", 303))

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

    async def found(self, prediction_id: str) -> AnswerView:
        parts = self.parts
        found = await parts.lookup.find(
            parts.signer.open_prediction_id(prediction_id), self.client.key
        )
        if found is None:
            raise NotFound("This prediction is not kept any more.")
        return answer_view(
            found.row, found.vote, client=self.client.key, words=self.words, signer=parts.signer
        )

    async def whole(
        self,
        *,
        answer: AnswerView | None = None,
        why: WhyView | None = None,
        error: PlatformError | None = None,
        text: str = "",
    ) -> Response:
        parts = self.parts
        history = await parts.lookup.history(self.client.key, _SHOWN)
        return self.part(
            "page.html",
            status=200 if error is None else status_of(error),
            languages=i18n.LANGUAGES,
            script_words=script_words(self.words, parts.answering.labels),
            training=training_view(await parts.status.look(), self.words),
            history=history_view(history, parts.signer),
            max_text=parts.answering.limits.text_characters,
            text=text,
            answer=answer,
            why=why,
            problem=None if error is None else problem_sentence(error, self.words),
        )

    async def problem(self, error: PlatformError, *, text: str = "") -> Response:
        if self.fragment:
            sentence = problem_sentence(error, self.words)
            return self.part("problem.html", status=status_of(error), problem=sentence)
        return await self.whole(error=error, text=text)


@router.get("/")
@router.get("/static/index")
async def page(request: Request, parts: PartsOf, p: str | None = None) -> Response:
    visit = Visit(request, parts)
    if p is None:
        return await visit.whole()
    try:
        return await visit.whole(answer=await visit.found(p))
    except PlatformError as error:
        return await visit.whole(error=error)


@router.post("/ask")
async def ask(request: Request, parts: PartsOf, text: Annotated[str, Form()] = "") -> Response:
    visit = Visit(request, parts)
    try:
        clean = readable(text, parts.answering.limits)
        parts.spend_texts(visit.client, 1)
        (row,) = await parts.answering.answer([clean], visit.client.key)
    except PlatformError as error:
        return await visit.problem(error, text=text)
    if not visit.fragment:
        return visit.see(p=parts.signer.prediction_id(row.id))
    view = answer_view(row, None, client=visit.client.key, words=visit.words, signer=parts.signer)
    return visit.part("answer.html", answer=view, why=None)


@router.post("/correct")
async def correct(
    request: Request,
    parts: PartsOf,
    prediction_id: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    visit = Visit(request, parts)
    try:
        prediction = parts.signer.open_prediction_id(prediction_id)
        parts.spend_vote(visit.client)
        await parts.voting.vote(prediction, label, note, client=visit.client.key, source="web")
        if not visit.fragment:
            return visit.see(p=prediction_id)
        return visit.part("answer.html", answer=await visit.found(prediction_id), why=None)
    except PlatformError as error:
        return await visit.problem(error)


@router.post("/why")
async def why(
    request: Request, parts: PartsOf, prediction_id: Annotated[str, Form()] = ""
) -> Response:
    visit = Visit(request, parts)
    try:
        answer = await visit.found(prediction_id)
        if answer.text is None:
            raise NotFound("Its text is not kept any more, so its words cannot be looked at.")
        parts.spend_texts(visit.client, min(len(answer.text.split()) + 1, 100))
        found = await explain(
            answer.text,
            lambda texts: parts.answering.ask(texts, visit.client.key),
            budget_seconds=parts.settings.explain_budget_seconds,
        )
    except PlatformError as error:
        return await visit.problem(error)
    view = why_view(found, visit.words)
    if visit.fragment:
        return visit.part("why.html", why=view)
    return await visit.whole(answer=answer, why=view)


@router.get("/parts/history")
async def history_part(request: Request, parts: PartsOf) -> Response:
    visit = Visit(request, parts)
    found = await parts.lookup.history(visit.client.key, _SHOWN)
    return visit.part("history.html", history=history_view(found, parts.signer))


@router.get("/parts/training")
async def training_part(request: Request, parts: PartsOf) -> Response:
    visit = Visit(request, parts)
    view = training_view(await parts.status.look(), visit.words)
    return visit.part("training.html", training=view)
