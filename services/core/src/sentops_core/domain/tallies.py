"""Counts of answers and votes that add up: ten minutes to an hour, an hour to any window, languages to all.

Everything the monitor says of quality and drift is worked out from such sums, so its cost does not grow with history.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

BUCKET = timedelta(minutes=10)
CONFIDENCE_BINS = 20  # of equal width over [0, 1]
LENGTH_EDGES = (
    8,
    16,
    32,
    64,
    128,
    256,
    512,
    1024,
    2048,
    4096,
)  # characters; one bin more than edges
WORD_SLOTS = 256
SCORE_UNIT = (
    1_000_000  # sums of scores are whole millionths, so that they add up the same in any order
)

Counts = tuple[int, ...]


def confidence_bin(score: float) -> int:
    return min(int(score * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)


def length_bin(characters: int) -> int:
    """The bin's texts have at least as many characters as its left edge and fewer than its right one."""
    return bisect_right(LENGTH_EDGES, characters)


def added(first: Counts, second: Counts) -> Counts:
    """Slot by slot; an empty one is all zeros."""
    if not first or not second:
        return first or second
    return tuple(one + other for one, other in zip(first, second, strict=True))


def added_counts(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {key: first.get(key, 0) + second.get(key, 0) for key in first.keys() | second.keys()}


def added_bins(first: Mapping[str, Counts], second: Mapping[str, Counts]) -> dict[str, Counts]:
    return {
        key: added(first.get(key, ()), second.get(key, ())) for key in first.keys() | second.keys()
    }


@dataclass(frozen=True)
class AnswerTally:
    """What was answered. `labels` and `confidences` (per twentieth of the score) are by answered label.

    So are `scores`, the sums of the scores in each twentieth, in millionths.
    Words are counted in `sampled` of the answers only; `unseen_words` of them are not among the version's own, and None
    where the version brought no words to compare with.
    """

    answers: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    confidences: Mapping[str, Counts] = field(default_factory=dict)
    lengths: Counts = ()
    sampled: int = 0
    words: int = 0
    unseen_words: int | None = None
    word_slots: Counts = ()
    scores: Mapping[str, Counts] = field(default_factory=dict)

    def __add__(self, other: "AnswerTally") -> "AnswerTally":
        return AnswerTally(
            answers=self.answers + other.answers,
            labels=added_counts(self.labels, other.labels),
            confidences=added_bins(self.confidences, other.confidences),
            lengths=added(self.lengths, other.lengths),
            sampled=self.sampled + other.sampled,
            words=self.words + other.words,
            unseen_words=_added_unseen(self, other),
            word_slots=added(self.word_slots, other.word_slots),
            scores=added_bins(self.scores, other.scores),
        )


def _added_unseen(first: AnswerTally, second: AnswerTally) -> int | None:
    """Not known of all the words is not known: part of them over all would be too small a share."""
    known = [one.unseen_words for one in (first, second) if one.words or one.unseen_words]
    return None if not known or None in known else sum(one or 0 for one in known)


@dataclass(frozen=True)
class VoteTally:
    """What people said of the answers: `confusion[meant][answered]` counts votes.

    `voted` and `right` are votes, and those that agree, per twentieth of the answer's score, by answered label.
    `scores` are the sums of those scores in millionths, once per vote.
    """

    votes: int = 0
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    voted: Mapping[str, Counts] = field(default_factory=dict)
    right: Mapping[str, Counts] = field(default_factory=dict)
    scores: Mapping[str, Counts] = field(default_factory=dict)

    def __add__(self, other: "VoteTally") -> "VoteTally":
        return VoteTally(
            votes=self.votes + other.votes,
            confusion={
                meant: added_counts(self.confusion.get(meant, {}), other.confusion.get(meant, {}))
                for meant in self.confusion.keys() | other.confusion.keys()
            },
            voted=added_bins(self.voted, other.voted),
            right=added_bins(self.right, other.right),
            scores=added_bins(self.scores, other.scores),
        )


def total_answers(tallies: Iterable[AnswerTally]) -> AnswerTally:
    return sum(tallies, AnswerTally())


def total_votes(tallies: Iterable[VoteTally]) -> VoteTally:
    return sum(tallies, VoteTally())
