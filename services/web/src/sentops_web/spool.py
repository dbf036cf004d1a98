"""The write-ahead spool: what it has accepted survives a kill and waits on disk for the database.

One writer thread owns the file; all requests in flight share one transaction and one fsync.
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from sentops_core.domain.errors import Conflict, Unavailable

Kind = Literal["prediction", "vote", "withdrawal"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      REAL    NOT NULL,
    kind    TEXT    NOT NULL,
    key     BLOB    NOT NULL,
    client  TEXT    NOT NULL,
    body    BLOB    NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_key ON entries (key);
CREATE INDEX IF NOT EXISTS entries_client ON entries (client, seq);
CREATE TABLE IF NOT EXISTS refused (
    seq     INTEGER PRIMARY KEY,
    at      REAL    NOT NULL,
    kind    TEXT    NOT NULL,
    key     BLOB    NOT NULL,
    client  TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    reason  TEXT    NOT NULL
);
"""
_INSERT = "INSERT INTO entries (at, kind, key, client, body) VALUES (?, ?, ?, ?, ?)"
_OLDEST = "SELECT seq, kind, key, client, body FROM entries ORDER BY seq LIMIT ?"
_OF_KEY = "SELECT seq, kind, key, client, body FROM entries WHERE key = ? ORDER BY seq"
_OF_CLIENT = """
SELECT seq, kind, key, client, body FROM entries WHERE client = ? ORDER BY seq DESC LIMIT ?
"""
_MEASURE = "SELECT count(*), coalesce(sum(length(body)), 0), min(at) FROM entries"
_OLDEST_AT = "SELECT at FROM entries ORDER BY seq LIMIT 1"
_MEASURE_THROUGH = "SELECT count(*), coalesce(sum(length(body)), 0) FROM entries WHERE seq <= ?"
_DELETE_THROUGH = "DELETE FROM entries WHERE seq <= ?"
_SET_ASIDE = """
INSERT OR REPLACE INTO refused (seq, at, kind, key, client, body, reason)
SELECT seq, at, kind, key, client, body, ? FROM entries WHERE seq = ?
"""
_GROUP = 1000  # jobs that may share one transaction


class SpoolFull(Unavailable):
    """Nothing more is accepted until the database has caught up."""

    code = "spool_full"
    retry_after = timedelta(seconds=5)


class SpoolInUse(Conflict):
    """Another process works on this folder."""

    code = "spool_in_use"


@dataclass(frozen=True)
class Record:
    """One row on its way to the database; `key` is the prediction's id, `body` its JSON."""

    kind: Kind
    key: UUID
    client: str
    body: bytes


@dataclass(frozen=True)
class Entry:
    seq: int
    record: Record


@dataclass(frozen=True)
class SpoolState:
    rows: int
    bytes: int
    oldest_at: float | None
    filled: float  # 1: neither row nor byte more


@dataclass(frozen=True)
class _Job:
    """A change, and whom to tell when it is on disk."""

    change: Callable[[sqlite3.Connection], None]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


