"""The labelling queue at work: who gets which text, what becomes of what they say. Pages and API share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sentops_backoffice.sentences import said
from sentops_core.domain.errors import Conflict, InvalidInput
from sentops_core.domain.labelling import (
    Lane,
    Outcome,
    Reason,
    Signals,
    State,
    fallbacks,
    in_order,
    in_random_share,
    lane_of,
    outcome,
    reason_of,
    worth,
)
from sentops_core.domain.resources import DEFAULT_LABELS
from sentops_core.domain.text import content_hash, normalise
from sentops_core.language import DetectLanguage
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import Datasets
from sentops_core.store.labelling import ItemRow, Labelling, LabellingSettings, VoteRow
from sentops_core.store.labelling_feed import FoundText, LabellingFeed, NewItem
from sentops_core.store.pool import Connection

LONGEST_NOTE = 500
LONGEST_TEXT = 10_000
FILL_EVERY = timedelta(seconds=20)
_WINDOW = timedelta(days=28)
_ENOUGH_FRESH = 200
_ENOUGH_DRAWN = 50
_NEWEST = 1000  # answers in the shadow, and votes, that one look goes through
_TRIES = 5


class SaidOtherwise(Conflict):
    """The same annotator has labelled the text differently before."""

    code = "said_otherwise"


class DecidedMeanwhile(Conflict):
    code = "decided_meanwhile"


class TextGone(Conflict):
    code = "text_gone"


class NothingToUndo(Conflict):
    code = "nothing_to_undo"


class NotYours(Conflict):
    code = "not_yours_to_decide"


class UnknownLabel(InvalidInput):
    code = "unknown_label"


class Noted(StrEnum):
    """What became of an answer; the first is also said of gold, which must not give itself away."""

    KEPT = "kept"
    SAME_AGAIN = "same_again"  # sent twice
    CONFLICT = "conflict"  # somebody else said otherwise: it goes to adjudication
    LATE_SAME = "late_same"  # somebody else was given it meanwhile, and said the same
    LATE_CONFLICT = "late_conflict"
    LATE_DECIDED = "late_decided"  # somebody has decided about it meanwhile


@dataclass(frozen=True)
class Labelled:
    item: ItemRow
    noted: Noted


def unknown_label(label: str, labels: Sequence[str]) -> UnknownLabel:
    known = ", ".join(labels)
    error = UnknownLabel(
        f"'{label[:40]}' is not a label; use one of: {known}.", details={"labels": list(labels)}
    )
    return said(error, "queue.problem.unknown_label", label=label[:40], labels=known)


def audit_name(item_id: int) -> str:
    """The subject of an item's lines in the audit log."""
    return f"labelling-item-{item_id}"


async def labels_in_use(connection: Connection) -> tuple[str, ...]:
    """Those of the newest dataset version; their order is that of the keys."""
    latest = await Datasets(connection).latest()
    return tuple(latest.labels) if latest and latest.labels else DEFAULT_LABELS


async def fill(connection: Connection, *, now: datetime, every: timedelta = FILL_EVERY) -> int:
    """Look for texts worth a label, unless that was done a moment ago. How many came or rose."""
    feed = LabellingFeed(connection)
    if not await feed.begin(now, every=every):
        return 0
    since = now - _WINDOW
    await feed.drop_stale(since, now)
    fresh, drawn = await feed.fresh()
    found = await feed.disagreements(since, _NEWEST)
    found += await feed.contested(since, _NEWEST)
    if fresh < _ENOUGH_FRESH:
        found += await feed.uncertain(since, 2 * _ENOUGH_FRESH)
    added = await feed.add(_valued(found))
    if drawn < _ENOUGH_DRAWN:
        chosen = await feed.drawn(since, 2 * _ENOUGH_DRAWN)
        added += await feed.add([_drawn(one) for one in chosen])
    return added


