"""One moment of the database: its schema, its counts, and the folders of the store that its rows name."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from sentops_cli.backups.manifest import LISTING_SEAL, MANIFEST_SEAL, SchemaStep, Seal
from sentops_core.domain.errors import PlatformError
from sentops_core.domain.resources import ModelVersionPhase
from sentops_core.store.pool import Connection, database_errors, open_connection

# As long as the dump takes, this session does nothing but hold its moment.
_NO_LIMITS = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
_SERVER_VERSION = "SELECT current_setting('server_version_num')::int / 10000"
_EXPORT = "SELECT pg_export_snapshot()"
_LEDGER_EXISTS = "SELECT to_regclass('public.schema_migrations') IS NOT NULL"
# By way of jsonb: an older ledger has no works_with.
_MIGRATIONS = """
SELECT version, checksum, (to_jsonb(schema_migrations) ->> 'works_with')::integer AS works_with
  FROM public.schema_migrations
 ORDER BY version
"""
# The server itself quotes the names: identifiers cannot be parameters.
_COUNTS = """
SELECT c.relname AS name, format('SELECT count(*) FROM public.%I', c.relname) AS statement
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
   AND c.relname <> ALL ($1)
 ORDER BY c.relname
"""
_VERSIONS = """
SELECT name, digest, phase, spec -> 'artifact' ->> 'storageUri' AS storage_uri
  FROM public.model_versions
 ORDER BY model_name, version
"""
_DATASETS = """
SELECT name, storage_uri, erased_rows
  FROM public.dataset_versions
 ORDER BY number
"""
# A job that has not ended reads its data again, whether or not a dataset version names them.
_OPEN_JOBS = """
SELECT name, spec -> 'dataset' ->> 'storageUri' AS storage_uri
  FROM public.training_jobs
 WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed')
 ORDER BY name
"""
# Tables whose rows a backup leaves out: what an MLflow was told is no truth of ours, and another one was told nothing.
LEFT_OUT = ("mlflow_mirror",)
# What no longer serves may have been deleted on purpose, to make room or to complete an erasure.
_OUT_OF_USE = frozenset({ModelVersionPhase.ARCHIVED, ModelVersionPhase.QUARANTINED})


@dataclass(frozen=True)
class Wanted:
    """A folder that rows name; `digest` is None where its content tells it."""

    wanted_by: str
    storage_uri: str
    seal: Seal
    digest: str | None
    needed: bool


@dataclass(frozen=True)
class Moment:
    """`token` lets pg_dump see exactly this moment, for as long as the session that holds it lives."""

    token: str
    server_version: int
    migrations: dict[int, SchemaStep]
    rows: dict[str, int]
    wanted: tuple[Wanted, ...]


@contextmanager
def moment_of_database(url: str) -> Iterator[Moment]:
    """The database as it is now; it goes on changing, but not for whoever reads with the token."""
    with asyncio.Runner() as runner:
        connection = runner.run(open_connection(url, application_name="sentops backup"))
        try:
            moment = runner.run(_observe(connection))
            yield moment
        finally:
            connection.terminate()  # nothing to commit, and perhaps nobody there any more


async def _observe(connection: Connection) -> Moment:
    with database_errors():
        await connection.execute(_NO_LIMITS)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if not await connection.fetchval(_LEDGER_EXISTS):
            raise PlatformError(
                "This database was never used by Sentops (it has no table schema_migrations); "
                "check the database URL."
            )
        return Moment(
            token=await connection.fetchval(_EXPORT),
            server_version=await server_version(connection),
            migrations={
                row["version"]: SchemaStep(checksum=row["checksum"], works_with=row["works_with"])
                for row in await connection.fetch(_MIGRATIONS)
            },
            rows=await count_rows(connection),
            wanted=await _wanted(connection),
        )


async def server_version(connection: Connection) -> int:
    """PostgreSQL's major version."""
    version: int = await connection.fetchval(_SERVER_VERSION)
    return version


async def count_rows(connection: Connection) -> dict[str, int]:
    """Of every table that backups keep; partitions count for their parent."""
    found = await connection.fetch(_COUNTS, LEFT_OUT)
    return {row["name"]: await connection.fetchval(row["statement"]) for row in found}


async def _wanted(connection: Connection) -> tuple[Wanted, ...]:
    try:
        versions = await connection.fetch(_VERSIONS)
        datasets = await connection.fetch(_DATASETS)
        jobs = await connection.fetch(_OPEN_JOBS)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise PlatformError(
            f"The database is half made ({error}): start the programs of its version once, then back up."
        ) from error
    models = [
        Wanted(
            wanted_by=f"model version {row['name']}",
            storage_uri=row["storage_uri"],
            seal=MANIFEST_SEAL,
            digest=row["digest"].removeprefix("sha256:"),
            needed=row["phase"] not in _OUT_OF_USE,
        )
        for row in versions
    ]
    data = [
        Wanted(
            wanted_by=f"dataset version {row['name']}",
            storage_uri=row["storage_uri"],
            seal=LISTING_SEAL,
            digest=None,
            needed=not row["erased_rows"],
        )
        for row in datasets
    ]
    known = {one.storage_uri for one in data}
    more = [
        Wanted(f"training job {row['name']}", row["storage_uri"], LISTING_SEAL, None, needed=True)
        for row in jobs
        if row["storage_uri"] not in known
    ]
    return tuple(models + data + more)
