"""What decides whether to train again, as the tables tell it; what they do not tell is absent."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import asyncpg

from sentops_core.domain.resources import QualityMetric, RetrainStart, TimeWindow, TriggerName
from sentops_core.domain.retrain import POLICY_LABEL, WINDOWS, DriftFigure, QualityFigure
from sentops_core.store.pool import Connection

TRIGGER_ANNOTATION = "sentops.dev/retrain-trigger"

_QUALITY = """
SELECT votes, accuracy, accuracy_low, macro_f1, macro_f1_low, taken_at
  FROM quality_figures
 WHERE model_version = $1 AND time_window = $2 AND language = 'all'
 ORDER BY hour DESC
 LIMIT 1
"""
# The newest hour with figures, and the same hour a window before, two windows before, ...
_DRIFT = """
WITH newest AS (
    SELECT max(hour) AS hour FROM drift_figures WHERE model_version = $1 AND time_window = $2
)
SELECT d.hour, max(d.taken_at) AS taken_at,
       coalesce(array_agg(d.feature ORDER BY d.feature) FILTER (WHERE d.drifted), '{}') AS drifted
  FROM drift_figures d, newest
 WHERE d.model_version = $1 AND d.time_window = $2
   AND d.hour IN (SELECT newest.hour - place * $3::interval FROM generate_series(0, $4::int - 1) AS place)
 GROUP BY d.hour
 ORDER BY d.hour DESC
"""
_STARTS = """
SELECT name, created_at AS at, metadata -> 'annotations' ->> $2 AS trigger
  FROM training_jobs
 WHERE metadata -> 'labels' ->> $3 = $1
 ORDER BY created_at DESC, name DESC
 LIMIT $4
"""
_LABELLED_SINCE = """
SELECT text, label
  FROM labelling_items
 WHERE state = 'done' AND label IS NOT NULL AND text IS NOT NULL AND decided_at > $1
"""
_KNOWN = """
SELECT content_hash, label
  FROM dataset_members
 WHERE dataset_version = $1 AND content_hash = ANY ($2::bytea[])
"""


class RetrainEvidence:
    """Reads only; the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def quality(
        self, version: str, window: TimeWindow, metric: QualityMetric
    ) -> QualityFigure | None:
        row = await self._connection.fetchrow(_QUALITY, version, window.value)
        if row is None:
            return None
        value, low = row[metric.value], row[f"{metric.value}_low"]
        return QualityFigure(row["votes"], value, low, row["taken_at"])

    async def drift(
        self, version: str, window: TimeWindow, windows: int
    ) -> tuple[DriftFigure, ...]:
        """At most so many, newest first."""
        rows = await self._connection.fetch(_DRIFT, version, window.value, WINDOWS[window], windows)
        return tuple(
            DriftFigure(row["hour"], row["taken_at"], tuple(row["drifted"])) for row in rows
        )

    async def starts(self, policy: str, limit: int = 100) -> list[RetrainStart]:
        """The newest trainings that a policy of this name asked for."""
        rows = await self._connection.fetch(
            _STARTS, policy, TRIGGER_ANNOTATION, POLICY_LABEL, limit
        )
        return [_start(row) for row in rows]

    async def labelled_since(self, moment: datetime) -> list[tuple[str, str]]:
        """Texts that the labelling queue decided since then, with their labels."""
        rows = await self._connection.fetch(_LABELLED_SINCE, moment)
        return [(row["text"], row["label"]) for row in rows]

    async def known_labels(self, version: str, texts: Sequence[bytes]) -> dict[bytes, str]:
        """By content hash, of those texts that a dataset version holds."""
        rows = await self._connection.fetch(_KNOWN, version, texts)
        return {row["content_hash"]: row["label"] for row in rows}


def _start(row: asyncpg.Record) -> RetrainStart:
    trigger = None
    with suppress(ValueError):  # anybody can write an annotation
        trigger = TriggerName(row["trigger"] or "")
    return RetrainStart(at=row["at"], name=row["name"], trigger=trigger)
