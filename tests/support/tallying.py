"""Answers and votes counted directly, row by row: what every sum of counts must come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sentops_core.domain.reference import count_words_of
from sentops_core.domain.tallies import (
    CONFIDENCE_BINS,
    LENGTH_EDGES,
    SCORE_UNIT,
    AnswerTally,
    Counts,
    VoteTally,
    confidence_bin,
    length_bin,
)
from sentops_core.store.predictions import PredictionRow


@dataclass(frozen=True)
class Vote:
    """What somebody meant, and what had been answered how surely."""

    meant: str
    answered: str
    score: float


def answer_tally(
    rows: Sequence[PredictionRow], vocabulary: frozenset[int] | None = None
) -> AnswerTally:
    """Without a bound on the texts that are read."""
    texts = [row.text for row in rows if row.text is not None]
    words = count_words_of(texts, vocabulary)
    lengths = [0] * (len(LENGTH_EDGES) + 1)
    for text in texts:
        lengths[length_bin(len(text))] += 1
    labels = sorted({row.label for row in rows})
    return AnswerTally(
        answers=len(rows),
        labels={label: sum(row.label == label for row in rows) for label in labels},
        confidences=_binned((row.label, row.score, 1) for row in rows),
        lengths=tuple(lengths),
        sampled=words.texts,
        words=words.words,
        unseen_words=words.unseen if words.words else None,
        word_slots=words.slots,
        scores=_binned((row.label, row.score, _millionths(row.score)) for row in rows),
    )


def vote_tally(votes: Sequence[Vote]) -> VoteTally:
    confusion: dict[str, dict[str, int]] = {}
    for vote in votes:
        row = confusion.setdefault(vote.meant, {})
        row[vote.answered] = row.get(vote.answered, 0) + 1
    return VoteTally(
        votes=len(votes),
        confusion=confusion,
        voted=_binned((one.answered, one.score, 1) for one in votes),
        right=_binned((one.answered, one.score, int(one.answered == one.meant)) for one in votes),
        scores=_binned((one.answered, one.score, _millionths(one.score)) for one in votes),
    )


def _binned(counted: Iterable[tuple[str, float, int]]) -> dict[str, Counts]:
    found: dict[str, list[int]] = {}
    for label, score, count in counted:
        found.setdefault(label, [0] * CONFIDENCE_BINS)[confidence_bin(score)] += count
    return {label: tuple(counts) for label, counts in found.items()}


def _millionths(score: float) -> int:
    return round(score * SCORE_UNIT)
