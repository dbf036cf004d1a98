"""A PostgreSQL server of our own, for a machine that has none: real binaries, our own small start code.

TCP on loopback with scram passwords, no unix socket, never as root. The server outlives whoever started it:
a later `start()` on the same folder adopts it, and `stop()` from any process ends it.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import structlog

from sentops_core.domain.errors import Conflict, PlatformError, Unavailable
from sentops_core.store.binaries import reachable_binaries
from sentops_core.store.pool import open_connection
from sentops_core.store.unprivileged import Account, make_open_folder, root_place

log = structlog.get_logger()

_DATABASE_EXISTS = "SELECT true FROM pg_database WHERE datname = $1"
# CREATE DATABASE takes no parameters, so the server itself quotes the name.
_CREATE_DATABASE = "SELECT format('CREATE DATABASE %I', $1::text)"
_START_SECONDS = 120  # crash recovery replays the log first
_SMALL = {  # a few programs of one machine, not a fleet
    "shared_buffers": "64MB",
    "max_connections": "80",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """One server over one data folder; `settings` override postgresql.conf (tests switch fsync off)."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int,
        password: str,
        user: str = "sentops",
        database: str = "prediction",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._asked_dir = data_dir.absolute()
        self._password = password
        self._settings = _SMALL | dict(settings or {})
        self.port = port
        self.user = user
        self.database = database

    @property
    def url(self) -> str:
        """How programs connect; holds the password, so keep it out of logs."""
        return self.url_of(self.database)

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.user}:{quote(self._password, safe='')}@127.0.0.1:{self.port}/{database}"

    @property
    def data_dir(self) -> Path:
        """Where the cluster really lies: the asked folder, or the place noted in it (see `_settle`)."""
        note = self._asked_dir / "location"
        return Path(note.read_text().strip()) if note.exists() else self._asked_dir / "cluster"

    def start(self) -> None:
        """Return with the server accepting connections: created, started, recovered or adopted.

        Conflict when another program holds the port; Unavailable, with the log's end, when it does not start.
        """
        account = Account.current()
        self._asked_dir.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._settle(account)
            binaries = reachable_binaries(account)
            running = self._server_pid()
            ours = running is not None and self._recorded_port() == self.port
            if ours and self._answers():
                return
            if not ours and not _port_is_free(self.port):
                raise Conflict(
                    f"Port {self.port} on 127.0.0.1, meant for the database, is used by another program: "
                    "stop that program or choose another port for the database."
                )
            if running is not None:
                self._stop(account, binaries)
            self._clear_stale_pid()
            self._initialise(account, binaries)
            self._start(account, binaries)

    def stop(self, *, mode: Literal["fast", "immediate"] = "fast") -> None:
        """End the server, letting transactions fail; no server is fine. `immediate` recovers at the next start."""
        if not self.data_dir.exists():
            return
        with self._alone():
            if self._server_pid() is not None:
                account = Account.current()
                self._stop(account, reachable_binaries(account), mode=mode)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop(mode="immediate")
        cluster = self.data_dir
        shutil.rmtree(self._asked_dir, ignore_errors=True)
        if cluster.parent != self._asked_dir:
            shutil.rmtree(cluster.parent, ignore_errors=True)

    def is_running(self) -> bool:
        return self._server_pid() is not None

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of the server's log, for a message to a person."""
        try:
            return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    async def create_database(self) -> None:
        """Create the programs' database in the running server; already there is success."""
        connection = await open_connection(self.url_of("postgres"))
        try:
            if not await connection.fetchval(_DATABASE_EXISTS, self.database):
                await connection.execute(await connection.fetchval(_CREATE_DATABASE, self.database))
        finally:
            await connection.close()

    @property
    def _log_file(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}.log"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One starter or stopper per folder at a time; the kernel frees the lock of a killed one."""
        with (self._asked_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _settle(self, account: Account) -> None:
        """Choose where the cluster lies, once. Root's own folders may be closed to the account that runs it."""
        if self.data_dir.exists() or (self._asked_dir / "location").exists():
            return
        if account.can_enter(self._asked_dir):
            return
        try:
            place = root_place() / uuid.uuid4().hex[:12]
            make_open_folder(place)
        except OSError as error:
            raise PlatformError(
                f"The database runs as uid {account.uid}, which cannot enter {self._asked_dir}, and no other "
                f"place can be made ({error.strerror}): choose a data folder that this user can reach."
            ) from error
        _write_atomically(self._asked_dir / "location", str(place / "cluster"))
        log.info("database_folder_chosen", asked=str(self._asked_dir), used=str(place))

    def _initialise(self, account: Account, binaries: Path) -> None:
        """Create the cluster beside its place and rename it there, so that a kill leaves nothing half made."""
        target = self.data_dir
        if (target / "PG_VERSION").exists():
            self._refuse_other_version(target, account, binaries)
            return
        fresh = target.parent / f"{target.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        account.own_folder(fresh)
        with tempfile.NamedTemporaryFile("w") as password_file:
            password_file.write(self._password)
            password_file.flush()
            account.own(Path(password_file.name))
            command: list[str | Path] = [
                binaries / "initdb",
                "-D",
                fresh,
                "-U",
                self.user,
                "-E",
                "UTF8",
            ]
            command += [
                "--locale=C.UTF-8",
                "--auth=scram-sha-256",
                f"--pwfile={password_file.name}",
            ]
            if self._settings.get("fsync") == "off":
                command.append("--no-sync")
            done = account.run(command, timeout=_START_SECONDS)
        if done.returncode != 0:
            raise PlatformError(f"The database could not be created: {_last_lines(done.stderr)}")
        fresh.rename(target)

    def _refuse_other_version(self, target: Path, account: Account, binaries: Path) -> None:
        made_by = (target / "PG_VERSION").read_text().strip()
        answer = account.run([binaries / "postgres", "--version"], timeout=30).stdout.split()
        found = answer[2].split(".")[0] if len(answer) > 2 else "?"
        if found != made_by:
            raise PlatformError(
                f"The database in {target} was made by PostgreSQL {made_by}, but {binaries} holds {found}: "
                f"set PG_BIN to a folder with PostgreSQL {made_by}."
            )

    def _start(self, account: Account, binaries: Path) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._settings,
        }
        self._log_file.touch()
        account.own(self._log_file)
        command: list[str | Path] = [
            binaries / "pg_ctl",
            "start",
            "-w",
            "-t",
            str(_START_SECONDS),
            "-D",
            self.data_dir,
        ]
        command += ["-l", self._log_file]
        command += [
            "-o",
            " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items()),
        ]
        if account.run(command, timeout=_START_SECONDS + 30, capture=False).returncode != 0:
            tail = self.log_tail()
            if "Address already in use" in tail:
                raise Conflict(f"Port {self.port} was taken while the database started; try again.")
            raise Unavailable(
                f"The database in {self.data_dir} did not start. Its log ends:\n{tail}"
            )
        log.info("database_started", port=self.port, pid=self._server_pid())

    def _stop(self, account: Account, binaries: Path, *, mode: str = "fast") -> None:
        command: list[str | Path] = [
            binaries / "pg_ctl",
            "stop",
            "-w",
            "-t",
            "60",
            "-m",
            mode,
            "-D",
            self.data_dir,
        ]
        done = account.run(command, timeout=90)
        if done.returncode != 0 and self._server_pid() is not None:
            raise Unavailable(f"The database did not stop: {_last_lines(done.stderr)}")
        log.info("database_stopped", port=self.port)

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _server_pid(self) -> int | None:
        lines = self._pid_file_lines()
        if lines and lines[0].strip().isdigit():
            pid = int(lines[0])
            return pid if _works_in(pid, self.data_dir) else None
        return None

    def _recorded_port(self) -> int | None:
        lines = self._pid_file_lines()
        return int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        return False

    def _clear_stale_pid(self) -> None:
        """After a kill -9: wait until the last backend of the dead server is gone, then remove its pid file.

        PostgreSQL itself refuses while the pid exists, and a pid lives on as a zombie where nobody reaps it.
        """
        deadline = time.monotonic() + 30
        while left := _workers_in(self.data_dir):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Processes of an earlier database still run in {self.data_dir} (pid {left[0]}); "
                    "wait for them to end, or end them."
                )
            time.sleep(0.05)
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a living process has this working directory, as every PostgreSQL process has its data folder."""
    process = Path("/proc") / str(pid)
    if not Path("/proc/self").exists():  # no /proc: a living pid is all that can be known
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return True
        return False
    try:
        return (process / "cwd").readlink() == folder.resolve()  # a zombie has none
    except OSError:
        return False


def _workers_in(folder: Path) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if _works_in(pid, folder)]


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write_atomically(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def _last_lines(text: str) -> str:
    return " ".join(text.strip().splitlines()[-3:])
