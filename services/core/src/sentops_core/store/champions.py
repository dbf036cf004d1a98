"""Who serves everybody now and since when, and who did before; of all models together."""

from dataclasses import dataclass
from datetime import datetime

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class Champion:
    """`since` is None when the version's status does not tell."""

    model_version: str
    since: datetime | None


@dataclass(frozen=True)
class Champions:
    """`none_since`: some model that answered before has no champion since then."""

    champions: tuple[Champion, ...]
    previous: tuple[str, ...]
    none_since: datetime | None


_NOW = """
SELECT r.champion, r.previous_champion, r.updated_at,
       CASE WHEN v.phase = 'Live' THEN (v.status ->> 'phaseStartedAt')::timestamptz END AS since
  FROM routing r
  LEFT JOIN model_versions v ON v.name = r.champion
 ORDER BY r.model_name
"""
_ANSWERED = """
SELECT EXISTS (SELECT FROM routing r
                 JOIN model_versions v ON v.model_name = r.model_name
                 JOIN predictions p ON p.model_version = v.name
                WHERE r.champion IS NULL)
"""


async def champions(connection: Connection) -> Champions:
    rows = await connection.fetch(_NOW)
    vacant = [row["updated_at"] for row in rows if row["champion"] is None]
    # A model that nobody has rolled out yet is missing nothing.
    is_missed = bool(vacant) and await connection.fetchval(_ANSWERED)
    return Champions(
        champions=tuple(
            Champion(row["champion"], row["since"]) for row in rows if row["champion"] is not None
        ),
        previous=tuple(row["previous_champion"] for row in rows if row["previous_champion"]),
        none_since=min(vacant) if is_missed else None,
    )
