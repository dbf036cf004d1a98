"""What dashboards may read: every column but those that hold what people wrote, who may log in, or keys and hashes.

Granted column by column, and anew after every migration, so a table made later can be read too. Months of predictions
are read through their parent alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sentops_core.store.pool import Connection

READER = "grafana"

_CLOSED_TABLES = frozenset({"users", "sessions", "api_tokens"})
_CLOSED_COLUMNS = frozenset(
    {
        "answer_tallies.word_slots",  # in a quiet ten minutes, of one text
        "audit_log.evidence",  # free-form
        "dataset_versions.report",  # quotes rows of uploaded files
        "examples.group_key",  # names a review, a thread or a customer
    }
)
# Any word of a column's name: also in tables that nobody has thought of yet.
_CLOSED_WORDS = frozenset(
    {"comment", "csrf", "key", "note", "password", "salt", "secret", "text", "texts", "token"}
)
_CLOSED_TYPES = frozenset({"bytea"})  # hashes: a short text can be guessed from one

_COLUMNS = """
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, NULL) AS type
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'public'::regnamespace
   AND c.relkind IN ('r', 'p', 'v', 'm')
   AND NOT c.relispartition
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY c.relname, a.attnum
"""
_GRANT_COLUMNS = """
SELECT format('GRANT SELECT (%s) ON public.%I TO grafana',
              (SELECT string_agg(format('%I', name), ', ') FROM unnest($2::text[]) AS name), $1::text)
"""


def is_readable(table: str, column: str, data_type: str) -> bool:
    """Whether a dashboard may show it."""
    return not (
        table in _CLOSED_TABLES
        or f"{table}.{column}" in _CLOSED_COLUMNS
        or data_type in _CLOSED_TYPES
        or _CLOSED_WORDS.intersection(column.split("_"))
    )


def readable_columns(columns: Iterable[tuple[str, str, str]]) -> Mapping[str, list[str]]:
    """By table, of (table, column, type)."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for table, column, data_type in columns:
        if is_readable(table, column, data_type):
            found[table].append(column)
    return found


async def grant_reading(connection: Connection) -> int:
    """Give the role `grafana` exactly this in the connected database; how many tables that are.

    All at once, so a dashboard never meets a moment without.
    """
    async with connection.transaction():
        await connection.execute("GRANT USAGE ON SCHEMA public TO grafana")
        await connection.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM grafana")
        readable = readable_columns(tuple(row) for row in await connection.fetch(_COLUMNS))
        for table, columns in readable.items():
            await connection.execute(await connection.fetchval(_GRANT_COLUMNS, table, columns))
    return len(readable)
