"""The labelling queue for programs: what its pages do."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sentops_backoffice import labelling
from sentops_backoffice.access import Actor, ActorDep, needs
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.labelling_figures import agreement
from sentops_backoffice.labelling_views import ItemView, Look, item_view
from sentops_backoffice.own_votes import BeforeOwn, own_vote_after, own_vote_of
from sentops_core.domain.base import Body, Label, Moment
from sentops_core.domain.labelling import Reason, State
from sentops_core.domain.quality import Accuracy
from sentops_core.store.labelling import ItemRow, Labelling, LabellingSettings, VoteRow
from sentops_core.store.labelling_figures import LabellingFigures
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/api/queue", tags=["labelling"])

_LAST_ID = 2**63 - 1
ItemId = Annotated[int, Path(ge=1, le=_LAST_ID, examples=[12])]
Before = Annotated[int | None, Query(ge=1, le=_LAST_ID, description="The last id already seen.")]
Limit = Annotated[int, Query(ge=1, le=100)]


class Opinion(Body):
    """`label` is null for a skip."""

    annotator: str
    label: str | None
    note: str | None
    voted_at: Moment


class ModelSaid(Body):
    label: str
    score: float | None
    version: str | None
    candidate_label: str | None = Field(description="Of a candidate in the shadow.")
    candidate_version: str | None


class Item(Body):
    """A text as the asking one may see it; what is hidden from them is null or empty.

    The model's answer is hidden until they have answered, or until the text is settled.
    """

    id: int
    look: Look
    text: str | None
    language: str | None
    until: Moment | None = Field(description="When their turn ends.")
    own: Opinion | None
    model: ModelSaid | None
    reason: Reason | None
    opinions: list[Opinion]
    state: State | None
    label: str | None
    decided_by: str | None
    decided_at: Moment | None
    gold_label: str | None


class Next(Body):
    item: Item | None = Field(description="Null when nothing waits for you.")
    labels: list[str]


class LabelBody(Body):
    label: str = Field(max_length=40, examples=["negative"])
    note: str = Field(default="", max_length=labelling.LONGEST_NOTE)
    change: bool = Field(default=False, description="Replace one's own earlier label.")


class Noted(Body):
    """What became of the answer; it is kept in every case."""

    noted: labelling.Noted
    item: Item


class DecisionBody(Body):
    label: Label | None = Field(description="Null drops the text: no label fits.")
    seen: State | None = Field(
        default=None,
        description="The state the decision was made on: if it has changed, nothing is overwritten.",
    )


class GoldBody(Body):
    label: str = Field(max_length=40, examples=["positive"])


class GoldTextBody(GoldBody):
    text: str = Field(max_length=labelling.LONGEST_TEXT, examples=["Perfetto, lo ricomprerei."])


class SettingsBody(Body):
    opinions: int = Field(ge=1, le=5, description="Annotators per text.")
    random_share: float = Field(ge=0, le=1)
    gold_share: float = Field(ge=0, le=0.5)
    claim_minutes: int = Field(ge=1, le=1440)


class QueueItem(Body):
    """A text as admins list it."""

    id: int
    text: str | None
    language: str | None
    reason: Reason
    drawn: bool = Field(description="Of the random share.")
    state: State
    opinions: int
    label: str | None
    decided_by: str | None
    gold_label: str | None
    created_at: Moment


class QueueItems(Body):
    items: list[QueueItem]
    next: int | None = Field(description="Give it back as `before` for the next page.")


class Contested(Body):
    id: int
    text: str | None
    language: str | None
    opinions: list[Opinion]


class ContestedItems(Body):
    items: list[Contested]
    next: int | None = Field(description="Give it back as `before` for the next page.")


class OwnAnswer(Body):
    item: int
    label: str | None = Field(description="Null: skipped.")
    note: str | None
    voted_at: Moment
    text: str | None
    model_label: str | None


class OwnAnswers(Body):
    answers: list[OwnAnswer]
    next: str | None = Field(description="Give it back as `before` for the next page.")


class ProgressBody(Body):
    open: int
    begun: int = Field(description="Open, with a first opinion.")
    contested: int
    done: int
    dropped: int
    reasons: dict[str, int]
    labels: int
    labels_today: int


class Share(Body):
    """With its 95 % interval."""

    value: float
    low: float
    high: float
    samples: int


class AnnotatorLine(Body):
    annotator: str
    labels: int
    skips: int
    gold: Share | None = Field(description="Accuracy on texts whose label is known.")
    last_at: Moment


class PairLine(Body):
    first: str
    second: str
    texts: int
    same: int


class VersionLine(Body):
    model_version: str
    accuracy: Share


class AgreementBody(Body):
    alpha: float | None = Field(description="Krippendorff's, nominal; null: nothing to compare.")
    texts: int
    annotators: list[AnnotatorLine]
    pairs: list[PairLine]
    random_share: list[VersionLine] = Field(description="How right versions are in general.")


_ITEM_EXAMPLE: dict[str, Any] = {
    "id": 12,
    "look": "label",
    "text": "Spedizione lenta, ma il prodotto va bene.",
    "language": "it",
    "until": "2026-11-21T12:15:00Z",
    "own": None,
    "model": None,
    "reason": None,
    "opinions": [],
    "state": None,
    "label": None,
    "decided_by": None,
    "decided_at": None,
    "gold_label": None,
}
_ANSWERED = _ITEM_EXAMPLE | {
    "look": "own",
    "until": None,
    "own": {
        "annotator": "bruno",
        "label": "neutral",
        "note": None,
        "voted_at": "2026-11-21T12:01:00Z",
    },
    "model": {
        "label": "negative",
        "score": 0.48,
        "version": "sentiment-v3",
        "candidate_label": None,
        "candidate_version": None,
    },
    "reason": "uncertain",
}


def _example(content: object) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": content}}}}


@router.post(
    "/next",
    summary="Take the next text",
    responses=_example({"item": _ITEM_EXAMPLE, "labels": ["negative", "neutral", "positive"]}),
)
@needs(Role.ANNOTATOR)
async def post_next(connection: Connection, actor: ActorDep) -> Next:
    """It is yours for a while; asked again before you answer, it is the same text."""
    item = await labelling.next_item(connection, actor.name, now=datetime.now(UTC))
    labels = await labelling.labels_in_use(connection)
    shown = await _shown(connection, item.id, actor) if item else None
    return Next(item=shown, labels=list(labels))


@router.get("/items/{item_id}", summary="One text", responses=_example(_ITEM_EXAMPLE))
async def get_item(item_id: ItemId, connection: Connection, actor: ActorDep) -> Item:
    return await _shown(connection, item_id, actor)


@router.post(
    "/items/{item_id}/label",
    summary="Label a text",
    responses=_example({"noted": "kept", "item": _ANSWERED}),
)
@needs(Role.ANNOTATOR)
async def post_label(
    item_id: ItemId, body: LabelBody, connection: Connection, actor: ActorDep
) -> Noted:
    """409 `said_otherwise` when you labelled it differently before: send `change` to replace that."""
    done = await labelling.give_label(
        connection,
        item_id,
        actor.name,
        body.label,
        now=datetime.now(UTC),
        note=body.note,
        change=body.change,
    )
    return Noted(noted=done.noted, item=await _shown(connection, item_id, actor))


@router.post("/items/{item_id}/skip", summary="Leave a text to others")
@needs(Role.ANNOTATOR)
async def post_skip(item_id: ItemId, connection: Connection, actor: ActorDep) -> Item:
    await labelling.skip(connection, item_id, actor.name, now=datetime.now(UTC))
    return await _shown(connection, item_id, actor)


@router.post("/undo", summary="Take one's last answer back", responses=_example(_ITEM_EXAMPLE))
@needs(Role.ANNOTATOR)
async def post_undo(connection: Connection, actor: ActorDep) -> Item:
    """The text is yours again; asked once more, the answer before that one is taken back."""
    item = await labelling.undo(connection, actor.name, now=datetime.now(UTC))
    return await _shown(connection, item.id, actor)


@router.get("/mine", summary="One's own answers, newest first")
async def get_mine(
    connection: Connection, actor: ActorDep, before: BeforeOwn = "", limit: Limit = 100
) -> OwnAnswers:
    votes = await Labelling(connection).own_votes(
        actor.name, before=own_vote_of(before), limit=limit
    )
    answers = [
        OwnAnswer(
            item=vote.item,
            label=vote.label,
            note=vote.note,
            voted_at=vote.voted_at,
            text=vote.text,
            model_label=vote.predicted_label,
        )
        for vote in votes
    ]
    return OwnAnswers(answers=answers, next=own_vote_after(votes, limit))


@router.get("/adjudication", summary="Texts that people label differently")
async def get_adjudication(
    connection: Connection, before: Before = None, limit: Limit = 50
) -> ContestedItems:
    store = Labelling(connection)
    rows = await store.in_state(State.CONTESTED, before=before, limit=limit)
    items = [
        Contested(
            id=row.id,
            text=row.text,
            language=row.language,
            opinions=[_opinion(vote) for vote in await store.votes(row.id)],
        )
        for row in rows
    ]
    return ContestedItems(items=items, next=rows[-1].id if len(rows) == limit else None)


@router.post("/items/{item_id}/decide", summary="Settle a text that people label differently")
@needs(Role.ANNOTATOR)
async def post_decide(
    item_id: ItemId, body: DecisionBody, connection: Connection, actor: ActorDep
) -> Item:
    """By somebody who has not labelled it, or by an admin, who may also decide again."""
    await labelling.decide(
        connection,
        item_id,
        actor.name,
        body.label,
        admin=actor.may("admin"),
        now=datetime.now(UTC),
        seen=body.seen,
    )
    return await _shown(connection, item_id, actor)


@router.get("/items", summary="Texts by state, newest first")
@needs(Role.ADMIN)
async def get_items(
    connection: Connection,
    state: Annotated[
        Literal["open", "contested", "done", "dropped", "expired", "gold"], Query()
    ] = "open",
    before: Before = None,
    limit: Limit = 100,
) -> QueueItems:
    store = Labelling(connection)
    if state == "gold":
        rows = await store.gold(before=before, limit=limit)
    else:
        rows = await store.in_state(State(state), before=before, limit=limit)
    return QueueItems(
        items=[_listed(row) for row in rows], next=rows[-1].id if len(rows) == limit else None
    )


@router.post("/gold", status_code=201, summary="Write a text whose label is known")
async def post_gold(
    body: GoldTextBody, parts: PartsDep, connection: Connection, actor: ActorDep
) -> QueueItem:
    made = await labelling.write_gold(
        connection,
        body.text,
        body.label,
        actor.name,
        detect_language=parts.detect_language,
        now=datetime.now(UTC),
    )
    return _listed(made)


@router.put("/items/{item_id}/gold", summary="Mark a text whose label is known")
async def put_gold(
    item_id: ItemId, body: GoldBody, connection: Connection, actor: ActorDep
) -> QueueItem:
    """Annotators who have not seen it get it blind, and are measured by it."""
    return _listed(
        await labelling.mark_gold(
            connection, item_id, body.label, actor.name, now=datetime.now(UTC)
        )
    )


@router.delete("/items/{item_id}/gold", summary="Take the mark away")
async def delete_gold(item_id: ItemId, connection: Connection, actor: ActorDep) -> QueueItem:
    return _listed(await labelling.unmark_gold(connection, item_id, actor.name))


@router.get("/progress", summary="How far the labelling is")
async def get_progress(connection: Connection) -> ProgressBody:
    progress = await LabellingFigures(connection).progress(today=labelling.today(datetime.now(UTC)))
    known = {name: getattr(progress, name) for name in ProgressBody.model_fields}
    return ProgressBody(**known)


@router.get("/agreement", summary="How far annotators agree, and how right they are on gold")
async def get_agreement(connection: Connection) -> AgreementBody:
    found = await agreement(connection)
    return AgreementBody(
        alpha=found.alpha,
        texts=found.texts,
        annotators=[
            AnnotatorLine(
                annotator=one.figures.annotator,
                labels=one.figures.labels,
                skips=one.figures.skips,
                gold=_share(one.gold),
                last_at=one.figures.last_at,
            )
            for one in found.annotators
        ],
        pairs=[PairLine(**vars(pair)) for pair in found.pairs],
        random_share=[
            VersionLine(model_version=one.model_version, accuracy=Share(**vars(one.accuracy)))
            for one in found.drawn
        ],
    )


@router.get("/settings", summary="How the queue works")
async def get_settings(connection: Connection) -> SettingsBody:
    return SettingsBody(**vars(await Labelling(connection).settings()))


@router.put("/settings", summary="Change how the queue works")
async def put_settings(body: SettingsBody, connection: Connection, actor: ActorDep) -> SettingsBody:
    """Fewer opinions than before finish the texts that have them."""
    wanted = LabellingSettings(**body.model_dump())
    await labelling.change_settings(connection, wanted, actor.name, now=datetime.now(UTC))
    return body


async def _shown(connection: StoreConnection, item_id: int, actor: Actor) -> Item:
    return _item(await item_view(connection, item_id, actor))


def _item(view: ItemView) -> Item:
    return Item(
        id=view.id,
        look=view.look,
        text=view.text,
        language=view.language,
        until=view.until,
        own=_opinion(view.own) if view.own else None,
        model=ModelSaid(**vars(view.model)) if view.model else None,
        reason=view.reason,
        opinions=[_opinion(vote) for vote in view.votes],
        state=view.state,
        label=view.label,
        decided_by=view.decided_by,
        decided_at=view.decided_at,
        gold_label=view.gold_label,
    )


def _opinion(vote: VoteRow) -> Opinion:
    return Opinion(
        annotator=vote.annotator, label=vote.label, note=vote.note, voted_at=vote.voted_at
    )


def _listed(row: ItemRow) -> QueueItem:
    return QueueItem(**{name: getattr(row, name) for name in QueueItem.model_fields})


def _share(accuracy: Accuracy | None) -> Share | None:
    return Share(**vars(accuracy)) if accuracy else None
