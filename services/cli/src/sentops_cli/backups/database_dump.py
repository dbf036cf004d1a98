"""pg_dump into a backup, and a dump into a database: all of it, or nothing."""

import hashlib
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, BinaryIO

from sentops_cli.backups.postgres_client import PostgresClient
from sentops_cli.backups.snapshot import LEFT_OUT
from sentops_core.domain.errors import PlatformError

_CHUNK = 1024 * 1024
# pg_restore of 17 and newer writes it, and older servers know no such setting.
_NEW_SETTING = re.compile(rb"SET transaction_timeout = 0;\s*")
_NEW_SETTING_SINCE = 17
_LONGEST_PREAMBLE = 60  # lines
_COMMIT = "\nCOMMIT;\n"


@dataclass(frozen=True)
class Written:
    bytes: int
    sha256: str


def dump(
    client: PostgresClient, snapshot: str, target: BinaryIO, told: Callable[[int], None]
) -> Written:
    """Everything in the database as of the snapshot, compressed. Owners and rights stay with the server."""
    command = client.command(
        "pg_dump",
        f"--dbname={client.address}",
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        "--no-password",
        f"--snapshot={snapshot}",
        *(f"--exclude-table-data=public.{table}" for table in LEFT_OUT),
    )
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command,
            env=client.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        with _ended(process):
            assert process.stdout is not None  # noqa: S101 - asked for above
            written = copy_hashed(process.stdout, target, told)
            if process.wait() != 0:
                raise client.failed("pg_dump", _read(complaints))
    return written


def restore(
    client: PostgresClient,
    source: BinaryIO,
    *,
    expected_sha256: str,
    server_version: int,
    before: str,
    after: str,
    values: Mapping[str, str],
    told: Callable[[int], None],
) -> None:
    """Load a dump between two pieces of SQL, in one transaction that we end ourselves.

    psql commits only on our word, which it gets once pg_restore ended well and the dump had the expected hash.
    `values` are psql variables of the SQL: `:'name'`.
    """
    loading = client.command(
        "psql",
        f"--dbname={client.address}",
        *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"),
        *(f"--set={name}={value}" for name, value in values.items()),
    )
    with (
        tempfile.TemporaryFile("w+") as psql_says,
        tempfile.TemporaryFile("w+") as pg_restore_says,
    ):
        psql = subprocess.Popen(
            loading,
            env=client.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=psql_says,
        )
        reading = subprocess.Popen(
            client.command("pg_restore", "--no-owner", "--no-privileges", "--file=-"),
            env=client.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=pg_restore_says,
        )
        with _ended(psql), _ended(reading):
            assert psql.stdin and reading.stdin and reading.stdout  # noqa: S101, PT018 - asked for above
            feeder = _Feeder(source, reading.stdin, told)
            try:
                psql.stdin.write(f"BEGIN;\n{before}\n".encode())
                feeder.start()
                _pass_on(reading.stdout, psql.stdin, server_version)
                feeder.join()
                if reading.wait() != 0:
                    raise client.failed("pg_restore", _read(pg_restore_says))
                feeder.check(expected_sha256)
                psql.stdin.write(f"{after}{_COMMIT}".encode())
                psql.stdin.close()
            except BrokenPipeError:
                psql.wait()
                raise client.failed("The restore", _read(psql_says)) from None
            if psql.wait() != 0:
                raise client.failed("The restore", _read(psql_says))


class _Feeder(threading.Thread):
    """Reads the dump into pg_restore while we pass on what comes out of it."""

    def __init__(self, source: BinaryIO, target: IO[bytes], told: Callable[[int], None]) -> None:
        super().__init__(name="feed-pg-restore", daemon=True)
        self._source, self._target, self._told = source, target, told
        self._failure: Exception | None = None
        self._written: Written | None = None

    def run(self) -> None:
        try:
            self._written = copy_hashed(self._source, self._target, self._told)
        except Exception as error:  # noqa: BLE001 - told by check(), on the thread that asks
            self._failure = error
        with suppress(OSError):
            self._target.close()

    def check(self, expected_sha256: str) -> None:
        """Raise what went wrong with reading, or that other bytes were read than were verified before."""
        if self._failure is not None:
            raise self._failure
        if self._written is None or self._written.sha256 != expected_sha256:
            raise PlatformError("The dump changed while it was restored; nothing was kept of it.")


def copy_hashed(source: IO[bytes], target: IO[bytes], told: Callable[[int], None]) -> Written:
    hashed, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        hashed.update(chunk)
        target.write(chunk)
        size += len(chunk)
        told(len(chunk))
    return Written(size, hashed.hexdigest())


def _pass_on(script: IO[bytes], target: IO[bytes], server_version: int) -> None:
    """The script as it is, but for one setting in its first lines that an older server does not know."""
    if server_version < _NEW_SETTING_SINCE:
        for _ in range(_LONGEST_PREAMBLE):
            line = script.readline()
            if not _NEW_SETTING.fullmatch(line):
                target.write(line)
    while chunk := script.read(_CHUNK):
        target.write(chunk)


@contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Whatever happens, the process is gone afterwards; a psql that was not told to commit commits nothing."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _read(complaints: IO[str]) -> str:
    complaints.seek(0)
    return complaints.read()
