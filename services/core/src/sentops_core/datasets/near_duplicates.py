"""Texts that say the same in almost the same words: a held-out one beside its twin in training proves nothing."""

import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from datasketch import MinHash, MinHashLSH

SIMILAR = 0.8
_PERMUTATIONS = 64
_CANDIDATES_FROM = 0.7  # MinHash estimates; what it finds is compared exactly
_SHINGLE = 5
_SHORT_WORDS = (
    6  # in a short text one word is the whole difference: "molto buono" is not "molto brutto"
)
_COMPARED_CHARACTERS = 4_000


def folded(text: str) -> str:
    """What is compared: lower case, no punctuation, single blanks. Emoji stay: they can be the whole opinion."""
    kept = (
        " " if unicodedata.category(character)[0] in "PZC" else character
        for character in text[:_COMPARED_CHARACTERS].casefold()
    )
    return " ".join("".join(kept).split()) or text


def shingles(fold: str) -> frozenset[str]:
    return frozenset(
        fold[start : start + _SHINGLE] for start in range(max(len(fold) - _SHINGLE + 1, 1))
    )


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard: shared shingles over all."""
    return len(one & other) / len(one | other)


@dataclass
class NearDuplicateIndex:
    """Texts that can be asked for a near-duplicate of another one. Keeps the texts, not their many shingles."""

    _folds: dict[int, str] = field(default_factory=dict)
    _exact: dict[str, int] = field(default_factory=dict)
    _lsh: MinHashLSH = field(
        default_factory=lambda: MinHashLSH(threshold=_CANDIDATES_FROM, num_perm=_PERMUTATIONS)
    )

    @classmethod
    def of(cls, texts: Sequence[str]) -> "NearDuplicateIndex":
        """The keys are the positions in `texts`."""
        index = cls()
        for key, text in enumerate(texts):
            fold = folded(text)
            index._exact.setdefault(fold, key)
            if not _is_short(fold):
                index._folds[key] = fold
        sketches = _sketches(index._folds.values())
        for key, sketch in zip(index._folds, sketches, strict=True):
            index._lsh.insert(key, sketch)
        return index

    def nearest(self, texts: Sequence[str]) -> list[int | None]:
        """For each text the key of a near-duplicate in the index, or None."""
        folds = [folded(text) for text in texts]
        found = [self._exact.get(fold) for fold in folds]
        if not self._folds:
            return found
        unsure = [
            position
            for position, fold in enumerate(folds)
            if found[position] is None and not _is_short(fold)
        ]
        sketches = _sketches(folds[position] for position in unsure)
        for position, sketch in zip(unsure, sketches, strict=True):
            found[position] = self._most_similar(folds[position], sketch)
        return found

    def _most_similar(self, fold: str, sketch: MinHash) -> int | None:
        own = shingles(fold)
        scored = [
            (similarity(own, shingles(self._folds[key])), -key) for key in self._lsh.query(sketch)
        ]
        best = max(scored, default=(0.0, 0))
        return -best[1] if best[0] >= SIMILAR else None


@dataclass(frozen=True)
class Twin:
    """Positions of two texts that nearly say the same."""

    earlier: int
    later: int
    similarity: float


def twins_among(texts: Sequence[str]) -> list[Twin]:
    """For each text that has one before it, the most similar earlier text."""
    folds = [folded(text) for text in texts]
    exact: dict[str, int] = {}
    twins: list[Twin] = []
    long_ones: list[int] = []
    for position, fold in enumerate(folds):
        first = exact.setdefault(fold, position)
        if first != position:
            twins.append(Twin(first, position, 1.0))
        elif not _is_short(fold):
            long_ones.append(position)
    index = MinHashLSH(threshold=_CANDIDATES_FROM, num_perm=_PERMUTATIONS)
    sketches = _sketches(folds[position] for position in long_ones)
    for position, sketch in zip(long_ones, sketches, strict=True):
        own = shingles(folds[position])
        scored = [(similarity(own, shingles(folds[key])), -key) for key in index.query(sketch)]
        best = max(scored, default=(0.0, 0))
        if best[0] >= SIMILAR:
            twins.append(Twin(-best[1], position, best[0]))
        index.insert(position, sketch)
    return twins


def _is_short(fold: str) -> bool:
    return len(fold.split()) < _SHORT_WORDS


def _sketches(folds: Iterable[str]) -> Iterator[MinHash]:
    sketches: Iterator[MinHash] = MinHash.generator(
        ([shingle.encode() for shingle in shingles(fold)] for fold in folds),
        num_perm=_PERMUTATIONS,
        hashfunc=zlib.crc32,
    )
    return sketches
