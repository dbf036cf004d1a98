"""Training jobs and their events, as the documents that the API and Kubernetes show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.domain.resources import TrainingJob, TrainingJobPhase, TrainingJobStatus
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class TrainingJobRow:
    """`updated_at` moves with every change: give it back to save only on what was seen."""

    job: TrainingJob
    dataset_version: str | None
    cancel_requested: bool
    created_by: str
    updated_at: datetime


@dataclass(frozen=True)
class TrainingEvent:
    id: int
    training_job: str
    at: datetime
    reason: str
    message: str
    progress: dict[str, Any] | None


_CREATE = """
INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, dataset_version, created_by,
                           created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), clock_timestamp())
    ON CONFLICT (name) DO NOTHING
RETURNING name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
"""
_GET = """
SELECT name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
  FROM training_jobs
 WHERE name = $1
"""
_NEWEST = """
SELECT name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
  FROM training_jobs
 ORDER BY created_at DESC, name DESC
 LIMIT $1
"""
# The condition is the partial index's own, so the finished jobs of years cost nothing.
_OPEN = """
SELECT name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
  FROM training_jobs
 WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed')
 ORDER BY created_at, name
"""
# Of those whose leftovers are still there ($1).
_EXPIRED = """
SELECT name
  FROM training_jobs
 WHERE name = ANY ($1::text[])
   AND phase IN ('Succeeded', 'Rejected', 'Failed')
   AND (status ->> 'completionTime')::timestamptz
       + make_interval(secs => (spec ->> 'ttlSecondsAfterFinished')::double precision) <= $2
 ORDER BY name
"""

_SAVE_STATUS = """
UPDATE training_jobs
   SET status = $2, phase = $3, updated_at = clock_timestamp()
 WHERE name = $1 AND updated_at = coalesce($4, updated_at)
RETURNING name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
"""
_SET_SUSPEND = """
UPDATE training_jobs
   SET spec = jsonb_set(spec, '{suspend}', to_jsonb($2::boolean)),
       metadata = jsonb_set(metadata, '{generation}',
                            to_jsonb(coalesce((metadata ->> 'generation')::int, 1) + 1)),
       updated_at = clock_timestamp()
 WHERE name = $1 AND phase NOT IN ('Succeeded', 'Rejected', 'Failed')
   AND coalesce((spec ->> 'suspend')::boolean, false) <> $2
RETURNING name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
"""
_REQUEST_CANCEL = """
UPDATE training_jobs
   SET cancel_requested = true, updated_at = clock_timestamp()
 WHERE name = $1 AND phase NOT IN ('Succeeded', 'Rejected', 'Failed') AND NOT cancel_requested
RETURNING name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
"""
_ADD_EVENT = """
INSERT INTO training_events (training_job, at, reason, message, progress)
VALUES ($1, coalesce($5, clock_timestamp()), $2, $3, $4)
RETURNING id, training_job, at, reason, message, progress
"""
# A run posts every five seconds, for hours: past the limit every second post goes, again and again.
_THIN_PROGRESS = """
DELETE FROM training_events e
 USING (SELECT id, row_number() OVER (ORDER BY id DESC) AS place, count(*) OVER () AS total
          FROM training_events
         WHERE training_job = $1 AND progress IS NOT NULL) AS numbered
 WHERE e.id = numbered.id AND total > $2 AND place < total AND place % 2 = 0
"""
_PROGRESS = """
SELECT id, training_job, at, reason, message, progress
  FROM training_events
 WHERE training_job = $1 AND progress IS NOT NULL
 ORDER BY id
 LIMIT $2
"""
_NEWS = """
SELECT id, training_job, at, reason, message, progress
  FROM training_events
 WHERE training_job = $1 AND progress IS NULL AND id < $2
 ORDER BY id DESC
 LIMIT $3
"""
_PAGE = """
SELECT name, spec, status, metadata, dataset_version, cancel_requested, created_by, created_at, updated_at
  FROM training_jobs
 WHERE ($1::timestamptz IS NULL OR (created_at, name) < ($1, $2::text))
 ORDER BY created_at DESC, name DESC
 LIMIT $3
"""
_EVENTS = """
SELECT id, training_job, at, reason, message, progress
  FROM training_events
 WHERE training_job = $1 AND id > $2
 ORDER BY id
 LIMIT $3