def _valued(found: Sequence[FoundText]) -> list[NewItem]:
    """One item per text, with every reason that was found for it; the random share is none of it."""
    grouped: dict[bytes, list[FoundText]] = {}
    for one in found:
        if not in_random_share(one.text_hash):
            grouped.setdefault(one.text_hash, []).append(one)
    items = []
    for same in grouped.values():
        shown = next((one for one in same if one.candidate_label), same[0])
        signals = Signals(
            scores=shown.scores,
            candidate_disagrees=shown.candidate_label is not None,
            votes_for=sum(one.votes_for for one in same),
            votes_against=sum(one.votes_against for one in same),
        )
        items.append(NewItem(shown, reason_of(signals), worth(signals), drawn=False))
    return items


def _drawn(found: FoundText) -> NewItem:
    return NewItem(found, Reason.RANDOM, worth(Signals(found.scores)), drawn=True)


async def next_item(connection: Connection, annotator: str, *, now: datetime) -> ItemRow | None:
    """The text this annotator should label now: theirs until the time limit. None: nothing waits for them."""
    store = Labelling(connection)
    await fill(connection, now=now)
    settings = await store.settings()
    until = now + timedelta(minutes=settings.claim_minutes)
    if (held := await store.held(annotator, now=now)) is not None:
        await store.hold(held, annotator, until=until)
        return await store.item(held)
    wish = lane_of(
        annotator,
        await store.turns(annotator),
        drawn_share=settings.random_share,
        gold_share=settings.gold_share,
    )
    for _ in range(_TRIES):
        seen = False
        for lane in fallbacks(wish):
            waiting = await store.waiting(
                lane, annotator, wanted=settings.opinions, now=now, limit=10
            )
            # By value in one lane alone: elsewhere it would make the choice unfair.
            for candidate in in_order(waiting) if lane is Lane.VALUE else waiting:
                seen = True
                await store.locked(candidate.id)
                if await store.claim(
                    candidate.id, annotator, until=until, now=now, wanted=settings.opinions
                ):
                    return await store.item(candidate.id)
        if not seen:  # otherwise others were quicker at each of them: look again
            return None
    return None


async def give_label(
    connection: Connection,
    item_id: int,
    annotator: str,
    label: str,
    *,
    now: datetime,
    note: str = "",
    change: bool = False,
) -> Labelled:
    """Keep what an annotator says, whoever else spoke meanwhile; nothing is lost, and the answer says what it met.

    `change` replaces one's own earlier label; without it that is refused.
    """
    store = Labelling(connection)
    item = await store.locked(item_id)
    if item.text is None:
        raise said(
            TextGone("This text was erased meanwhile: there is nothing left to label."),
            "queue.problem.text_gone",
        )
    labels = await labels_in_use(connection)
    if label not in labels:
        raise unknown_label(label, labels)
    kept_note = normalise(note)[:LONGEST_NOTE] or None
    votes = await store.votes(item_id)
    own = next((vote for vote in votes if vote.annotator == annotator), None)
    if own is not None and own.label == label:
        return Labelled(item, Noted.SAME_AGAIN)
    if own is not None and own.label is not None and not change:
        raise SaidOtherwise(
            f"You have labelled this text as {own.label} already; send it again with change to replace that.",
            details={"item": item_id, "before": own.label, "label": label},
        )
    settings = await store.settings()
    late = item.opinions >= settings.opinions and item.gold_label is None
    await store.keep_vote(VoteRow(item_id, annotator, label, kept_note, now))
    await store.release(item_id, annotator)
    await Audit(connection).record(
        annotator,
        "labelling.labelled",
        audit_name(item_id),
        {"label": label} | ({"before": own.label} if own and own.label else {}),
    )
    if item.gold_label is not None:
        return Labelled(item, Noted.KEPT)
    if item.decided_by is not None or item.state is State.DROPPED:
        return Labelled(item, Noted.LATE_DECIDED)
    result = await _settle(connection, item, settings, now=now)
    settled = await store.item(item_id)
    if result.state is State.CONTESTED:
        return Labelled(settled, Noted.LATE_CONFLICT if late else Noted.CONFLICT)
    return Labelled(settled, Noted.LATE_SAME if late else Noted.KEPT)


