"""The retention table: how long predictions are kept, and what would go if that changed."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sentops_core.domain.retention import Retention
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class RetentionRow:
    """`tidied_at` is None before the first housekeeping; `postponed` when somebody read what was due to go."""

    retention: Retention
    chosen_by: str | None
    chosen_at: datetime | None
    tidied_at: datetime | None
    postponed: bool


@dataclass(frozen=True)
class Doomed:
    """What lies before a moment; `oldest` is the first prediction of all, whether it goes or not.

    Both are counted up to COUNTED_ROWS. More predictions are `estimated`, and of votes there are so many or more.
    """

    predictions: int
    votes: int
    oldest: datetime | None
    estimated: bool = False


_GET = """
SELECT chosen_days, chosen_by, chosen_at, limit_days, tidied_at, postponed
  FROM retention
"""
_CHOOSE = """
INSERT INTO retention (chosen_days, chosen_by, chosen_at)
VALUES ($1, $2, now())
    ON CONFLICT (singleton) DO UPDATE
       SET chosen_days = EXCLUDED.chosen_days, chosen_by = EXCLUDED.chosen_by, chosen_at = EXCLUDED.chosen_at
"""
_TIDIED = """
INSERT INTO retention (limit_days, tidied_at, postponed)
VALUES ($1, $2, $3)
    ON CONFLICT (singleton) DO UPDATE
       SET limit_days = EXCLUDED.limit_days, tidied_at = EXCLUDED.tidied_at, postponed = EXCLUDED.postponed
"""
_DOOMED = """
SELECT (SELECT count(*) FROM (SELECT FROM predictions WHERE created_at < $1 LIMIT $2) AS counted) AS predictions,
       (SELECT count(*) FROM (SELECT FROM feedback WHERE predicted_at < $1 LIMIT $2) AS counted) AS votes,
       (SELECT created_at FROM predictions ORDER BY created_at LIMIT 1) AS oldest
"""
# As the last vacuum of each month found it, to two digits. The name holds the month.
_ESTIMATE = """
WITH months AS MATERIALIZED (
    SELECT substr(c.relname, 13) AS month, greatest(c.reltuples, 0) AS answers
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'predictions'::regclass
), doomed AS (
    SELECT sum(answers)::numeric AS answers
      FROM months
     WHERE to_date(month, 'YYYY_MM') < ($1::timestamptz AT TIME ZONE 'UTC')::date
)
SELECT CASE WHEN answers > 0 THEN round(answers, 1 - floor(log(answers))::integer) ELSE 0 END::bigint
  FROM doomed
"""
COUNTED_ROWS = 10_000


class RetentionTable:
    """The retention table, which has one row."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self) -> RetentionRow:
        row = await self._connection.fetchrow(_GET)
        if row is None:  # a restored database may lack it
            return RetentionRow(Retention(), None, None, None, postponed=False)
        return RetentionRow(
            retention=Retention(_days(row["chosen_days"]), _days(row["limit_days"])),
            chosen_by=row["chosen_by"],
            chosen_at=row["chosen_at"],
            tidied_at=row["tidied_at"],
            postponed=row["postponed"],
        )

    async def choose(self, days: int | None, *, by: str) -> None:
        """None takes the choice back: then only the housekeeping's own limit counts."""
        await self._connection.execute(_CHOOSE, days, by)

    async def tidied(self, limit: timedelta | None, *, at: datetime, postponed: bool) -> None:
        """What the housekeeping was told and did, for people to see."""
        days = None if limit is None else limit.days
        await self._connection.execute(_TIDIED, days, at, postponed)

    async def doomed(self, first_kept: datetime) -> Doomed:
        row = await self._connection.fetchrow(_DOOMED, first_kept, COUNTED_ROWS)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        found = Doomed(**row)
        if found.predictions < COUNTED_ROWS:
            return found
        estimate = await self._connection.fetchval(_ESTIMATE, first_kept)
        return replace(found, predictions=max(COUNTED_ROWS, estimate or 0), estimated=True)


def _days(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(days=count)
