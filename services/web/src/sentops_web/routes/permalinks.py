"""An answer and a model version at addresses of their own, which can be sent to others."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sentops_core.domain.errors import PlatformError
from sentops_core.http.errors import status_of
from sentops_web.card_view import card_view
from sentops_web.deps import PartsOf
from sentops_web.routes.visit import PERMALINK, Kept, Visit, waiting
from sentops_web.view import AnswerView, SimilarView, WhyView, problem_view

router = APIRouter(include_in_schema=False)


@router.get("/p/{prediction_id}")
async def permalink(
    request: Request,
    parts: PartsOf,
    prediction_id: str,
    done: str | None = None,
    similar: str | None = None,
) -> Response:
    visit = Visit(request, parts)
    try:
        answer = await visit.found(prediction_id, withdrawn=done == "withdrawn")
    except PlatformError as error:
        return _trouble(visit, "answer", error)
    if similar is None or answer.text is None:
        return permalink_page(visit, answer)
    try:
        return permalink_page(visit, answer, similar=await visit.similar_to(answer))
    except PlatformError as error:
        return permalink_page(visit, answer, error=error)


def permalink_page(
    visit: Visit,
    answer: AnswerView,
    *,
    why: WhyView | None = None,
    similar: SimilarView | None = None,
    error: PlatformError | None = None,
    kept: Kept | None = None,
) -> Response:
    response = visit.page(
        "permalink.html",
        status=200 if error is None else status_of(error),
        answer=answer,
        why=why,
        similar=similar,
        similar_enabled=visit.parts.similar.enabled,
        place=PERMALINK,
        kept=kept or Kept(),
        problem=None if error is None else problem_view(error, visit.words),
    )
    return _unlisted(waiting(response, error))


@router.get("/versions/{name}")
async def version_page(request: Request, parts: PartsOf, name: str) -> Response:
    visit = Visit(request, parts)
    try:
        card = await parts.cards.card(name)
    except PlatformError as error:
        return _trouble(visit, "version", error)
    return visit.page("version.html", card=card_view(card, visit.words))


def _trouble(visit: Visit, what: str, error: PlatformError) -> Response:
    """The page that a link leads to when there is nothing to show."""
    response = visit.page(
        "trouble.html",
        status=status_of(error),
        problem=problem_view(error, visit.words, about=what),
    )
    return _unlisted(waiting(response, error))


def _unlisted(response: Response) -> Response:
    """Links to answers are for those who were given them, not for search engines."""
    response.headers["x-robots-tag"] = "noindex, nofollow"
    return response
