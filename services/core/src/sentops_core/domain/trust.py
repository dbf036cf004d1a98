"""Whether the votes of one source can be trusted: figures and a suggestion, never a decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sentops_core.domain.quality import Accuracy, accuracy_of


class Suspicion(StrEnum):
    DISAGREES_WITH_KNOWN = "disagrees_with_known"
    DISAGREES_WITH_OTHERS = "disagrees_with_others"
    TOO_MANY = "too_many"


@dataclass(frozen=True)
class SourceFigures:
    """Of one client's (or one way in's) newest votes. `known`: texts whose label people have settled."""

    votes: int
    all_votes: int
    known: int = 0
    known_right: int = 0
    shared: int = 0  # votes on texts that others voted on too
    shared_with_most: int = 0

    @property
    def share(self) -> float:
        return self.votes / self.all_votes if self.all_votes else 0.0

    @property
    def right(self) -> Accuracy | None:
        return accuracy_of(self.known_right, self.known)

    @property
    def with_others(self) -> Accuracy | None:
        return accuracy_of(self.shared_with_most, self.shared)


# A person who reads the texts is right far more often than half of the time; less is spite, chance or a program.
_HALF = 0.5
_LEAST_KNOWN = 5
_LEAST_SHARED = 10
_MOST_SHARE = 0.25
_LEAST_MANY = 50


def suspicions(figures: SourceFigures) -> tuple[Suspicion, ...]:
    """Why a person should look at this source; each stands on enough votes not to be bad luck."""
    found: list[Suspicion] = []
    if figures.known >= _LEAST_KNOWN and figures.right and figures.right.high < _HALF:
        found.append(Suspicion.DISAGREES_WITH_KNOWN)
    if figures.shared >= _LEAST_SHARED and figures.with_others and figures.with_others.high < _HALF:
        found.append(Suspicion.DISAGREES_WITH_OTHERS)
    if figures.votes >= _LEAST_MANY and figures.share > _MOST_SHARE:
        found.append(Suspicion.TOO_MANY)
    return tuple(found)


def most_suspect_first(
    rows: Sequence[tuple[str, SourceFigures]],
) -> list[tuple[str, SourceFigures]]:
    """By number of suspicions, then by votes."""
    return sorted(rows, key=lambda row: (-len(suspicions(row[1])), -row[1].votes, row[0]))