async def skip(connection: Connection, item_id: int, annotator: str, *, now: datetime) -> ItemRow:
    """Leave it to others; this annotator will not be given it again."""
    store = Labelling(connection)
    item = await store.locked(item_id)
    own = [vote for vote in await store.votes(item_id) if vote.annotator == annotator]
    if own and own[0].label is not None:
        raise said(
            SaidOtherwise(
                f"You have labelled this text as {own[0].label} already; undo that first.",
                details={"item": item_id, "before": own[0].label, "label": ""},
            ),
            "queue.problem.said_otherwise",
            before=own[0].label,
        )
    await store.release(item_id, annotator)
    if own:
        return item
    await store.keep_vote(VoteRow(item_id, annotator, None, None, now))
    await Audit(connection).record(annotator, "labelling.skipped", audit_name(item_id))
    if item.gold_label is None and item.state is State.OPEN:
        await _settle(connection, item, await store.settings(), now=now)
    return await store.item(item_id)


async def undo(connection: Connection, annotator: str, *, now: datetime) -> ItemRow:
    """Take back the annotator's last word; the text is theirs again. Once more takes back the one before."""
    store = Labelling(connection)
    last = await store.own_votes(annotator, limit=1)
    if not last:
        raise said(
            NothingToUndo("You have labelled nothing yet: there is nothing to undo."),
            "queue.problem.nothing_to_undo",
        )
    item = await store.locked(last[0].item)
    if item.decided_by is not None and item.gold_label is None:
        raise said(
            DecidedMeanwhile(
                f"{item.decided_by} has decided about this text meanwhile; your answer stays beside it.",
                details={"who": item.decided_by, "label": item.label or ""},
            ),
            "queue.problem.decided_undo",
            who=item.decided_by,
        )
    await store.drop_vote(item.id, annotator)
    await Audit(connection).record(
        annotator, "labelling.undone", audit_name(item.id), {"label": last[0].label}
    )
    settings = await store.settings()
    if item.gold_label is None and item.text is not None:
        await _settle(connection, item, settings, now=now)
    if item.text is not None:
        await store.hold(item.id, annotator, until=now + timedelta(minutes=settings.claim_minutes))
    return await store.item(item.id)


async def _settle(
    connection: Connection, item: ItemRow, settings: LabellingSettings, *, now: datetime
) -> Outcome:
    """What the votes make of the item, written down."""
    store = Labelling(connection)
    votes = await store.votes(item.id)
    labels = [vote.label for vote in votes if vote.label is not None]
    result = outcome(labels, skips=len(votes) - len(labels), wanted=settings.opinions)
    await store.settle(
        item.id,
        result,
        opinions=len(labels),
        decided_by=None,
        decided_at=now if result.state is State.DONE else None,
    )
    return result


