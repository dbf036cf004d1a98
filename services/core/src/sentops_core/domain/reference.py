"""What a version was trained on and answered for held-out texts, in counts: what drift is measured against.

Words are hashes here, and of the training's own words only those of several texts are kept, so that a name that one
person wrote once is not among them.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from zlib import crc32

from pydantic import Field, NonNegativeInt

from sentops_core.domain.base import Body, Label
from sentops_core.domain.quality_figures import UNKNOWN_LANGUAGE
from sentops_core.domain.tallies import (
    CONFIDENCE_BINS,
    LENGTH_EDGES,
    WORD_SLOTS,
    Counts,
    confidence_bin,
    length_bin,
)
from sentops_core.domain.text import normalise

MOST_KNOWN_WORDS = 8_000
_TEXTS_TO_BE_KNOWN = 2
# A long text says nothing more of what people write about, and must not outweigh the others.
_READ_CHARACTERS = 2_000
_WORD = re.compile(r"[^\W_]+")
_DIGIT = re.compile(r"\d")
_ANY_NUMBER = "0"
_MOST_HASH = 2**32 - 1

_LengthCounts = Annotated[
    tuple[NonNegativeInt, ...],
    Field(min_length=len(LENGTH_EDGES) + 1, max_length=len(LENGTH_EDGES) + 1),
]
_SlotCounts = Annotated[
    tuple[NonNegativeInt, ...], Field(min_length=WORD_SLOTS, max_length=WORD_SLOTS)
]
_ScoreCounts = Annotated[
    tuple[NonNegativeInt, ...], Field(min_length=CONFIDENCE_BINS, max_length=CONFIDENCE_BINS)
]
_WordHash = Annotated[int, Field(ge=0, le=_MOST_HASH)]
_Spread = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class HeldOut(Body):
    """Of texts that were not trained on: their words, and what the version answered."""

    texts: NonNegativeInt
    words: NonNegativeInt
    unseen_words: NonNegativeInt
    unseen_spread: _Spread
    labels: dict[Label, NonNegativeInt]
    confidences: dict[Label, _ScoreCounts]


class ReferenceProfile(Body):
    """reference.json. `texts`, `lengths`, `languages` and `word_slots` are of training texts.

    A spread is how much more a count of words varies than if each word had been drawn by itself, since words come by
    the text: the design effect of cluster sampling.
    """

    format: Literal["sentops-reference/1"] = "sentops-reference/1"
    texts: NonNegativeInt
    lengths: _LengthCounts
    languages: dict[str, NonNegativeInt]
    word_slots: _SlotCounts
    word_spread: _Spread
    vocabulary: Annotated[tuple[_WordHash, ...], Field(max_length=MOST_KNOWN_WORDS)]
    held_out: HeldOut

    def known_words(self) -> frozenset[int]:
        """For `count_words`."""
        return frozenset(self.vocabulary)


@dataclass(frozen=True)
class WordCount:
    """Of one text: its different words, those not known (None: nothing to compare with), and each word's slot."""

    words: int
    unseen: int | None
    slots: tuple[int, ...]


@dataclass(frozen=True)
class WordCounts:
    """Of several texts, as an AnswerTally holds them; `slots` are counts by slot."""

    texts: int
    words: int
    unseen: int | None
    slots: Counts


@dataclass(frozen=True)
class ReferenceText:
    """A text of the training; `language` by the detector that production uses, or None."""

    text: str
    language: str | None


@dataclass(frozen=True)
class HeldOutAnswer:
    text: str
    label: str
    score: float


def word_hashes(text: str) -> frozenset[int]:
    """The different words of a text, each as 32 bits. All numbers are one word, and case makes no difference."""
    found = set(_WORD.findall(text[:_READ_CHARACTERS].casefold()))
    return frozenset(
        crc32((_ANY_NUMBER if _DIGIT.search(word) else word).encode("utf-8", "replace"))
        for word in found
    )


def count_words(text: str, vocabulary: Collection[int] | None) -> WordCount:
    """`vocabulary` is the version's `known_words()`, None where it has none."""
    hashes = word_hashes(text)
    return WordCount(
        words=len(hashes),
        unseen=None if vocabulary is None else sum(one not in vocabulary for one in hashes),
        slots=tuple(one % WORD_SLOTS for one in hashes),
    )


