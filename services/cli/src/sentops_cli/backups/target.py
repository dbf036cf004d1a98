"""The database that a backup is restored into: is it ours to fill, and does nobody use it."""

import asyncio
import time
from dataclasses import dataclass

from sentops_cli.backups.manifest import Backup
from sentops_cli.backups.snapshot import count_rows, server_version
from sentops_cli.outcome import CommandError, ExitCode
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Connection, database_errors, describe, open_connection

_LEDGER = "schema_migrations"
# What only use of the platform fills; other tables have rows from the start (settings, the ledger).
_FILLED_BY_USE = (
    *("predictions", "feedback", "examples", "datasets", "training_jobs", "model_versions"),
    *("users", "api_tokens", "audit_log"),
)
_PATIENCE = 5.0  # seconds: who was stopped just now closes its sessions in a moment
_PAUSE = 0.25

_SESSIONS = """
SELECT coalesce(nullif(application_name, ''), 'a program that does not say its name') AS name, count(*) AS count
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
   AND coalesce(backend_type, 'client backend') = 'client backend'
 GROUP BY 1
 ORDER BY 1
"""

# Runs in the transaction of the restore. Extensions are the server's, not ours.
CLEAR = """
SET LOCAL lock_timeout = '10s';
SET LOCAL statement_timeout = 0;
SET LOCAL client_min_messages = warning;
DO $clear$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('DROP %s IF EXISTS public.%I CASCADE',
                      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                                     WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname)
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
           AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
         ORDER BY c.relkind IN ('v', 'm') DESC, c.relkind = 'S'
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
          FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format('DROP TYPE IF EXISTS public.%I CASCADE', t.typname)
          FROM pg_type t
         WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
END
$clear$;
"""

# Rows name folders by their full address; in another store than the backup's they must name that one.
# In jsonb's text an address is quoted, so the quote before it makes sure that only whole addresses change.
MOVE_STORE = """
UPDATE public.dataset_versions
   SET storage_uri = :'new_store' || substr(storage_uri, length(:'old_store') + 1)
 WHERE starts_with(storage_uri, :'old_store' || '/');
UPDATE public.model_versions
   SET spec = replace(spec::text, '"' || :'old_store' || '/', '"' || :'new_store' || '/')::jsonb
 WHERE position('"' || :'old_store' || '/' IN spec::text) > 0;
UPDATE public.training_jobs
   SET spec = replace(replace(spec::text, '"' || :'old_store' || '/', '"' || :'new_store' || '/'),
                      '"' || :'old_store' || '"', '"' || :'new_store' || '"')::jsonb,
       status = replace(status::text, '"' || :'old_store' || '/', '"' || :'new_store' || '/')::jsonb
 WHERE position('"' || :'old_store' IN spec::text || status::text) > 0;
"""


@dataclass(frozen=True)
class Target:
    server_version: int


def inspect(url: str, backup: Backup, *, replace: bool) -> Target:
    """What must be known before anything is done; CommandError when the database may not be filled."""
    return asyncio.run(_inspect(url, backup, replace=replace))


async def _inspect(url: str, backup: Backup, *, replace: bool) -> Target:
    connection = await open_connection(url, application_name="sentops restore")
    try:
        with database_errors():
            version = await server_version(connection)
            if version < backup.server_version:
                raise CommandError(
                    f"The backup {backup.name} is of PostgreSQL {backup.server_version}, and {describe(url)} is "
                    f"PostgreSQL {version}: restore it on {backup.server_version} or newer.",
                    ExitCode.REFUSED,
                )
            _refuse_full(url, await count_rows(connection), replace=replace)
            await _refuse_used(connection, url)
    finally:
        await connection.close()
    return Target(version)


def _refuse_full(url: str, rows: dict[str, int], *, replace: bool) -> None:
    """A schema that nobody has used counts as empty: that is what preparing a server leaves."""
    if rows and _LEDGER not in rows:
        raise CommandError(
            f"The database {describe(url)} holds tables that are not Sentops' ({', '.join(list(rows)[:3])}): "
            "restore into an empty one.",
            ExitCode.REFUSED,
        )
    full = {name: rows[name] for name in _FILLED_BY_USE if rows.get(name)}
    if full and not replace:
        some = ", ".join(f"{count} in {name}" for name, count in list(full.items())[:4])
        raise CommandError(
            f"The database {describe(url)} is not empty ({some} ...): --replace throws that away for the backup's "
            "content. Make a backup of it first if you are not sure.",
            ExitCode.REFUSED,
        )


async def _refuse_used(connection: Connection, url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while found := await connection.fetch(_SESSIONS):
        if time.monotonic() > deadline:
            names = ", ".join(f"{row['name']} ({row['count']})" for row in found)
            raise CommandError(
                f"The database {describe(url)} is in use by {names}: stop the programs first "
                "(compose: `docker compose stop`, then `docker compose start postgres`).",
                ExitCode.REFUSED,
            )
        await asyncio.sleep(_PAUSE)


def settle(url: str, backup: Backup, place_uri: str, actor: str) -> dict[str, tuple[int, int]]:
    """Note the restore in the audit log; the tables whose count is not the backup's, as (expected, found)."""
    return asyncio.run(_settle(url, backup, place_uri, actor))


async def _settle(
    url: str, backup: Backup, place_uri: str, actor: str
) -> dict[str, tuple[int, int]]:
    connection = await open_connection(url, application_name="sentops restore")
    try:
        with database_errors():
            await connection.execute("SET statement_timeout = 0")
            rows = await count_rows(connection)
            await connection.execute("ANALYZE")
            await Audit(connection).record(
                actor, "backup.restored", backup.name, {"place": place_uri}
            )
    finally:
        await connection.close()
    return {
        name: (backup.rows.get(name, 0), rows.get(name, 0))
        for name in sorted(backup.rows.keys() | rows.keys())
        if backup.rows.get(name) != rows.get(name)
    }
