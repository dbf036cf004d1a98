"""Retraining policies, as the documents that the API and Kubernetes show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import asyncpg

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.domain.resources import RetrainPolicy, RetrainPolicySpec, RetrainPolicyStatus
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class RetrainPolicyRow:
    policy: RetrainPolicy
    created_by: str
    updated_at: datetime


_GET = """
SELECT name, spec, status, metadata, created_by, created_at, updated_at
  FROM retrain_policies
 WHERE name = $1
"""
_LIST = """
SELECT name, spec, status, metadata, created_by, created_at, updated_at
  FROM retrain_policies
 ORDER BY name
"""
_CREATE = """
INSERT INTO retrain_policies (name, model_name, spec, status, metadata, created_by)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO NOTHING
RETURNING name, spec, status, metadata, created_by, created_at, updated_at
"""
# A generation counts changes of the spec, as the API server of a cluster does it.
_CHANGE = """
UPDATE retrain_policies
   SET spec = $2, model_name = $3,
       metadata = jsonb_set(metadata, '{generation}',
                            to_jsonb(coalesce((metadata ->> 'generation')::int, 1) + 1)),
       updated_at = clock_timestamp()
 WHERE name = $1 AND coalesce((metadata ->> 'generation')::int, 1) = $4
RETURNING name, spec, status, metadata, created_by, created_at, updated_at
"""
_SAVE_STATUS = """
UPDATE retrain_policies
   SET status = $2, updated_at = clock_timestamp()
 WHERE name = $1 AND metadata ->> 'uid' = $3 AND coalesce((metadata ->> 'generation')::int, 1) = $4
RETURNING name, spec, status, metadata, created_by, created_at, updated_at
"""
_DELETE = "DELETE FROM retrain_policies WHERE name = $1 RETURNING name"
_MIRROR = """
INSERT INTO retrain_policies (name, model_name, spec, status, metadata, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, now()))
    ON CONFLICT (name) DO UPDATE
       SET model_name = EXCLUDED.model_name, spec = EXCLUDED.spec, status = EXCLUDED.status,
           metadata = EXCLUDED.metadata, created_by = EXCLUDED.created_by,
           created_at = EXCLUDED.created_at, updated_at = clock_timestamp()
"""
# Rows of one machine name no namespace, so they are never taken for something deleted.
_DELETE_GONE = """
DELETE FROM retrain_policies
 WHERE metadata ->> 'namespace' = $1 AND name <> ALL ($2::text[])
RETURNING name
"""


# Of the session: it ends with the connection, whatever becomes of the program.
_TAKE_TURN = "SELECT pg_try_advisory_lock(hashtext('sentops.retraining'))"


class RetrainPolicies:
    """The retrain_policies table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take_turn(self) -> bool:
        """Whether the holder of this connection is the one that decides; false while another one is."""
        mine: bool = await self._connection.fetchval(_TAKE_TURN)
        return mine

    async def find(self, name: str) -> RetrainPolicyRow | None:
        row = await self._connection.fetchrow(_GET, name)
        return _to_row(row) if row is not None else None

    async def get(self, name: str) -> RetrainPolicyRow:
        found = await self.find(name)
        if found is None:
            raise no_policy(name)
        return found

    async def all(self) -> list[RetrainPolicyRow]:
        return [_to_row(row) for row in await self._connection.fetch(_LIST)]

    async def create(self, name: str, spec: RetrainPolicySpec, *, created_by: str) -> RetrainPolicy:
        """Conflict when somebody else made one of this name meanwhile."""
        row = await self._connection.fetchrow(
            _CREATE,
            name,
            spec.model_name,
            spec.to_document(),
            RetrainPolicyStatus().to_document(),
            {"name": name, "uid": str(uuid4()), "generation": 1},
            created_by,
        )
        if row is None:
            raise _changed_meanwhile(name)
        return _to_row(row).policy

    async def change(self, name: str, spec: RetrainPolicySpec, *, generation: int) -> RetrainPolicy:
        """The next generation; Conflict when it is not this one any more."""
        document = spec.to_document()
        row = await self._connection.fetchrow(_CHANGE, name, document, spec.model_name, generation)
        if row is None:
            await self.get(name)
            raise _changed_meanwhile(name)
        return _to_row(row).policy

    async def save_status(
        self, policy: RetrainPolicy, status: RetrainPolicyStatus
    ) -> RetrainPolicy:
        """Conflict when the policy is not the one that was looked at: another spec, or made anew."""
        metadata = policy.metadata
        row = await self._connection.fetchrow(
            _SAVE_STATUS, metadata.name, status.to_document(), metadata.uid, metadata.generation
        )
        if row is None:
            await self.get(metadata.name)
            raise _changed_meanwhile(metadata.name)
        return _to_row(row).policy

    async def delete(self, name: str) -> None:
        if await self._connection.fetchval(_DELETE, name) is None:
            raise no_policy(name)

    # The mirror of a cluster

    async def mirror(self, policy: RetrainPolicy, *, created_by: str) -> None:
        document = policy.to_document()
        await self._connection.execute(
            _MIRROR,
            policy.metadata.name,
            policy.spec.model_name,
            document["spec"],
            document["status"],
            document["metadata"],
            created_by,
            policy.metadata.creation_timestamp,
        )

    async def delete_gone(self, namespace: str, there: Sequence[str]) -> list[str]:
        """Rows whose resource is not among those there."""
        rows = await self._connection.fetch(_DELETE_GONE, namespace, there)
        return [row["name"] for row in rows]


def no_policy(name: str) -> NotFound:
    return NotFound(f"There is no retraining policy {name}.")


def _changed_meanwhile(name: str) -> Conflict:
    return Conflict(
        f"The retraining policy {name} was changed by somebody else meanwhile; look at it again.",
    )


def _to_row(row: asyncpg.Record) -> RetrainPolicyRow:
    metadata = {"creationTimestamp": row["created_at"], **row["metadata"]}
    return RetrainPolicyRow(
        policy=RetrainPolicy.model_validate(
            {"metadata": metadata, "spec": row["spec"], "status": row["status"]}
        ),
        created_by=row["created_by"],
        updated_at=row["updated_at"],
    )
