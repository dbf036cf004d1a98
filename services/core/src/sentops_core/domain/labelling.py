"""The labelling queue's decisions: what a label of a text is worth, which text comes next, what opinions settle."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar


class Reason(StrEnum):
    """Why a text is in the queue; of several the strongest."""

    DISAGREEMENT = "disagreement"  # the champion and a candidate in the shadow answered differently
    CONTESTED = "contested"  # people voted otherwise than the model answered
    UNCERTAIN = "uncertain"
    RANDOM = "random"
    GIVEN = "given"  # written by an admin


class State(StrEnum):
    OPEN = "open"
    CONTESTED = "contested"  # opinions differ, or nobody dares: somebody else decides
    DONE = "done"
    DROPPED = "dropped"  # no label fits
    EXPIRED = "expired"  # the text was erased or has passed its retention


# A label is bought first where it decides a promotion, then where people and the model differ.
_DISAGREEMENT = 2.0
_CONTESTED = 1.0
CONTESTED_FROM = 0.05  # a contest weaker than this is no reason: many people against one model


@dataclass(frozen=True)
class Signals:
    """What is known of an answer; votes are those of clients for and against what the model said."""

    scores: Mapping[str, float]
    candidate_disagrees: bool = False
    votes_for: int = 0
    votes_against: int = 0


def uncertainty(scores: Mapping[str, float]) -> float:
    """One minus the margin between the two best labels: 1 is a coin toss, 0 is sure."""
    best = sorted(scores.values(), reverse=True)[:2]
    if not best:
        return 1.0
    second = best[1] if len(best) > 1 else 0.0
    return min(max(1.0 - (best[0] - second), 0.0), 1.0)


def contest(votes_for: int, votes_against: int) -> float:
    """How evenly voices are split, the model's answer being one voice: 1 is even, 0 is unanimous."""
    if votes_against == 0:
        return 0.0
    voices = votes_for + 1 + votes_against
    return 1.0 - abs(votes_for + 1 - votes_against) / voices


def worth(signals: Signals) -> float:
    """The value of a label for this text; the greater, the sooner it is asked for."""
    return (
        _DISAGREEMENT * signals.candidate_disagrees
        + _CONTESTED * contest(signals.votes_for, signals.votes_against)
        + uncertainty(signals.scores)
    )


def reason_of(signals: Signals) -> Reason:
    if signals.candidate_disagrees:
        return Reason.DISAGREEMENT
    if contest(signals.votes_for, signals.votes_against) >= CONTESTED_FROM:
        return Reason.CONTESTED
    return Reason.UNCERTAIN


_RANDOM_SHARE_BELOW = 16  # of 256


def in_random_share(content_hash: bytes) -> bool:
    """Whether a text is one of the sixteenth that shows what all texts are like.

    The text's own hash decides, so neither its difficulty nor votes nor time do. Such texts come into the queue by
    chance alone and are labelled in the order of their hashes: then those labelled so far are a fair sample.
    """
    return content_hash[:1] < bytes([_RANDOM_SHARE_BELOW])


class Waiting(Protocol):
    """A text in the queue, as its order needs it."""

    @property
    def id(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def opinions(self) -> int: ...


Item = TypeVar("Item", bound=Waiting)


def in_order(items: Iterable[Item]) -> list[Item]:
    """Begun texts first, so that they get finished; then by value; of equals the older."""
    return sorted(items, key=lambda item: (item.opinions == 0, -item.value, item.id))


class Lane(StrEnum):
    """Where a turn takes its text from."""

    VALUE = "value"
    DRAWN = "drawn"  # the random share: without it the labels would show only hard texts
    GOLD = "gold"


def lane_of(annotator: str, turn: int, *, drawn_share: float, gold_share: float) -> Lane:
    """Of an annotator's n-th turn: right in the long run, the same when asked again, and not to be guessed."""
    digest = hashlib.sha256(f"{annotator}\n{turn}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    if point < gold_share:
        return Lane.GOLD
    return Lane.DRAWN if point < gold_share + (1 - gold_share) * drawn_share else Lane.VALUE


def fallbacks(lane: Lane) -> tuple[Lane, ...]:
    """The lane, and where to look when it is empty. Gold is never a way out: there would be too much of it."""
    if lane is Lane.DRAWN:
        return (Lane.DRAWN, Lane.VALUE)
    return (Lane.GOLD, Lane.VALUE, Lane.DRAWN) if lane is Lane.GOLD else (Lane.VALUE, Lane.DRAWN)


@dataclass(frozen=True)
class Outcome:
    state: State
    label: str | None = None


_SKIPS_THAT_TELL = 2


def outcome(labels: Sequence[str], *, skips: int, wanted: int) -> Outcome:
    """What the annotators' words make of an item: any difference goes to somebody who decides."""
    if len(set(labels)) > 1:
        return Outcome(State.CONTESTED)
    if labels and len(labels) >= wanted:
        return Outcome(State.DONE, labels[0])
    if not labels and skips >= _SKIPS_THAT_TELL:
        return Outcome(State.CONTESTED)
    return Outcome(State.OPEN)
