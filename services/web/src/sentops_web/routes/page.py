"""The page: one address, plain forms that work without script, and the same parts as fragments with it."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from sentops_core.domain.errors import NotFound, PlatformError
from sentops_web.answering import readable
from sentops_web.deps import PartsOf
from sentops_web.explain import explain
from sentops_web.routes.permalinks import permalink_page
from sentops_web.routes.visit import PERMALINK, Kept, Visit
from sentops_web.view import answer_view, history_view, training_view, why_view

router = APIRouter(include_in_schema=False)

_SHOWN = 20


@router.get("/")
@router.get("/static/index")
async def page(
    request: Request, parts: PartsOf, p: str | None = None, done: str | None = None
) -> Response:
    visit = Visit(request, parts)
    if p is None:
        return await visit.whole()
    try:
        return await visit.whole(answer=await visit.found(p, withdrawn=done == "withdrawn"))
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
        return await visit.problem(error, kept=Kept(text=text))
    if not visit.fragment:
        return visit.see(p=parts.signer.prediction_id(row.id))
    view = answer_view(row, None, client=visit.client.key, words=visit.words, signer=parts.signer)
    return await visit.answer_part(view, place="")


@router.post("/correct")
async def correct(
    request: Request,
    parts: PartsOf,
    prediction_id: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    place: Annotated[str, Form()] = "",
) -> Response:
    visit = Visit(request, parts)
    try:
        prediction = parts.signer.open_prediction_id(prediction_id)
        parts.spend_vote(visit.client)
        await parts.voting.vote(prediction, label, note, client=visit.client.key, source="web")
        return await _after_vote(visit, prediction_id, place)
    except PlatformError as error:
        return await _vote_problem(visit, prediction_id, error, place, Kept(note=note))


@router.post("/withdraw")
async def withdraw(
    request: Request,
    parts: PartsOf,
    prediction_id: Annotated[str, Form()] = "",
    place: Annotated[str, Form()] = "",
) -> Response:
    visit = Visit(request, parts)
    try:
        prediction = parts.signer.open_prediction_id(prediction_id)
        parts.spend_vote(visit.client)
        await parts.voting.withdraw(prediction, client=visit.client.key)
        return await _after_vote(visit, prediction_id, place, withdrawn=True)
    except PlatformError as error:
        return await _vote_problem(visit, prediction_id, error, place, Kept())


async def _after_vote(
    visit: Visit, prediction_id: str, place: str, *, withdrawn: bool = False
) -> Response:
    if visit.fragment:
        answer = await visit.found(prediction_id, withdrawn=withdrawn)
        return await visit.answer_part(answer, place=place)
    done = {"done": "withdrawn"} if withdrawn else {}
    if place == PERMALINK:
        return visit.see(f"/p/{prediction_id}", **done)
    return visit.see(p=prediction_id, **done)


async def _vote_problem(
    visit: Visit, prediction_id: str, error: PlatformError, place: str, kept: Kept
) -> Response:
    """Beside the answer that was voted on, where it can still be shown."""
    if visit.fragment:
        return visit.problem_part(error)
    try:
        answer = await visit.found(prediction_id)
    except PlatformError:
        return await visit.whole(error=error)
    if place == PERMALINK:
        return permalink_page(visit, answer, error=error, kept=kept)
    return await visit.whole(answer=answer, error=error, kept=kept)


@router.post("/why")
async def why(
    request: Request,
    parts: PartsOf,
    prediction_id: Annotated[str, Form()] = "",
    place: Annotated[str, Form()] = "",
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
    if place == PERMALINK:
        return permalink_page(visit, answer, why=view)
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


@router.get("/parts/similar")
async def similar_part(request: Request, parts: PartsOf, p: str = "") -> Response:
    """What a page loads once the answer is there."""
    visit = Visit(request, parts)
    try:
        similar = await visit.similar_to(await visit.found(p))
    except PlatformError as error:
        return visit.problem_part(error)
    return visit.part("similar.html", similar=similar)
