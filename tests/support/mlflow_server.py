"""A real MLflow server, from the lock of the image (`compose/mlflow`), over a real PostgreSQL; once per test process.

Its environment is made once in `.tools/mlflow`. The server can be stopped, started again, paused and emptied.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.postgres import a_free_port, run_aside, with_database

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "compose/mlflow"
ENVIRONMENT = ROOT / ".tools/mlflow"
# As the image runs it (Dockerfile, target mlflow).
SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_START_SECONDS = 200  # the first start compiles the libraries and makes 65 tables


@dataclass
class MlflowServer:
    """`postgres_url` is where databases are made."""

    postgres_url: str
    database: str
    folder: Path
    port: int
    allowed_hosts: str = "127.0.0.1:*"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Running already is fine."""
        if self.process is not None and self.process.poll() is None:
            return
        database_url = with_database(self.postgres_url, self.database)
        store = database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        command = [
            *(str(ENVIRONMENT / "bin/mlflow"), "server", "--backend-store-uri", store),
            *("--artifacts-destination", str(self.folder / "files"), "--serve-artifacts"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--allowed-hosts", self.allowed_hosts),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **SETTINGS},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it has children, which are stopped with it
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        tail = (self.folder / "log").read_text(errors="replace")[-3000:]
        raise AssertionError(f"MLflow does not start: {tail}")

    def stop(self) -> None:
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """It keeps accepting connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def empty(self) -> None:
        """As after its volumes were thrown away."""
        self.stop()
        run_aside(recreate_database(self.postgres_url, self.database))
        shutil.rmtree(self.folder / "files", ignore_errors=True)
        self.start()

    @contextmanager
    def ill(self, table: str) -> Iterator[None]:
        """It answers errors meanwhile, because a table of its own is not where it was."""
        database = with_database(self.postgres_url, self.database)
        run_aside(_administer(database, f"ALTER TABLE {table} RENAME TO hidden"))
        try:
            yield
        finally:
            run_aside(_administer(database, f"ALTER TABLE hidden RENAME TO {table}"))

    def call(
        self, route: str, body: object = None, *, method: str = "", **params: str
    ) -> dict[str, Any]:
        """POST where there is a body, else GET."""
        answer = httpx.request(
            method or ("GET" if body is None else "POST"),
            f"{self.url}/api/2.0/mlflow/{route}",
            json=body,
            params=params,
            timeout=30,
            trust_env=False,
        )
        assert answer.is_success, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def download(self, artifact_uri: str, path: str) -> bytes:
        place = artifact_uri.removeprefix("mlflow-artifacts:/")
        url = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{place}/{path}"
        answer = httpx.get(url, timeout=30, trust_env=False)
        assert answer.is_success, answer.text
        return answer.content

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)


@pytest.fixture(scope="session")
def mlflow_environment() -> Path:
    """Made from the lock; nothing to do when it is there already."""
    uv = ROOT / ".tools/bin/uv"
    if not uv.exists():
        found = shutil.which("uv")
        if found is None:
            pytest.fail("uv is not here: run the tests through `make test`")
        uv = Path(found)
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with (ENVIRONMENT.parent / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes, one folder
        done = subprocess.run(
            [uv, "sync", "--quiet", "--frozen", "--project", PROJECT, "--python", sys.executable],
            env={
                **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
                "UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return ENVIRONMENT


@pytest.fixture(scope="session")
def mlflow_process(
    mlflow_environment: Path, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    database = f"mlflow_{uuid.uuid4().hex[:12]}"
    folder = tmp_path_factory.mktemp("mlflow")
    server = MlflowServer(postgres_server, database, folder, a_free_port())
    run_aside(recreate_database(postgres_server, database))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        run_aside(drop_database(postgres_server, database))


@pytest.fixture
def mlflow(mlflow_process: MlflowServer) -> Iterator[MlflowServer]:
    """The server, running; what other tests left in it is still there, so each takes a model name of its own."""
    mlflow_process.start()
    yield mlflow_process
    mlflow_process.go_on()
    mlflow_process.start()


async def recreate_database(server: str, name: str) -> None:
    await drop_database(server, name)
    await _administer(server, f"CREATE DATABASE {name}")


async def drop_database(server: str, name: str) -> None:
    await _administer(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _administer(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
