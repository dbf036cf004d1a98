"""A server made ready by its superuser: roles, databases, schema, and who may do what. On a server of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from sentops_core.domain.errors import InvalidInput, PlatformError
from sentops_core.store.dashboard_access import is_readable
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import known_migrations, require_current
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.prepare import Wanted, prepare_server, wanted
from tests.support.cable import a_cable
from tests.support.postgres import UNSAFE_AND_QUICK, a_free_port, run_aside, with_database

pg = pytest.mark.pg

OWNERS, READERS, TRACKERS = "own'er%s\"@:/", "read-er\\x", "track$er"


@contextmanager
def a_server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """As the official image makes one (superuser postgres), and writing every statement to its log."""
    made = EmbeddedPostgres(
        folder / "postgres",
        port=a_free_port(),
        password="super secret",
        user="postgres",
        database="postgres",
        settings=UNSAFE_AND_QUICK | {"log_statement": "all", "log_min_duration_statement": "0"},
    )
    made.start()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with a_server(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture
def bare(server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server without anything that an earlier test made."""
    run_aside(_clear(server.url))
    return server


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server for tests that only look: prepared, with a month of predictions."""

    async def prepare(server: EmbeddedPostgres) -> None:
        await prepare_server(all_roles(server))
        owner = await as_owner(server)
        await Predictions(owner).ensure_partitions(datetime.now(UTC))
        await owner.close()

    with a_server(tmp_path_factory.mktemp("prepared")) as made:
        run_aside(prepare(made))
        yield made


async def _clear(url: str) -> None:
    connection = await open_connection(url)
    for name in await column(connection, "SELECT datname FROM pg_database WHERE NOT datistemplate"):
        if name != "postgres":
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    for name in await column(
        connection, "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'"
    ):
        if name != "postgres":
            await connection.execute(f"DROP ROLE {name}")
    await connection.close()


async def column(connection: Connection, query: str) -> list[str]:
    return [row[0] for row in await connection.fetch(query)]


def all_roles(server: EmbeddedPostgres) -> Wanted:
    return Wanted(server.url, OWNERS, READERS, TRACKERS)


def url_of(server: EmbeddedPostgres, user: str, password: str, database: str) -> str:
    address = urlsplit(server.url)
    netloc = f"{user}:{quote(password, safe='')}@127.0.0.1:{server.port}"
    return address._replace(netloc=netloc, path=f"/{database}").geturl()


async def as_owner(server: EmbeddedPostgres) -> Connection:
    return await open_connection(url_of(server, "sentops", OWNERS, "prediction"))


async def as_reader(server: EmbeddedPostgres) -> Connection:
    return await open_connection(url_of(server, "grafana", READERS, "prediction"))


async def administer(server: EmbeddedPostgres, *statements: str, database: str = "") -> None:
    connection = await open_connection(
        with_database(server.url, database) if database else server.url
    )
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def may(connection: Connection, statement: str) -> bool:
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


@pg
async def test_a_bare_server_gets_roles_databases_and_the_schema(bare: EmbeddedPostgres) -> None:
    names = [f"{one.version:04}_{one.name}" for one in known_migrations()]
    assert await prepare_server(all_roles(bare)) == names
    owner = await as_owner(bare)
    await require_current(owner)
    await Predictions(owner).ensure_partitions(datetime.now(UTC))
    assert set(
        await column(owner, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    ) == {"sentops"}
    attributes = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    assert (
        await column(
            owner, f"SELECT rolname FROM pg_roles WHERE rolname <> 'postgres' AND ({attributes})"
        )
        == []
    )
    await owner.close()
    tracker = await open_connection(url_of(bare, "mlflow", TRACKERS, "mlflow"))
    await tracker.execute("CREATE TABLE runs (a int)")
    await tracker.close()


@pg
async def test_a_second_time_changes_nothing_and_keeps_everything(bare: EmbeddedPostgres) -> None:
    await prepare_server(all_roles(bare))
    owner = await as_owner(bare)
    await owner.execute("INSERT INTO audit_log (actor, action, subject) VALUES ('a', 'b', 'kept')")
    assert await prepare_server(all_roles(bare)) == []
    assert await column(owner, "SELECT subject FROM audit_log") == ["kept"]
    await owner.close()


@pg
async def test_two_at_once_take_turns(bare: EmbeddedPostgres) -> None:
    answers = await asyncio.gather(*(prepare_server(all_roles(bare)) for _ in range(2)))
    assert sorted(map(len, answers)) == [0, len(known_migrations())]


@pg
async def test_passwords_are_those_given_last(bare: EmbeddedPostgres) -> None:
    await prepare_server(all_roles(bare))
    await prepare_server(replace(all_roles(bare), grafana_password="new", mlflow_password="newer"))
    for user, password, database in (
        ("grafana", "new", "prediction"),
        ("mlflow", "newer", "mlflow"),
    ):
        connection = await open_connection(url_of(bare, user, password, database))
        await connection.close()
    with pytest.raises(PlatformError, match="refuses us"):
        await as_reader(bare)


@pg
async def test_no_password_reaches_the_servers_log(bare: EmbeddedPostgres) -> None:
    passwords = Wanted(bare.url, "owner-wOrd", "reader-wOrd", "tracker-wOrd")
    await prepare_server(passwords)
    logged = bare.log_tail(100_000)
    assert "ALTER ROLE" in logged
    assert "wOrd" not in logged
    assert "wOrd" not in repr(passwords)


@pg
async def test_what_is_not_wanted_is_left_out(bare: EmbeddedPostgres) -> None:
    await prepare_server(Wanted(bare.url, OWNERS))
    connection = await open_connection(bare.url)
    assert await column(
        connection, "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1"
    ) == ["postgres", "sentops"]
    assert (
        await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = 'mlflow'") == 0
    )
    await connection.close()


@pg
async def test_nobody_else_may_connect(bare: EmbeddedPostgres) -> None:
    await prepare_server(all_roles(bare))
    await administer(bare, "CREATE ROLE stranger LOGIN PASSWORD 'known'")
    for user, password, database in (
        ("stranger", "known", "prediction"),
        ("stranger", "known", "mlflow"),
        ("grafana", READERS, "mlflow"),
        ("mlflow", TRACKERS, "prediction"),
    ):
        # PostgreSQL tells a missing CONNECT only after the password.
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await asyncpg.connect(url_of(bare, user, password, database))


@pg
@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("SELECT count(*) FROM predictions", True),
        ("SELECT label, score, model_version, created_at, client FROM predictions", True),
        ("SELECT f.label FROM feedback f JOIN predictions p ON p.id = f.prediction_id", True),
        ("SELECT status, phase FROM training_jobs", True),
        ("SELECT spec -> 'gateResult', digest FROM model_versions", True),
        ("SELECT content_hash, label_counts FROM dataset_versions", True),
        ("SELECT actor, action, subject FROM audit_log", True),
        ("SELECT version, works_with FROM schema_migrations", True),
        ("SELECT text FROM predictions", False),
        ("SELECT * FROM predictions", False),
        ("SELECT text_hash FROM predictions", False),
        ("SELECT note FROM feedback", False),
        ("SELECT text FROM examples", False),
        ("SELECT report FROM dataset_versions", False),
        ("SELECT name FROM users", False),
        ("SELECT password_hash FROM users", False),
        ("SELECT token_hash FROM sessions", False),
        ("SELECT count(*) FROM api_tokens", False),
        ("SELECT rolpassword FROM pg_authid", False),
        ("INSERT INTO audit_log (actor, action, subject) VALUES ('a', 'b', 'c')", False),
        ("UPDATE routing SET revision = 9", False),
        ("DELETE FROM feedback", False),
        ("TRUNCATE predictions", False),
        ("CREATE TABLE mine (a int)", False),
        ("CREATE TEMPORARY TABLE mine (a int)", False),
        ("CREATE SCHEMA mine", False),
        ("SELECT drop_predictions_before(now() + interval '9 years')", False),
        ("SELECT pg_read_file('/etc/passwd')", False),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", False),
        ("SET ROLE sentops", False),
    ],
)
async def test_dashboards_read_figures_but_no_texts_no_accounts_and_write_nothing(
    prepared: EmbeddedPostgres, statement: str, *, allowed: bool
) -> None:
    reader = await as_reader(prepared)
    await reader.execute("SET default_transaction_read_only = off")  # rights decide, not manners
    assert await may(reader, statement) is allowed
    await reader.close()


@pg
async def test_months_of_predictions_are_read_through_their_parent_alone(
    bare: EmbeddedPostgres,
) -> None:
    await prepare_server(all_roles(bare))
    owner = await as_owner(bare)
    (month, *_) = await Predictions(owner).ensure_partitions(datetime.now(UTC))
    reader = await as_reader(bare)
    for _ in range(2):
        assert await may(reader, "SELECT label FROM predictions")
        assert not await may(reader, f"SELECT label FROM {month}")
        assert not await may(reader, f"SELECT text FROM {month}")
        await prepare_server(all_roles(bare))
    await reader.close()
    await owner.close()


@pg
async def test_what_a_later_migration_makes_can_be_read_but_for_secrets_and_texts(
    bare: EmbeddedPostgres,
) -> None:
    await prepare_server(all_roles(bare))
    owner = await as_owner(bare)
    await owner.execute(
        'CREATE TABLE later (id int, "odd name" int, note text, api_key text, reset_token text)'
    )
    await owner.execute("CREATE VIEW summed AS SELECT label, count(*) FROM feedback GROUP BY label")
    await owner.close()
    await prepare_server(all_roles(bare))
    reader = await as_reader(bare)
    assert await may(reader, 'SELECT id, "odd name" FROM later')
    assert await may(reader, "SELECT label, count FROM summed")
    for closed in ("note", "api_key", "reset_token"):
        assert not await may(reader, f"SELECT {closed} FROM later")
    await reader.close()


@pg
async def test_rights_beyond_that_are_taken_back(bare: EmbeddedPostgres) -> None:
    await prepare_server(all_roles(bare))
    await administer(
        bare,
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO grafana",
        "GRANT SELECT (password_hash) ON users TO grafana",
        "GRANT ALL ON DATABASE prediction TO grafana",
        "ALTER ROLE grafana CREATEDB BYPASSRLS NOLOGIN",
        database="prediction",
    )
    await prepare_server(all_roles(bare))
    reader = await as_reader(bare)
    await reader.execute("SET default_transaction_read_only = off")
    assert await may(reader, "SELECT label FROM predictions")
    for statement in (
        "SELECT password_hash FROM users",
        "SELECT text FROM predictions",
        "UPDATE routing SET revision = 1",
        "CREATE TEMPORARY TABLE mine (a int)",
        "CREATE DATABASE mine",
    ):
        assert not await may(reader, statement), statement
    await reader.close()


@pg
async def test_a_dashboards_session_is_bounded(prepared: EmbeddedPostgres) -> None:
    reader = await asyncpg.connect(url_of(prepared, "grafana", READERS, "prediction"))
    shown = [
        await reader.fetchval(f"SHOW {name}")
        for name in ("default_transaction_read_only", "statement_timeout", "temp_file_limit")
    ]
    assert shown == ["on", "30s", "1GB"]
    limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'grafana'"
    assert await reader.fetchval(limit) == 20
    await reader.close()


CLOSED_COLUMNS = {
    "answer_tallies.word_slots",
    "audit_log.evidence",
    "counted_votes.note",
    "dataset_members.content_hash",
    "dataset_versions.report",
    "datasets.split_salt",
    "examples.content_hash",
    "examples.group_key",
    "examples.text",
    "feedback.note",
    "labelling_items.content_hash",
    "labelling_items.text",
    "labelling_votes.note",
    "predictions.text",
    "predictions.text_hash",
    "quarantined_sources.evidence_text",
    "quarantined_sources.note",
    "staged_pieces.content",
    "staged_uploads.choices_text",
    "staged_uploads.filename_text",
    "staged_uploads.preview_text",
    "version_references.profile_text",
}


@pg
async def test_the_columns_kept_from_dashboards_are_these(connection: Connection) -> None:
    """A new column that this names is closed by its name or type; think of what else a new table should keep."""
    found = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name NOT LIKE 'predictions\\__%'"
    )
    closed = {
        f"{table}.{name}" for table, name, kind in found if not is_readable(table, name, kind)
    }
    accounts = ("users.", "sessions.", "api_tokens.")
    assert {name for name in closed if not name.startswith(accounts)} == CLOSED_COLUMNS


@pg
@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            ["CREATE ROLE other", "CREATE DATABASE prediction OWNER other"],
            "belongs to 'other'.*ALTER DATABASE prediction OWNER TO sentops",
        ),
        (
            ["CREATE ROLE grafana", "GRANT pg_read_all_data TO grafana"],
            "REVOKE pg_read_all_data FROM grafana",
        ),
    ],
)
async def test_an_odd_state_is_one_sentence_with_the_way_out(
    bare: EmbeddedPostgres, before: list[str], said: str
) -> None:
    await administer(bare, *before)
    with pytest.raises(PlatformError, match=said):
        await prepare_server(all_roles(bare))


@pg
async def test_tables_restored_by_another_role_are_named(bare: EmbeddedPostgres) -> None:
    await administer(bare, "CREATE DATABASE prediction")
    await administer(bare, "CREATE TABLE predictions (a int)", database="prediction")
    with pytest.raises(PlatformError, match=r"Table 'predictions'.*belongs to 'postgres'"):
        await prepare_server(all_roles(bare))


@pg
async def test_an_empty_database_that_the_image_made_is_handed_over(bare: EmbeddedPostgres) -> None:
    await administer(bare, "CREATE DATABASE prediction")
    await prepare_server(all_roles(bare))
    owner = await as_owner(bare)
    await require_current(owner)
    await owner.close()


@pg
async def test_a_role_without_the_rights_is_told_what_is_needed(bare: EmbeddedPostgres) -> None:
    await administer(bare, "CREATE ROLE weak LOGIN PASSWORD 'w' CREATEDB CREATEROLE")
    weak = url_of(bare, "weak", "w", "postgres")
    with pytest.raises(PlatformError, match="'weak' is no superuser"):
        await prepare_server(replace(all_roles(bare), superuser_url=weak))


@pg
async def test_a_superuser_with_the_name_of_a_role_is_not_demoted(bare: EmbeddedPostgres) -> None:
    await administer(bare, "CREATE ROLE sentops SUPERUSER LOGIN PASSWORD 's'")
    named = url_of(bare, "sentops", "s", "postgres")
    with pytest.raises(PlatformError, match="another name"):
        await prepare_server(replace(all_roles(bare), superuser_url=named))
    connection = await open_connection(named)
    assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = 'sentops'")
    await connection.close()


def run_command(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTOPS_")}
    return subprocess.run(
        [sys.executable, "-m", "sentops_core.store.prepare", *options],
        env=kept | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pg
def test_the_command_prepares_and_tells_no_password(bare: EmbeddedPostgres) -> None:
    done = run_command(
        SENTOPS_SUPERUSER_URL=bare.url,
        SENTOPS_DATABASE_PASSWORD="hidden-owner",
        SENTOPS_GRAFANA_DATABASE_PASSWORD="hidden-reader",
        SENTOPS_MLFLOW_DATABASE_PASSWORD="",
    )
    assert done.returncode == 0, done.stderr
    assert "server_prepared" in done.stderr
    assert "reading_granted" in done.stderr
    assert "hidden" not in done.stderr + done.stdout


@pg
def test_a_superuser_password_that_the_server_never_had_is_explained(
    server: EmbeddedPostgres,
) -> None:
    done = run_command(
        SENTOPS_SUPERUSER_URL=url_of(server, "postgres", "not-it", "postgres"),
        SENTOPS_DATABASE_PASSWORD="x",
    )
    assert done.returncode == 1
    assert "put the old POSTGRES_PASSWORD back" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not-it" not in done.stderr


@pg
async def test_a_server_that_comes_up_late_is_waited_for(bare: EmbeddedPostgres) -> None:
    port = a_free_port()
    late = Wanted(bare.url.replace(f":{bare.port}/", f":{port}/"), OWNERS)
    preparing = asyncio.create_task(prepare_server(late, patience=timedelta(seconds=60)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(preparing)
    async with a_cable("127.0.0.1", bare.port, at=port):
        assert "0001_initial" in await preparing


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "Set SENTOPS_SUPERUSER_URL"),
        ({"SENTOPS_SUPERUSER_URL": "postgres"}, "Set SENTOPS_SUPERUSER_URL"),
        ({"SENTOPS_SUPERUSER_URL": "postgresql://u:p@h:port/x"}, "Set SENTOPS_SUPERUSER_URL"),
        ({"SENTOPS_SUPERUSER_URL": "postgresql://h/x"}, "Set SENTOPS_DATABASE_PASSWORD"),
        (
            {
                "SENTOPS_SUPERUSER_URL": "postgresql://h/x",
                "SENTOPS_DATABASE_PASSWORD": "pässword",
            },
            "SENTOPS_DATABASE_PASSWORD holds",
        ),
    ],
)
def test_settings_that_are_missing_or_wrong_are_named(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        wanted(environment)
    assert "pässword" not in str(caught.value)


def test_the_command_ends_with_one_sentence() -> None:
    nobody = f"postgresql://postgres:secret@127.0.0.1:{a_free_port()}/postgres"
    done = run_command(SENTOPS_SUPERUSER_URL=nobody, SENTOPS_DATABASE_PASSWORD="x")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
