"""A table of texts in, the same table with an answer on each row out, while it is being made."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sentops_core.domain.errors import PlatformError
from sentops_core.store.predictions import PredictionRow
from sentops_web.answering import Answering, readable
from sentops_web.signing import Signer
from sentops_web.tables import Table, csv_line

_ROWS_AT_ONCE = 32  # small enough for a progress bar that moves
_TRIES = 5
_BOM = "\ufeff"  # else a spreadsheet reads "è" as two letters


@dataclass(frozen=True)
class Outcome:
    """One row's answer, or why there is none."""

    row: PredictionRow | None
    error: str = ""


async def answered_table(
    table: Table, answering: Answering, signer: Signer, client: str
) -> AsyncIterator[str]:
    """CSV pieces, header first. A failure on the first rows, which concerns all, raises before any is out."""
    texts = list(table.texts())
    labels: tuple[str, ...] = ()
    for at in range(0, len(texts), _ROWS_AT_ONCE):
        chunk = texts[at : at + _ROWS_AT_ONCE]
        outcomes = await _outcomes(chunk, answering, client, patient=at > 0)
        piece = ""
        if at == 0:
            labels = answering.labels
            piece = _BOM + csv_line(header(table, labels))
        rows = zip(table.rows[at : at + _ROWS_AT_ONCE], outcomes, strict=True)
        piece += "".join(
            csv_line([*padded(row, width(table)), *_cells(outcome, labels, signer)])
            for row, outcome in rows
        )
        yield piece


def width(table: Table) -> int:
    return max(len(table.header), *(len(row) for row in table.rows))


def header(table: Table, labels: Sequence[str]) -> list[str]:
    own = table.header or ("text",)
    extra = [f"column_{number}" for number in range(len(own) + 1, width(table) + 1)]
    answers = ["predicted", "confidence", *(f"p_{label}" for label in labels)]
    return [*own, *extra, *answers, "model_version", "language", "prediction_id", "error"]


def padded(row: Sequence[str], cells: int) -> list[str]:
    return [*row, *[""] * (cells - len(row))]


def _cells(outcome: Outcome, labels: Sequence[str], signer: Signer) -> list[str]:
    row = outcome.row
    if row is None:
        return [*[""] * (len(labels) + 5), outcome.error]
    return [
        row.label,
        f"{row.score:.4f}",
        *(f"{row.scores.get(label, 0):.4f}" for label in labels),
        row.model_version,
        row.language or "",
        signer.prediction_id(row.id),
        "",
    ]


async def _outcomes(
    texts: Sequence[str], answering: Answering, client: str, *, patient: bool
) -> list[Outcome]:
    """One per text; an unreadable text spoils only its own row."""
    outcomes: list[Outcome | None] = []
    clean: list[str] = []
    for text in texts:
        try:
            clean.append(readable(text, answering.limits, where="The text"))
            outcomes.append(None)
        except PlatformError as error:
            outcomes.append(Outcome(None, str(error)))
    answers = iter(await _answers(clean, answering, client, patient=patient) if clean else [])
    return [outcome or next(answers) for outcome in outcomes]


async def _answers(
    texts: Sequence[str], answering: Answering, client: str, *, patient: bool
) -> list[Outcome]:
    for attempt in range(1, _TRIES + 1):
        try:
            return [Outcome(row) for row in await answering.answer(texts, client)]
        except PlatformError as error:
            if not patient:
                raise
            if error.retry_after is None or attempt == _TRIES:
                return [Outcome(None, str(error)) for _ in texts]
            await asyncio.sleep(min(error.retry_after.total_seconds(), 2 * attempt))
    raise AssertionError("unreachable")
