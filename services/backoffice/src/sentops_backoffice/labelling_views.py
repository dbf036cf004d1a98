"""What of a text in the queue somebody may see: the blind rule, in one place for pages and API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sentops_backoffice.access import Actor
from sentops_core.domain.labelling import Reason, State
from sentops_core.store.labelling import ItemRow, Labelling, VoteRow
from sentops_core.store.pool import Connection


class Look(StrEnum):
    LABEL = "label"  # it is theirs: the text alone
    DECIDE = "decide"  # with what annotators said, without what the model said
    OWN = "own"  # they have labelled or skipped it: now the model's answer too
    ALL = "all"  # an admin's
    CLOSED = "closed"


@dataclass(frozen=True)
class ModelAnswer:
    label: str
    score: float | None
    version: str | None
    candidate_label: str | None
    candidate_version: str | None


@dataclass(frozen=True)
class ItemView:
    """Only what may be shown is filled in; the rest is None or empty."""

    id: int
    look: Look
    text: str | None = None
    language: str | None = None
    until: datetime | None = None
    own: VoteRow | None = None
    model: ModelAnswer | None = None
    reason: Reason | None = None
    votes: tuple[VoteRow, ...] = ()
    state: State | None = None
    label: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    gold_label: str | None = None
    drawn: bool | None = None
    created_at: datetime | None = None


async def item_view(connection: Connection, item_id: int, actor: Actor) -> ItemView:
    store = Labelling(connection)
    item = await store.item(item_id)
    return view_of(
        item,
        await store.votes(item_id),
        name=actor.name,
        annotator=actor.may("annotator"),
        admin=actor.may("admin"),
        until=await store.claimed_until(item_id, actor.name),
    )


def view_of(
    item: ItemRow,
    votes: Sequence[VoteRow],
    *,
    name: str,
    annotator: bool,
    admin: bool,
    until: datetime | None,
) -> ItemView:
    """The model's answer is out of sight until one has answered oneself, or until it can sway nobody any more.

    For the same reason nobody but an admin sees whether a text is gold, and its state would tell.
    """
    own = next((vote for vote in votes if vote.annotator == name), None)
    if annotator and until is not None and own is None and item.text is not None:
        return ItemView(item.id, Look.LABEL, item.text, item.language, until)
    judges = admin or (annotator and (own is None or own.label is None))
    if item.state is State.CONTESTED and judges:
        return ItemView(
            item.id,
            Look.DECIDE,
            item.text,
            item.language,
            own=own,
            votes=tuple(votes),
            state=item.state,
            gold_label=item.gold_label if admin else None,
            created_at=item.created_at,
        )
    if admin:
        settled = item.state not in {State.OPEN, State.CONTESTED}
        seen = settled or own is not None
        return ItemView(
            item.id,
            Look.ALL,
            item.text,
            item.language,
            own=own,
            model=_model(item) if seen else None,
            reason=item.reason if seen else None,
            votes=tuple(votes),
            state=item.state,
            label=item.label,
            decided_by=item.decided_by,
            decided_at=item.decided_at,
            gold_label=item.gold_label,
            drawn=item.drawn,
            created_at=item.created_at,
        )
    if own is not None:
        told = None if item.reason is Reason.GIVEN else item.reason
        return ItemView(
            item.id,
            Look.OWN,
            item.text,
            item.language,
            own=own,
            model=_model(item),
            reason=told,
        )
    return ItemView(item.id, Look.CLOSED)


def _model(item: ItemRow) -> ModelAnswer | None:
    if item.predicted_label is None:
        return None
    return ModelAnswer(
        item.predicted_label,
        item.predicted_score,
        item.model_version,
        item.candidate_label,
        item.candidate_version,
    )