def count_words_of(texts: Iterable[str], vocabulary: Collection[int] | None) -> WordCounts:
    """The same of many texts, in one sum."""
    number = words = unseen = 0
    slots = [0] * WORD_SLOTS
    for text in texts:
        counted = count_words(text, vocabulary)
        number += 1
        words += counted.words
        unseen += counted.unseen or 0
        for slot in counted.slots:
            slots[slot] += 1
    return WordCounts(number, words, None if vocabulary is None else unseen, tuple(slots))


def profile_of(
    training: Sequence[ReferenceText], held_out: Sequence[HeldOutAnswer]
) -> ReferenceProfile:
    """In whatever order they come, the same."""
    texts = [normalise(one.text) for one in training]
    lengths = Counter(length_bin(len(text)) for text in texts)
    languages = Counter(one.language or UNKNOWN_LANGUAGE for one in training)
    spread = _Spreading(WORD_SLOTS)
    frequency: Counter[int] = Counter()
    for text in texts:
        hashes = word_hashes(text)
        frequency.update(hashes)
        spread.add(Counter(one % WORD_SLOTS for one in hashes), len(hashes))
    vocabulary = known_words(frequency)
    return ReferenceProfile(
        texts=len(texts),
        lengths=tuple(lengths[number] for number in range(len(LENGTH_EDGES) + 1)),
        languages=dict(sorted(languages.items())),
        word_slots=tuple(spread.counts),
        word_spread=spread.design_effect(),
        vocabulary=vocabulary,
        held_out=_held_out(held_out, frozenset(vocabulary)),
    )


def known_words(texts_with: Counter[int]) -> tuple[int, ...]:
    """The commonest words, by how many texts have them; sorted, so that one training makes one profile."""
    common = [word for word, texts in texts_with.items() if texts >= _TEXTS_TO_BE_KNOWN]
    common.sort(key=lambda word: (-texts_with[word], word))
    return tuple(sorted(common[:MOST_KNOWN_WORDS]))


def _held_out(answers: Sequence[HeldOutAnswer], vocabulary: frozenset[int]) -> HeldOut:
    spread = _Spreading(2)
    labels: Counter[str] = Counter()
    confidences: dict[str, list[int]] = {}
    for answer in answers:
        counted = count_words(normalise(answer.text), vocabulary)
        unseen = counted.unseen or 0
        spread.add({0: counted.words - unseen, 1: unseen}, counted.words)
        labels[answer.label] += 1
        bins = confidences.setdefault(answer.label, [0] * CONFIDENCE_BINS)
        bins[confidence_bin(answer.score)] += 1
    return HeldOut(
        texts=len(answers),
        words=sum(spread.counts),
        unseen_words=spread.counts[1],
        unseen_spread=spread.design_effect(),
        labels=dict(sorted(labels.items())),
        confidences={label: tuple(confidences[label]) for label in sorted(confidences)},
    )


class _Spreading:
    """How unevenly counts come by the text. All sums are whole numbers, so the order of texts makes no difference."""

    def __init__(self, categories: int) -> None:
        self.counts = [0] * categories
        self._squares = [0] * categories
        self._with_size = [0] * categories
        self._sizes_squared = 0

    def add(self, counts: "Counter[int] | dict[int, int]", size: int) -> None:
        self._sizes_squared += size * size
        for category, count in counts.items():
            self.counts[category] += count
            self._squares[category] += count * count
            self._with_size[category] += count * size

    def design_effect(self) -> float:
        """The mean generalised design effect (Rao and Scott, JASA 76, 1981, section 3), texts being the clusters.

        1 for words drawn one by one, and never less here: what is found to vary less is not trusted to.
        """
        total = sum(self.counts)
        used = [category for category, count in enumerate(self.counts) if count]
        if len(used) < 2:
            return 1.0
        variances = 0.0
        for category in used:
            share = self.counts[category] / total
            residuals = (
                self._squares[category]
                - 2 * share * self._with_size[category]
                + share * share * self._sizes_squared
            )
            variances += residuals / (total * share)
        return max(1.0, variances / (len(used) - 1))
