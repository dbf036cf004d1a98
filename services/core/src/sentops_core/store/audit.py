"""The audit log: who did what to what, and on what evidence. The database refuses to change or delete a line."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class AuditRow:
    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class AuditFilter:
    """What is None does not matter; `until` itself is not in it."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = AuditFilter()

_RECORD = """
INSERT INTO audit_log (actor, action, subject, evidence)
VALUES ($1, $2, $3, $4)
RETURNING id, at, actor, action, subject, evidence
"""
# Conditions that are not asked for are NULL; the planner leaves them out, so that each filter uses its index.
_NEWEST = """
SELECT id, at, actor, action, subject, evidence
  FROM audit_log
 WHERE id < $1
   AND ($2::text IS NULL OR actor = $2)
   AND ($3::text IS NULL OR action = $3)
   AND ($4::text IS NULL OR subject = $4)
   AND ($5::timestamptz IS NULL OR at >= $5)
   AND ($6::timestamptz IS NULL OR at < $6)
 ORDER BY id DESC
 LIMIT $7
"""
# Hops from one value to the next over an index, however many lines there are.
_ACTORS = """
WITH RECURSIVE hop AS (
    (SELECT actor AS value FROM audit_log ORDER BY actor LIMIT 1)
    UNION ALL
    SELECT (SELECT l.actor FROM audit_log l WHERE l.actor > hop.value ORDER BY l.actor LIMIT 1)
      FROM hop
     WHERE hop.value IS NOT NULL
)
SELECT value FROM hop WHERE value IS NOT NULL LIMIT $1
"""
_ACTIONS = """
WITH RECURSIVE hop AS (
    (SELECT action AS value FROM audit_log ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT l.action FROM audit_log l WHERE l.action > hop.value ORDER BY l.action LIMIT 1)
      FROM hop
     WHERE hop.value IS NOT NULL
)
SELECT value FROM hop WHERE value IS NOT NULL LIMIT $1
"""
_LAST_ID = 2**63 - 1


class Audit:
    """The audit_log table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def record(
        self, actor: str, action: str, subject: str, evidence: dict[str, Any] | None = None
    ) -> AuditRow:
        """Add a line in the caller's transaction, so that it stands exactly if the deed does."""
        row = await self._connection.fetchrow(_RECORD, actor, action, subject, evidence or {})
        assert row is not None  # noqa: S101 - INSERT ... RETURNING gives a row
        return AuditRow(**row)

    async def newest(
        self,
        wanted: AuditFilter = EVERYTHING,
        *,
        subject: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRow]:
        """Lines, newest first; `before` is the last id of the page already seen, `subject` short for a filter."""
        if subject is not None:
            wanted = replace(wanted, subject=subject)
        rows = await self._connection.fetch(
            _NEWEST, before or _LAST_ID, *_conditions(wanted), limit
        )
        return [AuditRow(**row) for row in rows]

    async def all_lines(self, wanted: AuditFilter = EVERYTHING) -> AsyncIterator[AuditRow]:
        """Every line that is wanted, newest first, however many; needs a transaction."""
        arguments = (_LAST_ID, *_conditions(wanted), None)
        async for row in self._connection.cursor(_NEWEST, *arguments, prefetch=1000):
            yield AuditRow(**row)

    async def actors(self, limit: int = 200) -> list[str]:
        """Everybody who ever did something."""
        return [row["value"] for row in await self._connection.fetch(_ACTORS, limit)]

    async def actions(self, limit: int = 200) -> list[str]:
        """Every kind of deed that was ever done."""
        return [row["value"] for row in await self._connection.fetch(_ACTIONS, limit)]


def _conditions(wanted: AuditFilter) -> tuple[object, ...]:
    return wanted.actor, wanted.action, wanted.subject, wanted.since, wanted.until
