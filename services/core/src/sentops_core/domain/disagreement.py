"""Two models on the same held-out rows: where they differ, and whether that can be chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sentops_core.domain.promotion import mcnemar_p_value


@dataclass(frozen=True, slots=True)
class HeldOutAnswer:
    """What a model said to one held-out row; `score` is its probability of that answer."""

    truth: str
    answer: str
    score: float

    @property
    def right(self) -> bool:
        return self.truth == self.answer


# By the hex content hash of the row.
HeldOutAnswers = Mapping[str, HeldOutAnswer]


class WhoIsRight(StrEnum):
    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"


@dataclass(frozen=True)
class Disagreement:
    content_hash: str
    truth: str
    first: HeldOutAnswer
    second: HeldOutAnswer

    @property
    def who(self) -> WhoIsRight:
        if self.first.right:
            return WhoIsRight.FIRST
        return WhoIsRight.SECOND if self.second.right else WhoIsRight.NEITHER


@dataclass(frozen=True)
class Pairing:
    """`rows` have one true label for both; `relabelled` ones were given another in between, and are left out."""

    rows: int
    relabelled: int
    both_right: int
    only_first_right: int
    only_second_right: int
    neither_right: int
    p_value: float
    disagreements: tuple[Disagreement, ...]  # by content hash


def pair(first: HeldOutAnswers, second: HeldOutAnswers) -> Pairing:
    common = sorted(first.keys() & second.keys())
    alike = [row for row in common if first[row].truth == second[row].truth]
    tally = {(mine, theirs): 0 for mine in (True, False) for theirs in (True, False)}
    differing = []
    for row in alike:
        mine, theirs = first[row], second[row]
        tally[mine.right, theirs.right] += 1
        if mine.answer != theirs.answer:
            differing.append(Disagreement(row, mine.truth, mine, theirs))
    return Pairing(
        rows=len(alike),
        relabelled=len(common) - len(alike),
        both_right=tally[True, True],
        only_first_right=tally[True, False],
        only_second_right=tally[False, True],
        neither_right=tally[False, False],
        p_value=mcnemar_p_value(tally[True, False], tally[False, True]),
        disagreements=tuple(differing),
    )
