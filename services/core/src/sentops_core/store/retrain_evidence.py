"""What decides whether to train again, as the tables tell it; what they do not tell is absent."""

from contextlib import suppress
from datetime import UTC, datetime

import asyncpg

from sentops_core.domain.quality_figures import WINDOWS
from sentops_core.domain.resources import QualityMetric, RetrainStart, TimeWindow, TriggerName
from sentops_core.domain.retrain import POLICY_LABEL, DriftFigure, QualityFigure
from sentops_core.store.datasets import VersionRow
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
# What sentops_core.datasets.votes decides, without bringing a million texts here: the newest vote of each client on a
# text; those that staff looked at, where there are any; the label that most of them say. Annotators outweigh voters. LATERAL and
# OFFSET 0: one look-up per vote and per text, whatever the planner thinks: it expects a handful of texts, and compared
# thousands of them with every row of the dataset.
_NEW_LABELS = """
WITH voices AS (
    SELECT DISTINCT ON (p.text_hash, v.client) p.text_hash, v.label, v.reviewed_by IS NOT NULL AS reviewed
      FROM counted_votes v
     CROSS JOIN LATERAL (
               SELECT p.text_hash
                 FROM predictions p
                WHERE p.created_at = v.predicted_at AND p.id = v.prediction_id AND p.text IS NOT NULL
               OFFSET 0
           ) AS p
     WHERE v.voted_at > $1
     ORDER BY p.text_hash, v.client, v.vote_id DESC
), weighed AS (
    SELECT text_hash, label, reviewed, bool_or(reviewed) OVER (PARTITION BY text_hash) AS any_reviewed
      FROM voices
), counted AS (
    SELECT text_hash, label, rank() OVER (PARTITION BY text_hash ORDER BY count(*) DESC) AS place
      FROM weighed
     WHERE reviewed = any_reviewed
     GROUP BY text_hash, label
), agreed AS (
    SELECT text_hash AS content_hash, min(label) AS label
      FROM counted
     WHERE place = 1
     GROUP BY text_hash
    HAVING count(*) = 1
), annotated AS (
    SELECT content_hash, label
      FROM labelling_items
     WHERE state = 'done' AND label IS NOT NULL AND text IS NOT NULL AND decided_at > $1
), said AS (
    SELECT content_hash, label FROM annotated
     UNION ALL
    SELECT content_hash, label FROM agreed
     WHERE content_hash NOT IN (SELECT content_hash FROM annotated WHERE content_hash IS NOT NULL)
)
SELECT count(*)
  FROM said
  LEFT JOIN LATERAL (
           SELECT m.label FROM dataset_members m WHERE m.dataset_version = $2 AND m.content_hash = said.content_hash OFFSET 0
       ) AS m ON true
 WHERE m.label IS DISTINCT FROM said.label AND ($3::text[] IS NULL OR said.label = ANY ($3))
"""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


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

    async def new_labels(self, newest: VersionRow | None) -> int:
        """Texts that people agree on since this version was built, and that it holds not, or under another label."""
        if newest is None:
            count: int = await self._connection.fetchval(_NEW_LABELS, _EVER, None, None)
        else:
            known = (newest.created_at, newest.name, newest.labels)
            count = await self._connection.fetchval(_NEW_LABELS, *known)
        return count


def _start(row: asyncpg.Record) -> RetrainStart:
    trigger = None
    with suppress(ValueError):  # anybody can write an annotation
        trigger = TriggerName(row["trigger"] or "")
    return RetrainStart(at=row["at"], name=row["name"], trigger=trigger)
