"""What on a platform needs a person, told apart by kind; the words for it belong to whoever shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sentops_core.domain.quality import Accuracy


class Kind(StrEnum):
    """In the order in which they are told."""

    NOTHING_SERVES = "nothing_serves"
    QUALITY_FELL = "quality_fell"
    ROLLED_BACK = "rolled_back"
    QUARANTINED = "quarantined"
    TRAINING_FAILED = "training_failed"
    TRAINING_REJECTED = "training_rejected"
    AWAITS_APPROVAL = "awaits_approval"
    ROLL_OUT_HELD = "roll_out_held"
    CONTESTED_TEXTS = "contested_texts"
    NOT_TIDIED = "not_tidied"
    TIDYING_POSTPONED = "tidying_postponed"
    NO_VOTES = "no_votes"


# Nobody needs to be hurried by these.
MILD = frozenset({Kind.CONTESTED_TEXTS, Kind.NO_VOTES, Kind.AWAITS_APPROVAL})


@dataclass(frozen=True)
class Need:
    """`subject` is the job or version, `reason` and `detail` what it says of itself, `count` how many."""

    kind: Kind
    subject: str = ""
    detail: str = ""
    count: int = 0
    at: datetime | None = None
    reason: str = ""

    @property
    def mild(self) -> bool:
        return self.kind in MILD


@dataclass(frozen=True)
class Mention:
    """A job or version in a phase that somebody should know of."""

    name: str
    phase: str
    message: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """`recent` and `before` are the champion's accuracy lately and in the weeks before; None: no votes."""

    champion: str | None
    answers: int
    recent: Accuracy | None
    before: Accuracy | None
    versions: Sequence[Mention] = ()
    jobs: Sequence[Mention] = ()
    contested_texts: int = 0
    tidied_at: datetime | None = None
    tidying_postponed: bool = False


_LATE = timedelta(hours=26)  # housekeeping is done every hour, by a CronJob once a day
_ENOUGH_ANSWERS = 100  # fewer, and silence says nothing
_OF_VERSION = {
    "RolledBack": Kind.ROLLED_BACK,
    "Quarantined": Kind.QUARANTINED,
    "Pending": Kind.AWAITS_APPROVAL,
    "Paused": Kind.ROLL_OUT_HELD,
}
_OF_JOB = {"Failed": Kind.TRAINING_FAILED, "Rejected": Kind.TRAINING_REJECTED}


def needs(seen: Seen, *, now: datetime) -> tuple[Need, ...]:
    """The most pressing first."""
    order = list(Kind)
    return tuple(sorted(_needs(seen, now), key=lambda need: order.index(need.kind)))


def fell(recent: Accuracy | None, before: Accuracy | None) -> bool:
    """Whether the two intervals lie apart: what chance alone would rarely do."""
    return recent is not None and before is not None and recent.high < before.low


def _needs(seen: Seen, now: datetime) -> Iterable[Need]:
    if seen.champion is None:
        yield Need(Kind.NOTHING_SERVES)
    elif fell(seen.recent, seen.before):
        yield Need(Kind.QUALITY_FELL, seen.champion)
    elif seen.recent is None and seen.answers >= _ENOUGH_ANSWERS:
        yield Need(Kind.NO_VOTES, count=seen.answers)
    for table, mentions in ((_OF_VERSION, seen.versions), (_OF_JOB, seen.jobs)):
        for one in mentions:
            if one.phase in table:
                yield Need(table[one.phase], one.name, one.message, at=one.at, reason=one.reason)
    if seen.contested_texts:
        yield Need(Kind.CONTESTED_TEXTS, count=seen.contested_texts)
    if seen.tidying_postponed:
        yield Need(Kind.TIDYING_POSTPONED, at=seen.tidied_at)
    elif seen.tidied_at is not None and now - seen.tidied_at > _LATE:
        yield Need(Kind.NOT_TIDIED, at=seen.tidied_at)
