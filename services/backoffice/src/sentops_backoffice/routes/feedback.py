"""The feedback inbox: votes to accept, refuse or set right, and the sources they come from."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sentops_backoffice import reviewing
from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.inbox_query import InboxQuery, cursor_of, text_of
from sentops_backoffice.labelling import labels_in_use
from sentops_backoffice.page import PageDep
from sentops_backoffice.sentences import said
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.trust import suspicions
from sentops_core.store.feedback_inbox import COUNTED_VOTES, FeedbackInbox, Review
from sentops_core.store.quarantine import Quarantine
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/feedback", tags=["pages"], include_in_schema=False)

FEEDBACK = "/backoffice/feedback"
_ROWS = 50
KindQuery = Annotated[Literal["client", "source"], Query()]
NameQuery = Annotated[str, Query(min_length=1, max_length=300)]


@router.get("", summary="Votes, newest first")
async def get_feedback(
    page: PageDep, connection: Connection, query: Annotated[InboxQuery, Query()]
) -> Response:
    inbox = FeedbackInbox(connection)
    found = await inbox.page(query.filter(), before=cursor_of(query.before), limit=_ROWS)
    return page.render(
        "feedback.html",
        current="feedback",
        rows=found.rows,
        query=query,
        kept=query.kept(),
        older=text_of(found.older),
        counts=await inbox.counts(),
        counted=COUNTED_VOTES,
        labels=await labels_in_use(connection),
        versions=await inbox.versions(),
        sources=await inbox.sources(),
        reviews=list(Review),
    )


@router.post("/review", summary="Accept, refuse or set right one vote or many")
@needs(Role.ANNOTATOR)
async def post_review(
    request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    """`one` is a button of a row, `<action>:<vote>`; else `action` is for every `vote` that is ticked."""
    form = await read_form(request)
    fields = text_fields(form)
    if one := fields.get("one", ""):
        action, _, vote = one.partition(":")
        votes, label = [vote], action.removeprefix("corrected-")
        action = "corrected" if action.startswith("corrected-") else action
    else:
        action, label = fields.get("action", ""), fields.get("label", "")
        votes = [str(value) for value in form.getlist("vote")]
    if action not in set(Review):
        raise said(InvalidInput("Choose what to do with the votes."), "feedback.problem.action")
    decided = await reviewing.review(
        connection,
        [_vote(text) for text in votes],
        Review(action),
        label=label,
        actor=actor.name,
        now=datetime.now(UTC),
    )
    back = InboxQuery.parse(fields.get("back", ""))
    done = "feedback_some_replaced" if decided.replaced else f"feedback_{action}"
    return page.see(FEEDBACK, done=done, **back.kept())


@router.get("/sources", summary="Where votes come from, and how they fit")
async def get_sources(page: PageDep, connection: Connection) -> Response:
    found = await reviewing.sources(connection, now=datetime.now(UTC))
    return page.render(
        "feedback_sources.html",
        current="feedback",
        found=found,
        held={f"{one.kind}:{one.name}" for one in found.quarantined},
        suspicions=suspicions,
        days=reviewing.WINDOW.days,
        newest=reviewing.NEWEST_VOTES,
    )


@router.get("/quarantine", summary="What a quarantine will do, or its end")
@needs(Role.ADMIN)
async def get_quarantine(
    page: PageDep, connection: Connection, kind: KindQuery, name: NameQuery
) -> Response:
    quarantined = [
        one for one in await Quarantine(connection).newest() if (one.kind, one.name) == (kind, name)
    ]
    figures = await reviewing.figures_of(connection, kind, name, now=datetime.now(UTC))
    return page.render(
        "feedback_quarantine.html",
        current="feedback",
        kind=kind,
        name=name,
        votes=await Quarantine(connection).votes(kind, name),
        figures=figures,
        suspicions=suspicions(figures, one_client=kind == "client") if figures else (),
        quarantined=quarantined[0] if quarantined else None,
    )


@router.post("/quarantine", summary="Leave a source's votes out")
async def post_quarantine(
    request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    await reviewing.quarantine(
        connection,
        _kind(fields),
        fields.get("name", ""),
        note=fields.get("note", ""),
        actor=actor.name,
        now=datetime.now(UTC),
    )
    return page.see(f"{FEEDBACK}/sources", done="feedback_quarantined")


@router.post("/release", summary="Let a source's votes count again")
async def post_release(
    request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    await reviewing.release(connection, _kind(fields), fields.get("name", ""), actor=actor.name)
    return page.see(f"{FEEDBACK}/sources", done="feedback_released")


def _kind(fields: dict[str, str]) -> reviewing.Kind:
    kind = fields.get("kind")
    if kind == "client":
        return "client"
    if kind == "source":
        return "source"
    raise said(InvalidInput("The kind is client or source."), "feedback.problem.kind")


def _vote(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise said(InvalidInput("A vote is named by its id."), "feedback.problem.vote") from error
