"""What staff decide about votes and about where they come from. Pages and API share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sentops_backoffice.labelling import labels_in_use, unknown_label
from sentops_backoffice.sentences import said
from sentops_core.domain.errors import Conflict, InvalidInput, NotFound
from sentops_core.domain.text import normalise
from sentops_core.domain.trust import SourceFigures, figures_by, most_suspect_first
from sentops_core.store.audit import Audit
from sentops_core.store.feedback_inbox import FeedbackInbox, JudgedVote, Review, Reviewed
from sentops_core.store.pool import Connection
from sentops_core.store.quarantine import Quarantine, Quarantined

Kind = Literal["client", "source"]
NEWEST_VOTES = 2000
WINDOW = timedelta(days=28)
_SHOWN = 50
_LONGEST_NAME = 300
_LONGEST_NOTE = 500
_ACTIONS = {
    Review.NEW: "feedback.reopened",
    Review.ACCEPTED: "feedback.accepted",
    Review.REFUSED: "feedback.refused",
    Review.CORRECTED: "feedback.corrected",
}


class VotesReplaced(NotFound):
    """None of them is there any more as it was shown."""

    code = "votes_replaced"


@dataclass(frozen=True)
class Decided:
    """`replaced` votes were changed by their clients after the page was made: they were left alone."""

    done: tuple[Reviewed, ...]
    replaced: int


@dataclass(frozen=True)
class Sources:
    """Figures over the newest votes, the most suspect first; at most 50 of each."""

    votes: int
    by_source: tuple[tuple[str, SourceFigures], ...]
    by_client: tuple[tuple[str, SourceFigures], ...]
    quarantined: tuple[Quarantined, ...]


async def review(
    connection: Connection,
    votes: Sequence[UUID],
    wanted: Review,
    *,
    label: str | None = None,
    actor: str,
    now: datetime,
) -> Decided:
    """One decision about one vote or many. InvalidInput without votes, or a correction without a label."""
    chosen = list(dict.fromkeys(votes))
    if not chosen:
        raise said(InvalidInput("Choose at least one vote."), "feedback.problem.none")
    if wanted is Review.CORRECTED:
        labels = await labels_in_use(connection)
        if label not in labels:
            raise unknown_label(label or "", labels)
    done = await FeedbackInbox(connection).review(chosen, wanted, label=label, by=actor, at=now)
    if not done:
        raise said(
            VotesReplaced("These votes were changed or erased meanwhile: load the page again."),
            "feedback.problem.replaced",
        )
    audit = Audit(connection)
    for one in done:
        evidence = {"vote": str(one.vote_id), "said": one.label, "before": one.before}
        if wanted is Review.CORRECTED:
            evidence["label"] = label or ""
        await audit.record(actor, _ACTIONS[wanted], str(one.prediction_id), evidence)
    return Decided(tuple(done), len(chosen) - len(done))


async def sources(connection: Connection, *, now: datetime) -> Sources:
    """Who votes how much, and how that fits with what is known and what others say."""
    votes = await FeedbackInbox(connection).judged(now - WINDOW, NEWEST_VOTES)
    by_client = most_suspect_first(list(figures_by(votes, lambda vote: vote.client).items()))
    by_source = most_suspect_first(list(figures_by(votes, _source_of).items()))
    return Sources(
        votes=len(votes),
        by_source=tuple(by_source[:_SHOWN]),
        by_client=tuple(by_client[:_SHOWN]),
        quarantined=tuple(await Quarantine(connection).newest()),
    )


def _source_of(vote: JudgedVote) -> str:
    return vote.source


async def figures_of(
    connection: Connection, kind: Kind, name: str, *, now: datetime
) -> SourceFigures | None:
    """Of one source; None when none of the newest votes is its."""
    votes = await FeedbackInbox(connection).judged(now - WINDOW, NEWEST_VOTES)
    found = figures_by(votes, lambda vote: vote.client if kind == "client" else _source_of(vote))
    return found.get(name)


async def quarantine(
    connection: Connection, kind: Kind, name: str, *, note: str, actor: str, now: datetime
) -> int:
    """From now on its votes, also the old ones, count neither in datasets nor in quality. How many there are."""
    if not name or len(name) > _LONGEST_NAME:
        raise said(InvalidInput("Name the source."), "feedback.problem.name")
    store = Quarantine(connection)
    concerned = await store.votes(kind, name)
    if concerned == 0:
        raise said(NotFound("No vote came from there."), "feedback.problem.no_votes")
    figures = await figures_of(connection, kind, name, now=now)
    evidence = _evidence(figures, concerned)
    words = ", ".join(f"{key}: {value}" for key, value in evidence.items())
    try:
        await store.add(
            kind, name, note=normalise(note)[:_LONGEST_NOTE], evidence=words, actor=actor
        )
    except Conflict as error:
        said(error, "feedback.problem.held_already")
        raise
    await Audit(connection).record(actor, "feedback_source.quarantined", f"{kind}:{name}", evidence)
    return concerned


async def release(connection: Connection, kind: Kind, name: str, *, actor: str) -> None:
    """Its votes count again, old and new."""
    try:
        await Quarantine(connection).remove(kind, name)
    except NotFound as error:
        said(error, "feedback.problem.not_held")
        raise
    await Audit(connection).record(actor, "feedback_source.released", f"{kind}:{name}")


def _evidence(figures: SourceFigures | None, votes: int) -> dict[str, object]:
    if figures is None:
        return {"votes": votes}
    return {
        "votes": votes,
        "share": round(figures.share, 3),
        "known": figures.known,
        "known_right": figures.known_right,
        "shared": figures.shared,
        "shared_with_most": figures.shared_with_most,
    }
