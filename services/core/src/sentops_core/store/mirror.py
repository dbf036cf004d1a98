"""Custom resources of a cluster in the tables of one machine, so that whoever looks at those sees both."""

from collections.abc import Sequence
from datetime import datetime

from sentops_core.domain.resources import ModelVersion, TrainingJob
from sentops_core.store.pool import Connection

# Given back when the transaction ends, whatever becomes of the program.
_TAKE_TURN = "SELECT pg_try_advisory_xact_lock(hashtext('sentops.mirror ' || $1))"

_PUT_JOB = """
INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, dataset_version, cancel_requested,
                           created_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, (SELECT name FROM dataset_versions WHERE content_hash = $7), $8,
        $9, coalesce($10, now()), clock_timestamp())
    ON CONFLICT (name) DO UPDATE
       SET spec = EXCLUDED.spec, status = EXCLUDED.status, metadata = EXCLUDED.metadata,
           phase = EXCLUDED.phase, model_name = EXCLUDED.model_name,
           dataset_version = EXCLUDED.dataset_version, cancel_requested = EXCLUDED.cancel_requested,
           created_by = EXCLUDED.created_by, created_at = EXCLUDED.created_at,
           updated_at = EXCLUDED.updated_at
"""
_PUT_VERSION = """
INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, training_job,
                            created_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT name FROM training_jobs WHERE name = $9),
        $10, coalesce($11, now()), clock_timestamp())
    ON CONFLICT (name) DO UPDATE
       SET model_name = EXCLUDED.model_name, version = EXCLUDED.version, digest = EXCLUDED.digest,
           spec = EXCLUDED.spec, status = EXCLUDED.status, metadata = EXCLUDED.metadata,
           phase = EXCLUDED.phase, training_job = EXCLUDED.training_job,
           created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at
"""
# Rows of one machine name no namespace, so they are never taken for something deleted.
_JOBS_GONE = """
UPDATE training_jobs
   SET metadata = jsonb_build_object('deletionTimestamp', $3::text) || metadata || '{"gone": true}'::jsonb,
       updated_at = clock_timestamp()
 WHERE metadata ->> 'namespace' = $1 AND NOT metadata ? 'gone' AND name <> ALL ($2::text[])
RETURNING name
"""
_VERSIONS_GONE = """
UPDATE model_versions
   SET metadata = jsonb_build_object('deletionTimestamp', $3::text) || metadata || '{"gone": true}'::jsonb,
       updated_at = clock_timestamp()
 WHERE metadata ->> 'namespace' = $1 AND NOT metadata ? 'gone' AND name <> ALL ($2::text[])
RETURNING name
"""
# Whoever everybody is still routed to serves on until another version takes over.
_ARCHIVE_GONE = """
UPDATE model_versions
   SET status = (status - 'servedDigest') || '{"phase": "Archived", "trafficPercent": 0}'::jsonb,
       phase = 'Archived', updated_at = clock_timestamp()
 WHERE metadata ->> 'namespace' = $1 AND metadata ? 'gone'
   AND phase NOT IN ('Archived', 'RolledBack', 'Quarantined')
   AND NOT EXISTS (SELECT FROM routing WHERE routing.champion = model_versions.name)
"""


class Mirror:
    """What only the mirror of a cluster writes into training_jobs and model_versions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take_turn(self, namespace: str) -> bool:
        """Whether this transaction is the one that mirrors; false while another one does."""
        mine: bool = await self._connection.fetchval(_TAKE_TURN, namespace)
        return mine

    async def put_job(self, job: TrainingJob, *, created_by: str, cancel_requested: bool) -> None:
        document = job.to_document()
        await self._connection.execute(
            _PUT_JOB,
            job.metadata.name,
            document["spec"],
            document["status"],
            document["metadata"],
            job.status.phase.value,
            job.spec.model_name,
            job.spec.dataset.content_hash,
            cancel_requested,
            created_by,
            job.metadata.creation_timestamp,
        )

    async def put_version(self, version: ModelVersion, *, created_by: str) -> None:
        """Its training job is named only where that one is mirrored as well."""
        document, spec = version.to_document(), version.spec
        await self._connection.execute(
            _PUT_VERSION,
            version.metadata.name,
            spec.model_name,
            spec.version,
            spec.artifact.digest,
            document["spec"],
            document["status"],
            document["metadata"],
            version.status.phase.value,
            spec.training_job_ref.name if spec.training_job_ref else None,
            created_by,
            version.metadata.creation_timestamp,
        )

    async def mark_jobs_gone(
        self, namespace: str, there: Sequence[str], now: datetime
    ) -> list[str]:
        """Mark the rows whose resource is not among those there; each is given back once."""
        rows = await self._connection.fetch(_JOBS_GONE, namespace, there, now.isoformat())
        return [row["name"] for row in rows]

    async def mark_versions_gone(
        self, namespace: str, there: Sequence[str], now: datetime
    ) -> list[str]:
        rows = await self._connection.fetch(_VERSIONS_GONE, namespace, there, now.isoformat())
        return [row["name"] for row in rows]

    async def archive_gone_versions(self, namespace: str) -> None:
        """What is gone and serves nobody does not count as live or under way any more."""
        await self._connection.execute(_ARCHIVE_GONE, namespace)
