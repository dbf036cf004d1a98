"""What a version was trained on and answered for held-out texts, in counts: what drift is measured against.

Words are hashes here, and of the training's own words only those of several texts are kept, so that a name that one
person wrote once is not among them.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self
from zlib import crc32

from pydantic import Field, StringConstraints, model_validator

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

# Whoever made the artefact, its counts must not break what reckons with them.
_Count = Annotated[int, Field(ge=0, le=10**12)]
_Language = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{1,11}$")]
_LengthCounts = Annotated[
    tuple[_Count, ...],
    Field(min_length=len(LENGTH_EDGES) + 1, max_length=len(LENGTH_EDGES) + 1),
]
_SlotCounts = Annotated[tuple[_Count, ...], Field(min_length=WORD_SLOTS, max_length=WORD_SLOTS)]
_ScoreCounts = Annotated[
    tuple[_Count, ...], Field(min_length=CONFIDENCE_BINS, max_length=CONFIDENCE_BINS)
]
_WordHash = Annotated[int, Field(ge=0, le=_MOST_HASH)]
_Spread = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class HeldOut(Body):
    """Of texts that were not trained on: their words, and what the version answered.

    `unseen_spread`: how much more the count of unseen words varies than if each word had been drawn by itself. They
    come by the text, and a text with one has often others.
    """

    texts: _Count
    words: _Count
    unseen_words: _Count
    unseen_spread: _Spread
    labels: dict[Label, _Count]
    confidences: dict[Label, _ScoreCounts]

    @model_validator(mode="after")
    def _unseen_are_some_of_them(self) -> Self:
        if self.unseen_words > self.words:
            raise ValueError("more words are unseen than there are")
        return self


class ReferenceProfile(Body):
    """reference.json. `texts`, `lengths`, `languages` and `word_slots` are of training texts."""

    format: Literal["sentops-reference/1"] = "sentops-reference/1"
    texts: _Count
    lengths: _LengthCounts
    languages: dict[_Language, _Count]
    word_slots: _SlotCounts
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
    """The different words of a text, each as 32 bits. All numbers are one word, and case makes no difference.

    Once a text, however often: then counts of words vary hardly more than if they were drawn one by one.
    """
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
    texts_with: Counter[int] = Counter()
    for text in texts:
        texts_with.update(word_hashes(text))
    slots = [0] * WORD_SLOTS
    for word, count in texts_with.items():
        slots[word % WORD_SLOTS] += count
    vocabulary = known_words(texts_with)
    return ReferenceProfile(
        texts=len(texts),
        lengths=tuple(lengths[number] for number in range(len(LENGTH_EDGES) + 1)),
        languages=dict(sorted(languages.items())),
        word_slots=tuple(slots),
        vocabulary=vocabulary,
        held_out=_held_out(held_out, frozenset(vocabulary)),
    )


def known_words(texts_with: Counter[int]) -> tuple[int, ...]:
    """The commonest words, by how many texts have them; sorted, so that one training makes one profile."""
    common = [word for word, texts in texts_with.items() if texts >= _TEXTS_TO_BE_KNOWN]
    common.sort(key=lambda word: (-texts_with[word], word))
    return tuple(sorted(common[:MOST_KNOWN_WORDS]))


def _held_out(answers: Sequence[HeldOutAnswer], vocabulary: frozenset[int]) -> HeldOut:
    words: list[tuple[int, int]] = []
    labels: Counter[str] = Counter()
    confidences: dict[str, list[int]] = {}
    for answer in answers:
        counted = count_words(normalise(answer.text), vocabulary)
        words.append((counted.words, counted.unseen or 0))
        labels[answer.label] += 1
        bins = confidences.setdefault(answer.label, [0] * CONFIDENCE_BINS)
        bins[confidence_bin(answer.score)] += 1
    return HeldOut(
        texts=len(answers),
        words=sum(total for total, _ in words),
        unseen_words=sum(unseen for _, unseen in words),
        unseen_spread=design_effect(words),
        labels=dict(sorted(labels.items())),
        confidences={label: tuple(confidences[label]) for label in sorted(confidences)},
    )


def design_effect(texts: Sequence[tuple[int, int]]) -> float:
    """Of a share of words, texts (their words, and those that count) being the clusters: Kish, Survey Sampling, 1965.

    The variance of the ratio over that of as many words drawn one by one; never less than 1, since what is found to
    vary less is not trusted to. Sums of whole numbers, so the order of texts makes no difference.
    """
    words = sum(total for total, _ in texts)
    chosen = sum(part for _, part in texts)
    if chosen in {0, words}:
        return 1.0
    share = chosen / words
    residuals = (
        sum(part * part for _, part in texts)
        - 2 * share * sum(part * total for total, part in texts)
        + share * share * sum(total * total for total, _ in texts)
    )
    return max(1.0, residuals / (words * share * (1 - share)))
