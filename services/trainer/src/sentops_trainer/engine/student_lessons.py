"""What a student learns from: the training rows and variations of them, each with what the full model answers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = list[int]
Generator = np.random.Generator

DROPPED, REPLACED = 0.15, 0.15  # of a variation's tokens
LONGEST_PHRASE = 6  # tokens


@dataclass(frozen=True)
class Frame:
    """The special tokens and the prefix that stand around every text."""

    before: Ids
    after: Ids

    @classmethod
    def of(cls, rows: list[Ids]) -> "Frame":
        """What all rows begin and end with."""
        first = min(rows, key=len)
        before = 0
        while before < len(first) - 1 and len({row[before] for row in rows}) == 1:
            before += 1
        after = 0
        while after < len(first) - before and len({row[-1 - after] for row in rows}) == 1:
            after += 1
        return cls(first[:before], first[len(first) - after :])

    def inside(self, row: Ids) -> Ids:
        return row[len(self.before) : len(row) - len(self.after)]

    def around(self, tokens: Ids) -> Ids:
        return [*self.before, *tokens, *self.after]


def variations(
    rows: list[Ids], frame: Frame, count: int, longest: int, generator: Generator
) -> list[Ids]:
    """Made-up token rows: parts of texts, two of them joined, tokens left out or exchanged."""
    texts = [inside for row in rows if len(inside := frame.inside(row)) > 1]
    if not texts:
        return []
    known = np.unique(np.concatenate([np.array(text) for text in texts]))
    kinds: tuple[Callable[[], Ids], ...] = (
        lambda: _part(_any(texts, generator), generator),
        lambda: [
            *_part(_any(texts, generator), generator),
            *_part(_any(texts, generator), generator),
        ],
        lambda: _thinned(_any(texts, generator), generator),
        lambda: _exchanged(_any(texts, generator), known, generator),
    )
    room = longest - len(frame.before) - len(frame.after)
    return [frame.around(kinds[int(generator.integers(len(kinds)))]()[:room]) for _ in range(count)]


def phrases(rows: list[Ids], frame: Frame, count: int, generator: Generator) -> list[Ids]:
    """A few tokens that stand together in a text: cheap to ask about, and they tell what goes with what."""
    texts = [inside for row in rows if len(inside := frame.inside(row)) > 1]
    if not texts:
        return []
    return [
        frame.around(
            _part(_any(texts, generator), generator, int(generator.integers(2, LONGEST_PHRASE + 1)))
        )
        for _ in range(count)
    ]


def _any(texts: list[Ids], generator: Generator) -> Ids:
    return texts[int(generator.integers(len(texts)))]


def _part(text: Ids, generator: Generator, size: int | None = None) -> Ids:
    size = int(generator.integers(1, len(text) + 1)) if size is None else min(size, len(text))
    start = int(generator.integers(len(text) - size + 1))
    return text[start : start + size]


def _thinned(text: Ids, generator: Generator) -> Ids:
    kept = generator.random(len(text)) >= DROPPED
    return [token for token, keep in zip(text, kept, strict=True) if keep] or text[:1]


def _exchanged(text: Ids, known: npt.NDArray[np.int64], generator: Generator) -> Ids:
    changed = generator.random(len(text)) < REPLACED
    others = generator.choice(known, len(text))
    return [
        int(other) if change else token
        for token, other, change in zip(text, others, changed, strict=True)
    ]
