"""The audit log: who did what to what, and on what evidence. The database refuses to change or delete a line."""

from dataclasses import dataclass
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


_RECORD = """
INSERT INTO audit_log (actor, action, subject, evidence)
VALUES ($1, $2, $3, $4)
RETURNING id, at, actor, action, subject, evidence
"""
_NEWEST = """
SELECT id, at, actor, action, subject, evidence
  FROM audit_log
 WHERE id < $1
 ORDER BY id DESC
 LIMIT $2
"""
_OF_SUBJECT = """
SELECT id, at, actor, action, subject, evidence
  FROM audit_log
 WHERE subject = $1 AND id < $2
 ORDER BY id DESC
 LIMIT $3
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
        self, *, subject: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditRow]:
        """Lines, newest first; `before` is the last id of the page already seen."""
        last = before or _LAST_ID
        if subject is None:
            rows = await self._connection.fetch(_NEWEST, last, limit)
        else:
            rows = await self._connection.fetch(_OF_SUBJECT, subject, last, limit)
        return [AuditRow(**row) for row in rows]
