"""How often people agree with the answers, and how much of that may be chance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sentops_core.domain.tallies import VoteTally

Z_95 = 1.959964  # 95 % of a normal distribution lies within


@dataclass(frozen=True)
class Accuracy:
    """A share of `samples` votes with its 95 % interval."""

    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class ClassQuality:
    """One label: of `answered` votes on such answers and `meant` votes for it, `right` are both.

    Precision is right of answered, recall right of meant; None where there are none of those.
    """

    right: int
    answered: int
    meant: int
    precision: Accuracy | None
    recall: Accuracy | None


def wilson_interval(successes: int, samples: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share: honest for few samples, and at 0 and 1."""
    if samples < 1 or not 0 <= successes <= samples:
        raise ValueError(f"no share: {successes} of {samples}")
    share = successes / samples
    spread = z * z / samples
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / samples + spread / (4 * samples))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    # At the ends the interval touches the share exactly; rounding must not push it past.
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def accuracy_of(right: int, votes: int) -> Accuracy | None:
    """None without votes: unknown is not zero."""
    if votes == 0:
        return None
    low, high = wilson_interval(right, votes)
    return Accuracy(value=right / votes, low=low, high=high, samples=votes)


def right_of(votes: VoteTally) -> int:
    """How many of the votes say what was answered."""
    return sum(answers.get(meant, 0) for meant, answers in votes.confusion.items())


def classes_of(votes: VoteTally) -> Mapping[str, ClassQuality]:
    """Every label that was meant or answered in a vote."""
    answered: dict[str, int] = {}
    for answers in votes.confusion.values():
        for label, count in answers.items():
            answered[label] = answered.get(label, 0) + count
    found = {}
    for label in sorted(answered.keys() | votes.confusion.keys()):
        row = votes.confusion.get(label, {})
        right, meant = row.get(label, 0), sum(row.values())
        found[label] = ClassQuality(
            right=right,
            answered=answered.get(label, 0),
            meant=meant,
            precision=accuracy_of(right, answered.get(label, 0)),
            recall=accuracy_of(right, meant),
        )
    return found