"""


MOST_PROGRESS = 600
_LAST_ID = 2**63 - 1


class TrainingJobs:
    """The training_jobs and training_events tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def create(
        self, job: TrainingJob, *, created_by: str, dataset_version: str | None = None
    ) -> TrainingJobRow:
        """Conflict when the name is taken."""
        document = job.to_document()
        row = await self._connection.fetchrow(
            _CREATE,
            job.metadata.name,
            document["spec"],
            document["status"],
            document["metadata"],
            job.status.phase.value,
            job.spec.model_name,
            dataset_version,
            created_by,
            job.metadata.creation_timestamp,
        )
        if row is None:
            raise Conflict(
                f"A training job named {job.metadata.name} exists already; choose another name."
            )
        return _to_row(row)

    async def find(self, name: str) -> TrainingJobRow | None:
        row = await self._connection.fetchrow(_GET, name)
        return None if row is None else _to_row(row)

    async def get(self, name: str) -> TrainingJobRow:
        row = await self._connection.fetchrow(_GET, name)
        if row is None:
            raise NotFound(
                f"There is no training job {name}.", saying="no_training", facts={"name": name}
            )
        return _to_row(row)

    async def newest(self, limit: int = 100) -> list[TrainingJobRow]:
        return [_to_row(row) for row in await self._connection.fetch(_NEWEST, limit)]

    async def page(
        self, *, before: tuple[datetime, str] | None = None, limit: int = 50
    ) -> list[TrainingJobRow]:
        """The newest first; `before` is (created_at, name) of the last one already seen."""
        at, name = before or (None, "")
        return [_to_row(row) for row in await self._connection.fetch(_PAGE, at, name, limit)]

    async def list_open(self) -> list[TrainingJobRow]:
        """Jobs that are not finished, in the order they were asked for."""
        return [_to_row(row) for row in await self._connection.fetch(_OPEN)]

    async def expired(self, names: Sequence[str], now: datetime) -> list[str]:
        """Which of these jobs finished longer ago than their ttlSecondsAfterFinished."""
        rows = await self._connection.fetch(_EXPIRED, names, now)
        return [row["name"] for row in rows]

    async def save_status(
        self, name: str, status: TrainingJobStatus, *, seen: datetime | None = None
    ) -> TrainingJobRow:
        """Store the status; with `seen`, Conflict if anything changed the job since that `updated_at`."""
        row = await self._connection.fetchrow(
            _SAVE_STATUS, name, status.to_document(), status.phase.value, seen
        )
        if row is None:
            await self.get(name)
            raise Conflict(f"Training job {name} was changed by somebody else meanwhile.")
        return _to_row(row)

    async def set_suspend(self, name: str, *, suspend: bool) -> TrainingJobRow:
        """Conflict when the job is finished; already so is success."""
        verb = "suspended" if suspend else "resumed"
        return await self._change(name, verb, _SET_SUSPEND, name, suspend)

    async def request_cancel(self, name: str) -> TrainingJobRow:
        """Conflict when the job is finished; already asked is success."""
        return await self._change(name, "cancelled", _REQUEST_CANCEL, name)

    async def add_event(
        self,
        name: str,
        reason: str,
        message: str,
        progress: Mapping[str, Any] | None = None,
        *,
        at: datetime | None = None,
    ) -> TrainingEvent:
        """`at` is when it happened; left out: now."""
        row = await self._connection.fetchrow(_ADD_EVENT, name, reason, message, progress, at)
        assert row is not None  # noqa: S101 - INSERT ... RETURNING gives a row
        return TrainingEvent(**row)

    async def events(self, name: str, *, after: int = 0, limit: int = 500) -> list[TrainingEvent]:
        """What happened to the job, oldest first; `after` is the last id already seen."""
        rows = await self._connection.fetch(_EVENTS, name, after, limit)
        return [TrainingEvent(**row) for row in rows]

    async def add_progress(
        self, name: str, message: str, progress: Mapping[str, Any], *, at: datetime | None = None
    ) -> None:
        """How far the run is. Its history stays as long as the job, in MOST_PROGRESS points at most."""
        await self.add_event(name, "Progress", message, progress, at=at)
        await self._connection.execute(_THIN_PROGRESS, name, MOST_PROGRESS)

    async def progress(self, name: str) -> list[TrainingEvent]:
        """The history of progress, oldest first."""
        rows = await self._connection.fetch(_PROGRESS, name, MOST_PROGRESS)
        return [TrainingEvent(**row) for row in rows]

    async def news(
        self, name: str, *, before: int | None = None, limit: int = 50
    ) -> list[TrainingEvent]:
        """Events but progress, newest first; `before` is the last id already seen."""
        rows = await self._connection.fetch(_NEWS, name, before or _LAST_ID, limit)
        return [TrainingEvent(**row) for row in rows]

    async def _change(
        self, name: str, verb: str, statement: str, *arguments: object
    ) -> TrainingJobRow:
        row = await self._connection.fetchrow(statement, *arguments)
        if row is not None:
            return _to_row(row)
        found = await self.get(name)
        phase = found.job.status.phase
        if phase.final:
            raise Conflict(f"Training job {name} is {_lower(phase)} and cannot be {verb} any more.")
        return found


def _lower(phase: TrainingJobPhase) -> str:
    return phase.value.lower()


def _to_row(row: asyncpg.Record) -> TrainingJobRow:
    metadata = {"creationTimestamp": row["created_at"], **row["metadata"]}
    return TrainingJobRow(
        job=TrainingJob.model_validate(
            {"metadata": metadata, "spec": row["spec"], "status": row["status"]}
        ),
        dataset_version=row["dataset_version"],
        cancel_requested=row["cancel_requested"],
        created_by=row["created_by"],
        updated_at=row["updated_at"],
    )