async def decide(
    connection: Connection,
    item_id: int,
    actor: str,
    label: str | None,
    *,
    admin: bool,
    now: datetime,
    seen: State | None = None,
) -> ItemRow:
    """Settle a contested text; no label drops it. `seen` is the state that the decision was made on.

    Whoever has an opinion on it already does not judge it, unless as an admin; an admin may also decide again.
    """
    store = Labelling(connection)
    item = await store.locked(item_id)
    if item.text is None:
        raise said(
            TextGone("This text was erased meanwhile: there is nothing left to decide."),
            "queue.problem.text_gone",
        )
    if label is not None and label not in (labels := await labels_in_use(connection)):
        raise unknown_label(label, labels)
    votes = await store.votes(item_id)
    expected = seen or (item.state if admin else State.CONTESTED)
    if item.state is not expected:
        raise said(
            DecidedMeanwhile(
                f"This text is {item.state} meanwhile"
                + (
                    f": {item.decided_by} decided {item.label or 'to drop it'}."
                    if item.decided_by
                    else "."
                ),
                details={"who": item.decided_by or "–", "label": item.label or ""},
            ),
            "queue.problem.decided_meanwhile",
            who=item.decided_by or "–",
        )
    if not admin and (
        item.state is not State.CONTESTED
        or any(vote.annotator == actor and vote.label for vote in votes)
    ):
        raise said(
            NotYours("Somebody who has not labelled this text decides about it, or an admin."),
            "queue.problem.not_yours",
        )
    await store.settle(
        item_id,
        Outcome(State.DROPPED if label is None else State.DONE, label),
        opinions=sum(vote.label is not None for vote in votes),
        decided_by=actor,
        decided_at=now,
    )
    if item.gold_label not in {None, label}:  # what it is measured by would contradict what it is
        await unmark_gold(connection, item_id, actor)
    await Audit(connection).record(
        actor,
        "labelling.decided" if label else "labelling.dropped",
        audit_name(item_id),
        {
            "label": label,
            "before": item.label or item.state,
            "opinions": [vote.label for vote in votes if vote.label],
        },
    )
    return await store.item(item_id)


async def mark_gold(
    connection: Connection, item_id: int, label: str, actor: str, *, now: datetime
) -> ItemRow:
    """Its label is known for certain: annotators who have not seen it get it blind, and are measured by it."""
    store = Labelling(connection)
    item = await store.locked(item_id)
    if item.state is not State.DONE or item.label != label:
        await decide(connection, item_id, actor, label, admin=True, now=now)
    elif item.text is None:
        raise said(
            TextGone("This text was erased: it cannot be asked for."), "queue.problem.text_gone"
        )
    await store.mark_gold(item_id, label, at=now)
    await Audit(connection).record(
        actor, "labelling.gold_marked", audit_name(item_id), {"label": label}
    )
    return await store.item(item_id)


async def unmark_gold(connection: Connection, item_id: int, actor: str) -> ItemRow:
    store = Labelling(connection)
    item = await store.locked(item_id)
    if item.gold_label is not None:
        await store.mark_gold(item_id, None, at=None)
        await Audit(connection).record(
            actor, "labelling.gold_unmarked", audit_name(item_id), {"label": item.gold_label}
        )
    return await store.item(item_id)


async def write_gold(
    connection: Connection,
    text: str,
    label: str,
    actor: str,
    *,
    detect_language: DetectLanguage,
    now: datetime,
) -> ItemRow:
    """A text of one's own whose label is known; if it is in the queue already, that one is marked."""
    clean = normalise(text)
    if not clean:
        raise said(InvalidInput("Write the text."), "queue.problem.no_text")
    if len(clean) > LONGEST_TEXT:
        raise said(
            InvalidInput(f"The text has {len(clean):,} characters; {LONGEST_TEXT:,} at most."),
            "queue.problem.long_text",
            most=LONGEST_TEXT,
        )
    store = Labelling(connection)
    key = content_hash(clean)
    item_id = await store.with_text(key)
    if item_id is None:
        item_id = await store.write(key, clean, detect_language(clean))
    return await mark_gold(connection, item_id, label, actor, now=now)


async def change_settings(
    connection: Connection, wanted: LabellingSettings, actor: str, *, now: datetime
) -> int:
    """How many texts are done by it, because fewer opinions are asked for."""
    store = Labelling(connection)
    before = await store.settings()
    if wanted == before:
        return 0
    await store.change_settings(wanted)
    await Audit(connection).record(
        actor,
        "labelling.settings_changed",
        "labelling",
        {"before": vars(before), "after": vars(wanted)},
    )
    if wanted.opinions < before.opinions:
        return await store.settle_enough(wanted.opinions, now)
    return 0


def today(now: datetime) -> datetime:
    """When the day began, in UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
