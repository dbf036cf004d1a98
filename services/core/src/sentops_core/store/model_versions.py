"""Model versions, as the documents that the API and Kubernetes show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.domain.resources import Approval, DesiredState, ModelVersion, ModelVersionStatus
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class ModelVersionRow:
    """`updated_at` moves with every change: give it back to save only on what was seen."""

    version: ModelVersion
    training_job: str | None
    created_by: str
    updated_at: datetime


_CREATE = """
INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, training_job,
                            created_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, now()), clock_timestamp())
    ON CONFLICT DO NOTHING
RETURNING name, spec, status, metadata, training_job, created_by, created_at, updated_at
"""
_GET = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE name = $1
"""
_LOCK = "SELECT name FROM model_versions WHERE name = $1 FOR UPDATE"
# By number: as texts, v9 would come after v10.
_LIST = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE model_name = coalesce($1, model_name)
 ORDER BY model_name, version DESC
"""
_PAGE = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE model_name = $1 AND version < $2
 ORDER BY version DESC
 LIMIT $3
"""
_OF_JOBS = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE training_job = ANY ($1::text[])
 ORDER BY version DESC
"""
# What domain.version_states asks of a version to return to; the newest few, of which it chooses.
_RETURNABLE = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE model_name = $1 AND phase = 'Archived'
   AND spec ->> 'desiredState' IS DISTINCT FROM 'Archived'
   AND status -> 'conditions' @> '[{"type": "Promoted", "status": "True"}]'
 ORDER BY (status ->> 'phaseStartedAt')::timestamptz DESC NULLS LAST, version DESC
 LIMIT 3
"""
_IN_FLIGHT = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE model_name = $1 AND phase IN ('Verifying', 'Shadow', 'Canary', 'Paused')
 ORDER BY version DESC
"""
_OF_JOB = """
SELECT name, spec, status, metadata, training_job, created_by, created_at, updated_at
  FROM model_versions
 WHERE training_job = $1
 ORDER BY version
 LIMIT 1
"""
# Held to the end of the transaction, so that two registrations at once get two numbers.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('model_version ' || $1))"
_LAST_NUMBER = "SELECT coalesce(max(version), 0) FROM model_versions WHERE model_name = $1"
_SAVE_STATUS = """
UPDATE model_versions
   SET status = $2, phase = $3, updated_at = clock_timestamp()
 WHERE name = $1 AND updated_at = coalesce($4, updated_at)
RETURNING name, spec, status, metadata, training_job, created_by, created_at, updated_at
"""
_SET_SPEC_FIELD = """
UPDATE model_versions
   SET spec = jsonb_set(spec, ARRAY[$2::text], $3::jsonb),
       metadata = jsonb_set(metadata, '{generation}',
                            to_jsonb(coalesce((metadata ->> 'generation')::int, 1) + 1)),
       updated_at = clock_timestamp()
 WHERE name = $1 AND spec -> $2 IS DISTINCT FROM $3::jsonb
