"""Whether the votes of one source can be trusted: figures and a suggestion, never a decision."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

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
    with_model: int = 0
    refused: int = 0
    last_at: datetime | None = None

    @property
    def share(self) -> float:
        return self.votes / self.all_votes if self.all_votes else 0.0

    @property
    def right(self) -> Accuracy | None:
        return accuracy_of(self.known_right, self.known)

    @property
    def with_others(self) -> Accuracy | None:
        return accuracy_of(self.shared_with_most, self.shared)


class Vote(Protocol):
    """`text_key` is the same for the same text; `known_label` is None where nobody has settled it."""

    @property
    def client(self) -> str: ...
    @property
    def text_key(self) -> bytes: ...
    @property
    def label(self) -> str: ...
    @property
    def predicted_label(self) -> str: ...
    @property
    def known_label(self) -> str | None: ...
    @property
    def refused(self) -> bool: ...
    @property
    def voted_at(self) -> datetime: ...


AnyVote = TypeVar("AnyVote", bound=Vote)


def figures_by(votes: Sequence[AnyVote], key: Callable[[AnyVote], str]) -> dict[str, SourceFigures]:
    """Figures of each group of votes; `key` names a vote's group."""
    said: defaultdict[bytes, dict[str, str]] = defaultdict(dict)  # of each text by each client
    for vote in sorted(votes, key=lambda vote: vote.voted_at):
        said[vote.text_key][vote.client] = vote.label
    most = {text: _most_others(labels) for text, labels in said.items() if len(labels) > 1}
    groups: defaultdict[str, list[tuple[Vote, str | None]]] = defaultdict(list)
    for vote in votes:
        others = most.get(vote.text_key)
        own = said[vote.text_key][vote.client]
        groups[key(vote)].append((vote, others[own] if others else None))
    return {name: _figures(group, len(votes)) for name, group in groups.items()}


def _figures(judged: Sequence[tuple[Vote, str | None]], all_votes: int) -> SourceFigures:
    """`judged`: each vote with what most others said of its text."""
    group = [vote for vote, _ in judged]
    known = [vote for vote in group if vote.known_label is not None]
    return SourceFigures(
        votes=len(group),
        all_votes=all_votes,
        known=len(known),
        known_right=sum(vote.label == vote.known_label for vote in known),
        shared=sum(most is not None for _, most in judged),
        shared_with_most=sum(most == vote.label for vote, most in judged),
        with_model=sum(vote.label == vote.predicted_label for vote in group),
        refused=sum(vote.refused for vote in group),
        last_at=max(vote.voted_at for vote in group),
    )


def _most_others(labels: Mapping[str, str]) -> Mapping[str, str | None]:
    """By what a client said of a text itself: what most others said; None where they are even.

    `labels` are by client. Once for each text, as hundreds may have voted on the same one.
    """
    tally = Counter(labels.values())
    return {own: _most_frequent(tally - Counter([own])) for own in tally}


def _most_frequent(tally: Counter[str]) -> str | None:
    first, *rest = tally.most_common(2)
    return None if rest and rest[0][1] == first[1] else first[0]


# A person who reads the texts is right far more often than half of the time; less is spite, chance or a program.
_HALF = 0.5
_LEAST_KNOWN = 5
_LEAST_SHARED = 10
_MOST_SHARE = 0.25
_LEAST_MANY = 50


def suspicions(figures: SourceFigures, *, one_client: bool = True) -> tuple[Suspicion, ...]:
    """Why a person should look at this source; each stands on enough votes not to be bad luck.

    `one_client` is false for a way in, by which many come: it may have any share of the votes.
    """
    found: list[Suspicion] = []
    if figures.known >= _LEAST_KNOWN and figures.right and figures.right.high < _HALF:
        found.append(Suspicion.DISAGREES_WITH_KNOWN)
    if figures.shared >= _LEAST_SHARED and figures.with_others and figures.with_others.high < _HALF:
        found.append(Suspicion.DISAGREES_WITH_OTHERS)
    if one_client and figures.votes >= _LEAST_MANY and figures.share > _MOST_SHARE:
        found.append(Suspicion.TOO_MANY)
    return tuple(found)


def most_suspect_first(
    rows: Sequence[tuple[str, SourceFigures]],
) -> list[tuple[str, SourceFigures]]:
    """By number of suspicions, then by votes."""
    return sorted(rows, key=lambda row: (-len(suspicions(row[1])), -row[1].votes, row[0]))
