"""Grafana's own database (dashboards made by hand, accounts, alert silences): one SQLite file."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from uuid import uuid4

from sentops_core.domain.errors import PlatformError, Unavailable

FILE = "grafana.db"
_PATIENCE = 60.0  # seconds for a writer to let us read
_PAUSE = 0.1
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SIDE_FILES = ("-journal", "-wal", "-shm")
_PRIVATE = 0o640


def has_state(folder: Path) -> bool:
    """False where no Grafana ever started; PlatformError when the folder itself is not there."""
    if not folder.is_dir():
        raise PlatformError(f"{folder} is not there: name Grafana's data folder, or leave it out.")
    return (folder / FILE).exists()


def copy_state(folder: Path, target: Path) -> None:
    """A consistent copy while Grafana writes; PlatformError for what is no whole SQLite file."""
    source = folder / FILE
    deadline = time.monotonic() + _PATIENCE

    def waiting(status: int, _remaining: int, _total: int) -> None:
        if status in _HELD and time.monotonic() > deadline:
            raise Unavailable(f"{source} is written to without a pause; try again later.")

    try:
        # In one go: page by page, every write of Grafana would make the copy begin anew.
        with (
            closing(
                sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=_PAUSE)
            ) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing, pages=-1, progress=waiting, sleep=_PAUSE)
            answer = writing.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        raise PlatformError(
            f"{source} cannot be copied ({error}). If Grafana crashed, start it once: it repairs its file."
        ) from error
    if answer != "ok":
        raise PlatformError(f"{source} is damaged: {answer}.")


def check_folder(folder: Path) -> None:
    """Refuse before anything was done when the state could not be put back."""
    if not folder.is_dir():
        raise PlatformError(f"{folder} is not there: name Grafana's data folder, or leave it out.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PlatformError(f"Grafana's data folder {folder} cannot be written to.")


@contextmanager
def replacing(folder: Path) -> Iterator[BinaryIO]:
    """A file to fill; at the end it takes the place of Grafana's, with the folder's owner. Grafana must be down."""
    target = folder / FILE
    hidden = folder / f".{FILE}.{uuid4().hex}"
    owner = folder.stat()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else _PRIVATE
    try:
        with hidden.open("wb") as file:
            hidden.chmod(_PRIVATE)
            yield file
            file.flush()
            os.fsync(file.fileno())
        mine = hidden.stat()
        if (mine.st_uid, mine.st_gid) != (owner.st_uid, owner.st_gid):
            os.chown(hidden, owner.st_uid, owner.st_gid)
        hidden.chmod(mode)
        _settle(target)
        hidden.replace(target)
    finally:
        hidden.unlink(missing_ok=True)


def _settle(target: Path) -> None:
    """Leave no journal behind that SQLite would play into the new file."""
    if target.exists():
        try:
            with closing(sqlite3.connect(target, timeout=1)) as old:
                old.execute("PRAGMA journal_mode = DELETE")
                old.execute("BEGIN EXCLUSIVE")
                old.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Unavailable(f"{target} is in use: stop Grafana first.") from error
        except sqlite3.Error:
            pass  # it was no whole database, and goes now
    for ending in _SIDE_FILES:
        target.with_name(target.name + ending).unlink(missing_ok=True)
