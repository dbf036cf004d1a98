"""The feedback inbox for programs: what its pages do."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from sentops_backoffice import reviewing
from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection
from sentops_backoffice.inbox_query import InboxQuery, cursor_of, text_of
from sentops_core.domain.base import Body, Label, Moment
from sentops_core.domain.quality import Accuracy
from sentops_core.domain.trust import SourceFigures, Suspicion, suspicions
from sentops_core.store.feedback_inbox import COUNTED_VOTES, FeedbackInbox, InboxRow, Review
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/api/feedback", tags=["feedback"])

_ROWS = 100


class Vote(Body):
    """`text` is null once it was erased."""

    vote_id: UUID
    prediction_id: UUID
    client: str = Field(description="An opaque key.")
    source: str
    label: str
    note: str | None
    review: Review
    corrected_label: str | None
    reviewed_by: str | None
    reviewed_at: Moment | None
    voted_at: Moment
    text: str | None
    predicted_label: str
    predicted_score: float
    model_version: str
    known_label: str | None = Field(description="What the labelling queue settled for the text.")
    quarantined: bool


class Votes(Body):
    votes: list[Vote]
    next: str | None = Field(
        description="Give it back as `before` for the next page; a page can be short and not be the last."
    )


class Counts(Body):
    new: int
    accepted: int
    refused: int
    corrected: int


class ReviewBody(Body):
    votes: list[UUID] = Field(min_length=1, max_length=100, description="Their `vote_id`.")
    review: Review = Field(description="`new` takes an earlier review back.")
    label: Label | None = Field(default=None, description="What is right, with `corrected`.")


class ReviewedVotes(Body):
    done: list[UUID]
    replaced: int = Field(description="Changed by their clients meanwhile, and left alone.")


class Share(Body):
    """With its 95 % interval."""

    value: float
    low: float
    high: float
    samples: int


class SourceLine(Body):
    name: str
    votes: int
    share: float = Field(description="Of all newest votes.")
    right_on_settled: Share | None
    with_most_others: Share | None
    with_model: int
    refused: int
    last_at: Moment | None
    suspicions: list[Suspicion] = Field(description="Suggestions: a person decides.")


class QuarantinedLine(Body):
    kind: Literal["client", "source"]
    name: str
    note: str
    evidence: str
    quarantined_by: str
    quarantined_at: Moment
    votes: int


class SourcesBody(Body):
    votes: int = Field(description="How many of the newest votes were looked at.")
    sources: list[SourceLine]
    clients: list[SourceLine]
    quarantined: list[QuarantinedLine]


class SourceBody(Body):
    kind: Literal["client", "source"]
    name: str = Field(min_length=1, max_length=300, examples=["web-1f0c"])


class QuarantineBody(SourceBody):
    note: str = Field(default="", max_length=500)


class Quarantined(Body):
    votes: int = Field(description="How many votes count no more.")


class Released(Body):
    released: bool


_VOTE_EXAMPLE: dict[str, Any] = {
    "vote_id": "019342aa-0000-7000-8000-000000000001",
    "prediction_id": "019342a9-0000-7000-8000-000000000001",
    "client": "web-1f0c",
    "source": "web",
    "label": "negative",
    "note": "era ironia",
    "review": "new",
    "corrected_label": None,
    "reviewed_by": None,
    "reviewed_at": None,
    "voted_at": "2026-11-21T12:00:00Z",
    "text": "Complimenti, rotto dopo un giorno.",
    "predicted_label": "positive",
    "predicted_score": 0.91,
    "model_version": "sentiment-v3",
    "known_label": None,
    "quarantined": False,
}


def _example(content: object) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": content}}}}


@router.get(
    "",
    summary="Votes, newest first",
    responses=_example({"votes": [_VOTE_EXAMPLE], "next": None}),
)
async def get_feedback(connection: Connection, query: Annotated[InboxQuery, Query()]) -> Votes:
    found = await FeedbackInbox(connection).page(
        query.filter(), before=cursor_of(query.before), limit=_ROWS
    )
    return Votes(
        votes=[_vote(row) for row in found.rows],
        next=text_of(found.older) or None,
    )


@router.get(
    "/counts",
    summary="How many votes are new, accepted, refused, set right",
    description=f"Each up to {COUNTED_VOTES}: then there are so many, or more.",
)
async def get_counts(connection: Connection) -> Counts:
    counts = await FeedbackInbox(connection).counts()
    return Counts(**{review.value: count for review, count in counts.items()})


@router.post(
    "/review",
    summary="Accept, refuse or set right one vote or many",
    responses=_example({"done": [_VOTE_EXAMPLE["vote_id"]], "replaced": 0}),
)
@needs(Role.ANNOTATOR)
async def post_review(body: ReviewBody, connection: Connection, actor: ActorDep) -> ReviewedVotes:
    decided = await reviewing.review(
        connection,
        body.votes,
        body.review,
        label=body.label,
        actor=actor.name,
        now=datetime.now(UTC),
    )
    return ReviewedVotes(done=[one.vote_id for one in decided.done], replaced=decided.replaced)


@router.get("/sources", summary="Where votes come from, and how they fit with what is known")
async def get_sources(connection: Connection) -> SourcesBody:
    found = await reviewing.sources(connection, now=datetime.now(UTC))
    return SourcesBody(
        votes=found.votes,
        sources=[_source(name, figures, one_client=False) for name, figures in found.by_source],
        clients=[_source(name, figures) for name, figures in found.by_client],
        quarantined=[QuarantinedLine.model_validate(vars(one)) for one in found.quarantined],
    )


@router.post("/quarantine", summary="Leave a source's votes out", responses=_example({"votes": 41}))
async def post_quarantine(
    body: QuarantineBody, connection: Connection, actor: ActorDep
) -> Quarantined:
    """Old and new ones count neither in datasets nor in quality, until it is released."""
    votes = await reviewing.quarantine(
        connection,
        body.kind,
        body.name,
        note=body.note,
        actor=actor.name,
        now=datetime.now(UTC),
    )
    return Quarantined(votes=votes)


@router.post("/release", summary="Let a source's votes count again")
async def post_release(body: SourceBody, connection: Connection, actor: ActorDep) -> Released:
    await reviewing.release(connection, body.kind, body.name, actor=actor.name)
    return Released(released=True)


def _vote(row: InboxRow) -> Vote:
    return Vote(**{name: getattr(row, name) for name in Vote.model_fields})


def _source(name: str, figures: SourceFigures, *, one_client: bool = True) -> SourceLine:
    return SourceLine(
        name=name,
        votes=figures.votes,
        share=figures.share,
        right_on_settled=_share(figures.right),
        with_most_others=_share(figures.with_others),
        with_model=figures.with_model,
        refused=figures.refused,
        last_at=figures.last_at,
        suspicions=list(suspicions(figures, one_client=one_client)),
    )


def _share(accuracy: Accuracy | None) -> Share | None:
    return Share(**vars(accuracy)) if accuracy else None
