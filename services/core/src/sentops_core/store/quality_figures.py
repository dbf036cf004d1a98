"""The figures of quality as the monitor last saw them in each hour: written by it, read by everybody else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from sentops_core.domain.quality import Accuracy, ClassQuality
from sentops_core.domain.quality_figures import QualityFigures
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class SeenFigures:
    """Figures and when they were worked out."""

    taken_at: datetime
    figures: QualityFigures


_SAVE = """
INSERT INTO quality_figures
       (model_version, time_window, language, hour, taken_at, answers, votes, accuracy, accuracy_low, accuracy_high,
        macro_f1, macro_f1_low, macro_f1_high, calibration_error, calibration_error_low, calibration_error_high, classes,
        estimated_accuracy, estimated_accuracy_low, estimated_accuracy_high, estimate_refused, feedback_rate,
        largest_source_share)
VALUES ($1, $2, $3, date_trunc('hour', $4::timestamptz, 'UTC'), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18, $19, $20, $21, $22)
    ON CONFLICT (model_version, time_window, language, hour) DO UPDATE
       SET taken_at = EXCLUDED.taken_at, answers = EXCLUDED.answers, votes = EXCLUDED.votes,
           accuracy = EXCLUDED.accuracy, accuracy_low = EXCLUDED.accuracy_low, accuracy_high = EXCLUDED.accuracy_high,
           macro_f1 = EXCLUDED.macro_f1, macro_f1_low = EXCLUDED.macro_f1_low, macro_f1_high = EXCLUDED.macro_f1_high,
           calibration_error = EXCLUDED.calibration_error,
           calibration_error_low = EXCLUDED.calibration_error_low,
           calibration_error_high = EXCLUDED.calibration_error_high, classes = EXCLUDED.classes,
           estimated_accuracy = EXCLUDED.estimated_accuracy,
           estimated_accuracy_low = EXCLUDED.estimated_accuracy_low,
           estimated_accuracy_high = EXCLUDED.estimated_accuracy_high,
           estimate_refused = EXCLUDED.estimate_refused, feedback_rate = EXCLUDED.feedback_rate,
           largest_source_share = EXCLUDED.largest_source_share
     WHERE quality_figures.taken_at <= EXCLUDED.taken_at
"""
# Every row of a round has its moment, so rows of versions that were gone by then do not come along.
_LATEST = """
SELECT *
  FROM quality_figures
 WHERE hour >= date_trunc('hour', $1::timestamptz, 'UTC') AND taken_at >= $1
   AND taken_at = (SELECT max(taken_at) FROM quality_figures WHERE hour >= date_trunc('hour', $1::timestamptz, 'UTC'))
 ORDER BY model_version, time_window, language
"""


class QualityTable:
    """The quality_figures table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def save(self, figures: Sequence[QualityFigures], taken_at: datetime) -> None:
        """What a round found; of each hour the last round's figures stay."""
        await self._connection.executemany(_SAVE, [_record(one, taken_at) for one in figures])

    async def latest(self, not_before: datetime) -> list[SeenFigures]:
        """Everything that the newest round found; empty if that was before this moment, for then nothing is known."""
        return [_seen(row) for row in await self._connection.fetch(_LATEST, not_before)]


KEEP_HOURS = timedelta(days=40)
KEEP_DAYS = timedelta(days=400)
_LOOK_BACK = timedelta(days=7)  # what was thinned out before need not be looked at again

# Only the last hour of a day stays.
_THIN_QUALITY = """
DELETE FROM quality_figures f
 WHERE f.hour >= $1 AND f.hour < $2
   AND EXISTS (SELECT
                 FROM quality_figures later
                WHERE later.model_version = f.model_version AND later.time_window = f.time_window
                  AND later.language = f.language AND later.hour > f.hour
                  AND later.hour < date_trunc('day', f.hour, 'UTC') + interval '1 day')
"""
_THIN_DRIFT = """
DELETE FROM drift_figures f
 WHERE f.hour >= $1 AND f.hour < $2
   AND EXISTS (SELECT
                 FROM drift_figures later
                WHERE later.model_version = f.model_version AND later.time_window = f.time_window
                  AND later.feature = f.feature AND later.hour > f.hour
                  AND later.hour < date_trunc('day', f.hour, 'UTC') + interval '1 day')
"""
_DROP_QUALITY = "DELETE FROM quality_figures WHERE hour < $1"
_DROP_DRIFT = "DELETE FROM drift_figures WHERE hour < $1"


async def thin_out_figures(connection: Connection, now: datetime) -> None:
    """Figures of quality and drift: by the hour for 40 days, by the day for 400, then not at all."""
    last_whole_day = (now - KEEP_HOURS).replace(hour=0, minute=0, second=0, microsecond=0)
    for statement in (_THIN_QUALITY, _THIN_DRIFT):
        await connection.execute(statement, last_whole_day - _LOOK_BACK, last_whole_day)
    for statement in (_DROP_QUALITY, _DROP_DRIFT):
        await connection.execute(statement, now - KEEP_DAYS)


def _record(figures: QualityFigures, taken_at: datetime) -> tuple[object, ...]:
    return (
        figures.model_version,
        figures.window,
        figures.language,
        taken_at,
        figures.answers,
        figures.votes,
        *_ends(figures.accuracy),
        *_ends(figures.macro_f1),
        *_ends(figures.calibration_error),
        {label: _class_document(one) for label, one in figures.classes.items()},
        *_ends(figures.estimated_accuracy),
        figures.estimate_refused,
        figures.feedback_rate,
        figures.largest_source_share,
    )


def _ends(measured: Accuracy | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if measured is None else (measured.value, measured.low, measured.high)


def _class_document(one: ClassQuality) -> dict[str, object]:
    """The column `classes`, by label; a share that is not known has no key."""
    found: dict[str, object] = {"right": one.right, "answered": one.answered, "meant": one.meant}
    for name, share in (("precision", one.precision), ("recall", one.recall)):
        if share is not None:
            found |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    return found


def _seen(row: asyncpg.Record) -> SeenFigures:
    figures = QualityFigures(
        model_version=row["model_version"],
        window=row["time_window"],
        language=row["language"],
        answers=row["answers"],
        votes=row["votes"],
        accuracy=_measured(row, "accuracy", row["votes"]),
        macro_f1=_measured(row, "macro_f1", row["votes"]),
        calibration_error=_measured(row, "calibration_error", row["votes"]),
        classes={label: _class_of(document) for label, document in row["classes"].items()},
        estimated_accuracy=_measured(row, "estimated_accuracy", row["answers"]),
        estimate_refused=row["estimate_refused"],
        largest_source_share=row["largest_source_share"],
    )
    return SeenFigures(row["taken_at"], figures)


def _class_of(document: Mapping[str, int | float]) -> ClassQuality:
    right, answered, meant = (int(document[name]) for name in ("right", "answered", "meant"))
    return ClassQuality(
        right=right,
        answered=answered,
        meant=meant,
        precision=_measured(document, "precision", answered),
        recall=_measured(document, "recall", meant),
    )


def _measured(
    values: asyncpg.Record | Mapping[str, int | float], name: str, samples: int
) -> Accuracy | None:
    value = values.get(name)
    if value is None:
        return None
    return Accuracy(value, values[f"{name}_low"], values[f"{name}_high"], samples)
