"""How much of a version's votes comes from the client that gave most of them."""

from collections.abc import Mapping
from datetime import datetime

from sentops_core.store.pool import Connection

_LARGEST_SHARES = """
WITH given AS (
    SELECT p.model_version, v.client, v.predicted_at
      FROM counted_votes v
      JOIN predictions p ON p.created_at = v.predicted_at AND p.id = v.prediction_id
     WHERE v.predicted_at >= $3 AND p.created_at >= $3 AND NOT p.shadow
),
counted AS (
    SELECT w.name, g.model_version, g.client, count(*) AS votes
      FROM given g
      JOIN unnest($1::text[], $2::timestamptz[]) AS w (name, beginning) ON g.predicted_at >= w.beginning
     GROUP BY w.name, g.model_version, g.client
)
SELECT model_version, name, max(votes)::float8 / sum(votes)::float8 AS share
  FROM counted
 GROUP BY model_version, name
"""


async def largest_source_shares(
    connection: Connection, beginnings: Mapping[str, datetime]
) -> dict[tuple[str, str], float]:
    """By version and name of the window, which begins at the given moment; those without votes are absent.

    Reads every vote of the longest window.
    """
    if not beginnings:
        return {}
    rows = await connection.fetch(
        _LARGEST_SHARES,
        list(beginnings),
        list(beginnings.values()),
        min(beginnings.values()),
    )
    return {(row["model_version"], row["name"]): row["share"] for row in rows}