RETURNING name, spec, status, metadata, training_job, created_by, created_at, updated_at
"""


_LAST_NUMBER_THERE_IS = 2**31 - 1


class ModelVersions:
    """The model_versions table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def next_number(self, model_name: str) -> int:
        """The number after the highest one; others who ask wait until the caller's transaction ends."""
        await self._connection.execute(_TAKE_TURNS, model_name)
        last: int = await self._connection.fetchval(_LAST_NUMBER, model_name)
        return last + 1

    async def create(
        self, version: ModelVersion, *, created_by: str, training_job: str | None = None
    ) -> ModelVersionRow:
        """Register a version; the same one again is success, another under its name or number Conflict."""
        document = version.to_document()
        spec, name = version.spec, version.metadata.name
        row = await self._connection.fetchrow(
            _CREATE,
            name,
            spec.model_name,
            spec.version,
            spec.artifact.digest,
            document["spec"],
            document["status"],
            document["metadata"],
            version.status.phase.value,
            training_job,
            created_by,
            version.metadata.creation_timestamp,
        )
        if row is not None:
            return _to_row(row)
        there = await self._connection.fetchrow(_GET, name)
        if there is not None:
            found = _to_row(there)
            if _identity(found.version) == _identity(version):
                return found
        raise Conflict(
            f"Model version {name} ({spec.model_name} number {spec.version}) exists already "
            "with another artefact; versions never change."
        )

    async def find(self, name: str) -> ModelVersionRow | None:
        row = await self._connection.fetchrow(_GET, name)
        return None if row is None else _to_row(row)

    async def get(self, name: str) -> ModelVersionRow:
        row = await self._connection.fetchrow(_GET, name)
        if row is None:
            raise NotFound(
                f"There is no model version {name}.", saying="no_version", facts={"name": name}
            )
        return _to_row(row)

    async def locked(self, name: str) -> ModelVersionRow:
        """The row, which nobody else changes before the caller's transaction ends."""
        await self._connection.execute(_LOCK, name)
        return await self.get(name)

    async def list_versions(self, model_name: str | None = None) -> list[ModelVersionRow]:
        """Of one model, or of all: by model, highest number first."""
        return [_to_row(row) for row in await self._connection.fetch(_LIST, model_name)]

    async def page(
        self, model_name: str, *, before: int | None = None, limit: int = 50
    ) -> list[ModelVersionRow]:
        """Highest number first; `before` is the number of the last one already seen."""
        rows = await self._connection.fetch(
            _PAGE, model_name, before or _LAST_NUMBER_THERE_IS, limit
        )
        return [_to_row(row) for row in rows]

    async def of_training_jobs(self, names: Sequence[str]) -> dict[str, ModelVersionRow]:
        """By the job that registered it."""
        rows = [_to_row(row) for row in await self._connection.fetch(_OF_JOBS, names)]
        return {row.training_job: row for row in rows if row.training_job is not None}

    async def returnable(self, model_name: str) -> list[ModelVersion]:
        """Those that `rollback_target` would choose from, the likeliest first."""
        return [
            _to_row(row).version for row in await self._connection.fetch(_RETURNABLE, model_name)
        ]

    async def in_flight(self, model_name: str) -> list[ModelVersion]:
        """Under way between candidate and live."""
        return [
            _to_row(row).version for row in await self._connection.fetch(_IN_FLIGHT, model_name)
        ]

    async def of_training_job(self, name: str) -> ModelVersionRow | None:
        """The version that this job registered."""
        row = await self._connection.fetchrow(_OF_JOB, name)
        return None if row is None else _to_row(row)

    async def save_status(
        self, name: str, status: ModelVersionStatus, *, seen: datetime | None = None
    ) -> ModelVersionRow:
        """Store the status; with `seen`, Conflict if anything changed the version since that `updated_at`."""
        row = await self._connection.fetchrow(
            _SAVE_STATUS, name, status.to_document(), status.phase.value, seen
        )
        if row is None:
            await self.get(name)
            raise Conflict(f"Model version {name} was changed by somebody else meanwhile.")
        return _to_row(row)

    async def set_desired_state(self, name: str, state: DesiredState) -> ModelVersionRow:
        return await self._set(name, "desiredState", state.value)

    async def set_approval(self, name: str, approval: Approval) -> ModelVersionRow:
        return await self._set(name, "approval", approval.to_document())

    async def _set(self, name: str, field: str, value: object) -> ModelVersionRow:
        row = await self._connection.fetchrow(_SET_SPEC_FIELD, name, field, value)
        if row is None:
            return await self.get(name)
        return _to_row(row)


def _identity(version: ModelVersion) -> tuple[str, int, str]:
    return version.spec.model_name, version.spec.version, version.spec.artifact.digest


def _to_row(row: asyncpg.Record) -> ModelVersionRow:
    metadata = {"creationTimestamp": row["created_at"], **row["metadata"]}
    return ModelVersionRow(
        version=ModelVersion.model_validate(
            {"metadata": metadata, "spec": row["spec"], "status": row["status"]}
        ),
        training_job=row["training_job"],
        created_by=row["created_by"],
        updated_at=row["updated_at"],
    )
