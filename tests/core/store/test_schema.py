"""schema.sql, which people read, says exactly what the migrations build."""

from importlib.resources import files

import pytest

from sentops_core.store.pool import Connection, open_connection

pytestmark = pytest.mark.pg

# Everything that our schema uses, as text that PostgreSQL itself writes; names of columns only make lines readable.
CATALOG = """
SELECT 'column', format('%s.%s', c.relname, a.attname),
       format('%s %s null=%s default=%s identity=%s position=%s', c.relkind, format_type(a.atttypid, a.atttypmod),
              NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attnum)
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p', 'v', 'S')
UNION ALL
SELECT 'index', c.relname, pg_get_indexdef(c.oid)
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('i', 'I')
UNION ALL
SELECT 'constraint', format('%s.%s', r.conrelid::regclass, r.conname), pg_get_constraintdef(r.oid)
  FROM pg_constraint r WHERE r.connamespace = 'public'::regnamespace
UNION ALL
SELECT 'partitioning', c.relname, concat(pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid))
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
  FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', format('%s.%s', t.tgrelid::regclass, t.tgname), pg_get_triggerdef(t.oid)
  FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL
SELECT 'view', c.relname, pg_get_viewdef(c.oid)
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
UNION ALL
SELECT 'type', t.typname, t.typtype::text
  FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd')
UNION ALL
SELECT 'extension', e.extname, '' FROM pg_extension e
"""


async def catalog(connection: Connection) -> dict[tuple[str, str], str]:
    return {(kind, name): what for kind, name, what in await connection.fetch(CATALOG)}


async def test_schema_sql_equals_the_migrations(
    connection: Connection, empty_database_url: str
) -> None:
    schema = files("sentops_core.store").joinpath("schema.sql").read_text(encoding="utf-8")
    from_schema = await open_connection(empty_database_url)
    await from_schema.execute(schema)
    written, built = await catalog(from_schema), await catalog(connection)
    await from_schema.close()
    assert ("column", "predictions.text") in built
    assert written == built


async def test_the_comparison_sees_a_difference(connection: Connection) -> None:
    before = await catalog(connection)
    await connection.execute("ALTER TABLE feedback ALTER COLUMN source DROP DEFAULT")
    assert await catalog(connection) != before