class Spool:
    """Open with `Spool.open`; one process per folder."""

    def __init__(self, folder: Path, *, max_rows: int, max_bytes: int, lock: int) -> None:
        self._lock = lock
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._path = folder / "spool.sqlite3"
        self._writer = _connect(self._path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(self._path)
        self._reading = ThreadPoolExecutor(1, "spool-reader")
        self._rows, self._bytes, self._oldest_at = self._writer.execute(_MEASURE).fetchone()
        self._arrived = asyncio.Event()
        if self._rows:
            self._arrived.set()
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, folder: Path, *, max_rows: int, max_bytes: int) -> "Spool":
        """Creates the folder (readable by us alone) or goes on with what it holds."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "spool.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise SpoolInUse(
                f"Another process uses the spool {folder}; give each web process its own folder."
            ) from error
        return cls(folder, max_rows=max_rows, max_bytes=max_bytes, lock=lock)

    async def append(self, records: Sequence[Record]) -> None:
        """Returns when the records are on disk; SpoolFull when they would not fit."""
        size = sum(len(record.body) for record in records)
        if self._rows + len(records) > self._max_rows or self._bytes + size > self._max_bytes:
            raise SpoolFull(
                "Answers cannot be recorded just now because the database is behind; "
                "try again in a few seconds."
            )
        # Counted before they are written, so that a crowd cannot pass the bound together.
        self._rows += len(records)
        self._bytes += size
        now = time.time()
        rows = [(now, one.kind, one.key.bytes, one.client, one.body) for one in records]
        try:
            await self._submit(lambda connection: _insert(connection, rows))
        except Exception as error:
            self._rows -= len(records)
            self._bytes -= size
            if not isinstance(error, sqlite3.Error):
                raise
            raise SpoolFull(
                "Answers cannot be recorded just now because the disk does not take them; "
                "try again in a few seconds."
            ) from error
        if self._oldest_at is None:
            self._oldest_at = now
        self._arrived.set()

    async def oldest(self, limit: int) -> list[Entry]:
        return await self._entries(_OLDEST, (limit,))

    async def of_key(self, key: UUID) -> list[Entry]:
        """What is known here about one prediction, oldest first."""
        return await self._entries(_OF_KEY, (key.bytes,))

    async def of_client(self, client: str, limit: int) -> list[Entry]:
        """The client's newest entries, newest first."""
        return await self._entries(_OF_CLIENT, (client, limit))

    async def remove_through(self, seq: int) -> None:
        """Forget everything up to and with `seq`: the database has it."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(_DELETE_THROUGH, (seq,))

        ((rows, size),) = await self._read(_MEASURE_THROUGH, (seq,))
        await self._submit(change)
        self._rows -= rows
        self._bytes -= size
        # Cleared before looking, so that what arrives meanwhile is not overlooked.
        self._arrived.clear()
        self._oldest_at = None
        if remaining := await self._read(_OLDEST_AT, ()):
            self._oldest_at = remaining[0][0]
            self._arrived.set()

    async def set_aside(self, seq: int, reason: str) -> None:
        """Keep a row that the database will never take, out of the others' way."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(_SET_ASIDE, (reason, seq))

        await self._submit(change)

    async def wait_for_entries(self) -> None:
        await self._arrived.wait()

    def state(self) -> SpoolState:
        filled = max(self._rows / self._max_rows, self._bytes / self._max_bytes)
        return SpoolState(self._rows, self._bytes, self._oldest_at, filled)

    def close(self) -> None:
        """Write what was handed in, then let go of the folder."""
        self._jobs.put(None)
        self._thread.join()
        self._reading.shutdown()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)

    async def _submit(self, change: Callable[[sqlite3.Connection], None]) -> None:
        loop = asyncio.get_running_loop()
        job = _Job(change, loop, loop.create_future())
        self._jobs.put(job)
        # Shielded: a client that leaves does not undo what is on its way to disk.
        await asyncio.shield(job.done)

    async def _entries(self, statement: str, arguments: tuple[object, ...]) -> list[Entry]:
        return [_entry(row) for row in await self._read(statement, arguments)]

    async def _read(self, statement: str, arguments: tuple[object, ...]) -> list[Any]:
        def read() -> list[Any]:
            return self._reader.execute(statement, arguments).fetchall()

        return await asyncio.get_running_loop().run_in_executor(self._reading, read)

    def _write(self) -> None:
        """The writer thread: take all that waits, write it as one transaction, tell everybody."""
        ending = False
        while not ending:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == _GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            ending = job is None
            if jobs:
                _tell(jobs, _commit(self._writer, jobs))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # each commit is on disk before we answer
    connection.execute("PRAGMA secure_delete = ON")  # texts that have moved on leave no trace here
    return connection


def _insert(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(_INSERT, rows)


def _commit(connection: sqlite3.Connection, jobs: list[_Job]) -> Exception | None:
    """Whatever goes wrong is for those who asked: the thread must live, or all others would wait for ever."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.change(connection)
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return error
    return None


def _tell(jobs: list[_Job], error: Exception | None) -> None:
    def settle() -> None:
        for job in jobs:
            if job.done.done():
                continue
            if error is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(error)

    jobs[0].loop.call_soon_threadsafe(settle)


def _entry(row: tuple[int, Kind, bytes, str, bytes]) -> Entry:
    seq, kind, key, client, body = row
    return Entry(seq, Record(kind, UUID(bytes=key), client, body))
