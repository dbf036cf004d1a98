"""Makes a PostgreSQL server ready for the platform, as its superuser: roles, databases, schema, rights.

`python -m sentops_core.store.prepare` may run at every start: what is there is left alone, passwords are set to the
ones given now, and what dashboards may read is granted anew after the migrations. In the environment:
SENTOPS_SUPERUSER_URL, SENTOPS_DATABASE_PASSWORD (role sentops, which owns database prediction), and, where wanted,
SENTOPS_GRAFANA_DATABASE_PASSWORD (role grafana, which only reads) and SENTOPS_MLFLOW_DATABASE_PASSWORD (role and
database mlflow).
"""

import argparse
import asyncio
import hashlib
import hmac
import os
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote, urlsplit

import asyncpg
import structlog

from sentops_core.domain.errors import Conflict, InvalidInput, PlatformError, Unavailable
from sentops_core.store.dashboard_access import READER, grant_reading
from sentops_core.store.migrate import connected, migrate_url
from sentops_core.store.pool import Connection, database_errors
from sentops_core.telemetry import configure_logging

log = structlog.get_logger()

OWNER, DATABASE = "sentops", "prediction"
TRACKER = "mlflow"  # the role, and the database that it owns
_ROLES = (OWNER, READER, TRACKER)
_OLDEST_SERVER = 150_000  # before it, everybody could make tables in the schema public
_LOCK = 5_340_021_119  # any constant of ours: two of us take turns
_SCRAM_ITERATIONS = 4096

_SERVER = """
SELECT current_user AS name, rolsuper AS is_superuser, current_setting('server_version_num')::integer AS version
  FROM pg_roles
 WHERE rolname = current_user
"""
_ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
# What defines things takes no parameters, so the server itself quotes the names.
_CREATE_ROLE = "SELECT format('CREATE ROLE %I', $1::text)"
_SET_ROLE = """
SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS '
              'VALID UNTIL %L PASSWORD %L', $1::text, 'infinity', $2::text)
"""
_DATABASE_OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1"
_CREATE_DATABASE = """
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L', $1::text, $2::text, 'UTF8')
"""
_GIVE_DATABASE = "SELECT format('ALTER DATABASE %I OWNER TO %I', $1::text, $2::text)"
_CLOSE_DATABASE = "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $1::text)"
_FOREIGN_TABLE = """
SELECT c.relname AS name, pg_get_userbyid(c.relowner) AS owner
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace
   AND c.relkind IN ('r', 'p', 'S')
   AND pg_get_userbyid(c.relowner) <> $1
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY c.relname
 LIMIT 1
"""
_MEMBERSHIP = """
SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)
"""
# A session may lift the read-only default and the timeouts for itself; the rest, and what is granted, it cannot.
_BOUND_READER = """
ALTER ROLE grafana CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
ALTER ROLE grafana SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE grafana SET temp_file_limit = '1GB';
"""
_LET_READER_IN = "REVOKE ALL ON DATABASE prediction FROM grafana; GRANT CONNECT ON DATABASE prediction TO grafana"


@dataclass(frozen=True)
class Wanted:
    """Where, and the roles' passwords; a role without one is left as it is, or out."""

    superuser_url: str = field(repr=False)
    database_password: str = field(repr=False)
    grafana_password: str | None = field(default=None, repr=False)
    mlflow_password: str | None = field(default=None, repr=False)

    def url_of(self, user: str, password: str, database: str) -> str:
        """The same server for another role."""
        parts = urlsplit(self.superuser_url)
        host = parts.netloc.rpartition("@")[2]
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return parts._replace(netloc=f"{login}@{host}", path=f"/{database}").geturl()

    def superuser_url_of(self, database: str) -> str:
        return urlsplit(self.superuser_url)._replace(path=f"/{database}").geturl()


def wanted(environment: Mapping[str, str]) -> Wanted:
    """InvalidInput says what to set."""
    url = environment.get("SENTOPS_SUPERUSER_URL", "")
    if not _is_address(url):
        raise InvalidInput(
            "Set SENTOPS_SUPERUSER_URL to the server to prepare (postgresql://postgres:...@host:5432/postgres)."
        )
    passwords = {
        name: _password(environment, f"SENTOPS_{name}")
        for name in ("DATABASE_PASSWORD", "GRAFANA_DATABASE_PASSWORD", "MLFLOW_DATABASE_PASSWORD")
    }
    owners = passwords["DATABASE_PASSWORD"]
    if owners is None:
        raise InvalidInput(
            f"Set SENTOPS_DATABASE_PASSWORD: the role {OWNER}, as which all programs work, gets it."
        )
    return Wanted(
        url, owners, passwords["GRAFANA_DATABASE_PASSWORD"], passwords["MLFLOW_DATABASE_PASSWORD"]
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"postgresql", "postgres"} and bool(parts.hostname) and parts.port != 0
        )
    except ValueError:  # a port that is no number
        return False


def _password(environment: Mapping[str, str], name: str) -> str | None:
    password = environment.get(name) or None
    if password is not None and not all("!" <= letter <= "~" for letter in password):
        raise InvalidInput(
            f"{name} holds a space, a control character or one that is not ASCII: choose another password."
        )
    return password


