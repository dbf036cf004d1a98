"""What became of every row: kept, or left out with a reason that a person can act on."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from sentops_core.datasets.profile import Profile
from sentops_core.domain.base import Body

DETAILED_ROWS = 1_000


class Refusal(StrEnum):
    """Why a row is not in a dataset: the first group is found while reading, the second while building."""

    EMPTY_ROW = "empty_row"
    EMPTY_TEXT = "empty_text"
    MISSING_LABEL = "missing_label"
    UNKNOWN_LABEL = "unknown_label"
    LABEL_LEFT_OUT = "label_left_out"
    RAGGED_ROW = "ragged_row"
    TOO_LONG = "too_long"
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"

    LABEL_NOT_IN_DATASET = "label_not_in_dataset"
    CORRECTED_BEFORE = "corrected_before"
    VOTES_TIED = "votes_tied"
    NEAR_TRAINING_ROW = "near_training_row"
    NEAR_HELD_OUT_ROW = "near_held_out_row"
    ERASED = "erased"


class RefusedRow(Body):
    """`row` is the line of the file (the sheet's row, the record) that it starts at, from 1; 0 has no file.

    `facts` are what the message says beside the reason, for pages that say it in another language.
    """

    row: int = Field(ge=0)
    row_id: str = ""
    reason: Refusal
    message: str
    facts: dict[str, str] = {}


class Refusals(Body):
    """All refused rows as counts, and the first of them in full."""

    count: int = 0
    by_reason: dict[Refusal, int] = {}
    first: tuple[RefusedRow, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[RefusedRow]) -> "Refusals":
        counts: Counter[Refusal] = Counter()
        first: list[RefusedRow] = []
        for row in rows:
            counts[row.reason] += 1
            if len(first) < DETAILED_ROWS:
                first.append(row)
        return cls(count=counts.total(), by_reason=dict(counts), first=tuple(first))

    def in_words(self) -> str:
        """Counts by reason, the largest first, for error sentences."""
        ordered = sorted(self.by_reason.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in ordered)


class ReadReport(Body):
    """How a file was understood. `repaired_lines` were not UTF-8 and were read as Windows-1252."""

    format: str
    delimiter: str | None = None
    columns: tuple[str, ...]
    text_column: str
    label_column: str
    id_column: str | None = None
    group_column: str | None = None
    rows: int
    kept: int
    repaired_lines: int = 0
    refused: Refusals


class BuildReport(Body):
    """What a version is made of; `file` only when it was built from one, `profile` on versions of today's programs.

    `edited` of the relabelled rows were relabelled by staff.
    """

    file: ReadReport | None = None
    rows_from_parent: int = 0
    added: int = 0
    relabelled: int = 0
    edited: int = 0
    unchanged: int = 0
    left_out: Refusals = Refusals()
    profile: Profile | None = None
