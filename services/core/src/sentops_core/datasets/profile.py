"""A version at a glance: how long its texts are, in which languages, from where, and which nearly say the same."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import Protocol

from sentops_core.datasets.near_duplicates import twins_among
from sentops_core.domain.base import Body

UP_TO_CHARACTERS = (20, 50, 100, 200, 500, 1_000, 2_000)  # the last bar is whatever is longer
_LISTED_PAIRS = 200
_COMPARED_ROWS = 50_000  # some 20 seconds of one core
UNKNOWN_LANGUAGE = ""


class Described(Protocol):
    @property
    def content_hash(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    @property
    def language(self) -> str | None: ...
    @property
    def source(self) -> str: ...


class Lengths(Body):
    """`counts` has one number for each of `up_to` (characters, inclusive) and one for what is longer."""

    up_to: tuple[int, ...] = UP_TO_CHARACTERS
    counts: tuple[int, ...]
    median: int | None
    longest: int | None


class Pair(Body):
    """Two rows that nearly say the same, by content hash (hex)."""

    one: str
    other: str
    similarity: float


class NearDuplicates(Body):
    """`count` rows have a near-duplicate among the others; the most similar pairs in full. None: not looked for."""

    count: int | None
    pairs: tuple[Pair, ...] = ()


class Profile(Body):
    """`languages` has an empty key for rows whose language nobody knows."""

    lengths: Lengths
    languages: dict[str, int]
    sources: dict[str, int]
    near_duplicates: NearDuplicates


def profile_of(members: Sequence[Described]) -> Profile:
    """Blocking; a second for some thousand rows."""
    return Profile(
        lengths=lengths_of(len(member.text) for member in members),
        languages=_counted(member.language or UNKNOWN_LANGUAGE for member in members),
        sources=_counted(member.source for member in members),
        near_duplicates=_near_duplicates(members),
    )


def lengths_of(lengths: Iterable[int]) -> Lengths:
    known = list(lengths)
    counts = [0] * (len(UP_TO_CHARACTERS) + 1)
    for length in known:
        counts[bisect_left(UP_TO_CHARACTERS, length)] += 1
    return Lengths(
        counts=tuple(counts),
        median=median_low(known) if known else None,
        longest=max(known, default=None),
    )


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _near_duplicates(members: Sequence[Described]) -> NearDuplicates:
    if len(members) > _COMPARED_ROWS:
        return NearDuplicates(count=None)
    twins = twins_among([member.text for member in members])
    pairs = [
        Pair(
            one=members[twin.earlier].content_hash.hex(),
            other=members[twin.later].content_hash.hex(),
            similarity=round(twin.similarity, 3),
        )
        for twin in sorted(twins, key=lambda twin: -twin.similarity)[:_LISTED_PAIRS]
    ]
    return NearDuplicates(count=len(twins), pairs=tuple(pairs))