async def prepare_server(wanted: Wanted, *, patience: timedelta = timedelta()) -> list[str]:
    """Bring the server to the wanted state from whatever it has of it; the migrations applied now."""
    server = await _as_superuser(wanted, patience)
    try:
        with _one_sentence():
            await server.execute("SET statement_timeout = '15min'")  # another one may be migrating
            await server.execute("SELECT pg_advisory_lock($1)", _LOCK)
            superuser = await _check_server(server)
            await _set_role(server, OWNER, wanted.database_password)
            await _set_database(server, DATABASE, OWNER, superuser)
            if wanted.mlflow_password is not None:
                await _set_role(server, TRACKER, wanted.mlflow_password)
                await _set_database(server, TRACKER, TRACKER, superuser)
            if wanted.grafana_password is not None:
                await _refuse_membership(server, READER)
                await _set_role(server, READER, wanted.grafana_password)
                await server.execute(_BOUND_READER)
            return await _set_up_database(wanted)
    finally:
        await server.close()  # which frees the lock


async def _as_superuser(wanted: Wanted, patience: timedelta) -> Connection:
    try:
        return await connected(
            wanted.superuser_url, patience=patience, application_name="sentops prepare"
        )
    except Unavailable:
        raise
    except PlatformError as error:
        raise PlatformError(
            f"{error} A server keeps the superuser's password it was made with: with compose, put the old "
            "POSTGRES_PASSWORD back into .env, or set the new one inside: "
            "docker compose exec postgres psql --username postgres --command '\\password'"
        ) from error


async def _check_server(server: Connection) -> str:
    """The superuser's name; PlatformError when this is no server that we can prepare."""
    found = await server.fetchrow(_SERVER)
    assert found is not None  # noqa: S101 - we are connected as this role
    name: str = found["name"]
    if not found["is_superuser"]:
        raise Conflict(
            f"Role {name!r} is no superuser of this server: name one in SENTOPS_SUPERUSER_URL."
        )
    if name in _ROLES:
        raise Conflict(
            f"The superuser of this server is called {name!r}, as a role of the platform that must not have "
            "its rights: make a superuser of another name (postgres) and name it in SENTOPS_SUPERUSER_URL."
        )
    if found["version"] < _OLDEST_SERVER:
        raise Conflict(
            f"This is PostgreSQL {found['version'] // 10_000}; the platform needs "
            f"{_OLDEST_SERVER // 10_000} or newer."
        )
    return name


async def _set_role(server: Connection, role: str, password: str) -> None:
    if not await server.fetchval(_ROLE_EXISTS, role):
        await _define(server, _CREATE_ROLE, role)
        log.info("role_created", name=role)
    # Only what the password is checked with travels, so no log of the server can hold the password.
    await _define(server, _SET_ROLE, role, scram_verifier(password))


async def _set_database(server: Connection, name: str, owner: str, superuser: str) -> None:
    """Ours, closed to everybody else; one that the superuser made is handed over."""
    found = await server.fetchval(_DATABASE_OWNER, name)
    if found is None:
        await _define(server, _CREATE_DATABASE, name, owner)
        log.info("database_created", name=name)
    elif found == superuser:
        await _define(server, _GIVE_DATABASE, name, owner)
        log.info("database_handed_over", name=name, owner=owner)
    elif found != owner:
        raise Conflict(
            f"Database {name!r} of this server belongs to {found!r}, not to {owner!r}: if it is the platform's, "
            f"run ALTER DATABASE {name} OWNER TO {owner}; otherwise give the platform a server of its own."
        )
    await _define(server, _CLOSE_DATABASE, name)


async def _refuse_membership(server: Connection, role: str) -> None:
    other = await server.fetchval(_MEMBERSHIP, role)
    if other is not None:
        raise Conflict(
            f"Role {role!r} is a member of {other!r}, so it could do more than read: "
            f"run REVOKE {other} FROM {role}."
        )


async def _set_up_database(wanted: Wanted) -> list[str]:
    """Schema and rights inside the platform's database."""
    url = wanted.superuser_url_of(DATABASE)
    inside = await connected(url, patience=timedelta(), application_name="sentops prepare")
    try:
        foreign = await inside.fetchrow(_FOREIGN_TABLE, OWNER)
        if foreign is not None:
            raise Conflict(
                f"Table {foreign['name']!r} in database {DATABASE!r} belongs to {foreign['owner']!r}, not to "
                f"{OWNER!r}, as after a restore by another role: give it and its like to {OWNER!r} "
                f"(ALTER TABLE ... OWNER TO {OWNER})."
            )
        await inside.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        applied = await migrate_url(wanted.url_of(OWNER, wanted.database_password, DATABASE))
        if wanted.grafana_password is not None:
            await inside.execute(_LET_READER_IN)
            log.info("reading_granted", role=READER, tables=await grant_reading(inside))
        return applied
    finally:
        await inside.close()


async def _define(server: Connection, template: str, *values: str) -> None:
    await server.execute(await server.fetchval(template, *values))


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps instead of a password (RFC 5803); it takes this in place of one."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    in_text = [b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{in_text[0]}${in_text[1]}:{in_text[2]}"


@contextmanager
def _one_sentence() -> Iterator[None]:
    """What the server refuses becomes its own sentence; it never quotes a statement."""
    try:
        with database_errors():
            yield
    except asyncpg.PostgresError as error:
        raise PlatformError(f"The server could not be prepared: {error}") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sentops_core.store.prepare")
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="how long to wait for a server that does not answer yet (%(default)s)",
    )
    patience = timedelta(seconds=parser.parse_args().wait)
    configure_logging("prepare")
    try:
        applied = asyncio.run(prepare_server(wanted(os.environ), patience=patience))
    except PlatformError as error:
        sys.exit(str(error))
    log.info("server_prepared", migrations=len(applied))


if __name__ == "__main__":
    main()
