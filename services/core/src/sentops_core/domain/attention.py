"""What on a platform needs a person, told apart by kind; the words for it belong to whoever shows it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sentops_core.domain.quality import Accuracy


class Kind(StrEnum):
    """In the order in which they are told."""

    NOTHING_SERVES = "nothing_serves"
    QUALITY_LOW = "quality_low"
    QUALITY_WORSE = "quality_worse"
    QUALITY_FELL = "quality_fell"
    DRIFTED = "drifted"
    FIGURES_STALE = "figures_stale"
    FIGURES_MISSING = "figures_missing"
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
    """`recent` and `before` are the champion's accuracy lately and in the weeks before; None: no votes.

    The monitor's: `accuracies` of the champion and `previous_accuracies` of the version before it by window, `drifted`
    features over a day, `figures_at` of its newest figures, `figures_fresh` if they still say something.
    """

    champion: str | None
    answers: int
    recent: Accuracy | None
    before: Accuracy | None
    versions: Sequence[Mention] = ()
    jobs: Sequence[Mention] = ()
    contested_texts: int = 0
    tidied_at: datetime | None = None
    tidying_postponed: bool = False
    accuracies: Mapping[str, Accuracy] = field(default_factory=dict)
    previous_accuracies: Mapping[str, Accuracy] = field(default_factory=dict)
    drifted: Sequence[str] = ()
    figures_at: datetime | None = None
    figures_fresh: bool = False


# As the alerts have them: grafana/rules/thresholds.yaml.
QUALITY_FLOOR = 0.70
ENOUGH_VOTES = 50
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
    else:
        yield from _of_quality(seen, seen.champion)
        yield from _of_figures(seen, seen.champion)
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


def _of_quality(seen: Seen, champion: str) -> Iterable[Need]:
    lately = _enough(seen.accuracies, "24h") or _enough(seen.accuracies, "7d")
    previous = _enough(seen.previous_accuracies, "28d")
    if lately and lately.high < QUALITY_FLOOR:
        yield Need(Kind.QUALITY_LOW, champion)
    elif fell(lately, previous):
        yield Need(Kind.QUALITY_WORSE, champion)
    elif fell(seen.recent, seen.before):
        yield Need(Kind.QUALITY_FELL, champion)
    elif seen.recent is None and seen.answers >= _ENOUGH_ANSWERS:
        yield Need(Kind.NO_VOTES, count=seen.answers)


def _enough(accuracies: Mapping[str, Accuracy], window: str) -> Accuracy | None:
    found = accuracies.get(window)
    return found if found and found.samples >= ENOUGH_VOTES else None


def _of_figures(seen: Seen, champion: str) -> Iterable[Need]:
    """Nothing is missing where nobody was answered yet."""
    if seen.drifted:
        yield Need(Kind.DRIFTED, champion, detail=", ".join(seen.drifted))
    if not seen.figures_fresh and seen.answers:
        missing = seen.figures_at is None
        yield Need(Kind.FIGURES_MISSING if missing else Kind.FIGURES_STALE, at=seen.figures_at)
