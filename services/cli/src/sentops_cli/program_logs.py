"""The programs' own lines, kept in files of bounded size."""

import json
import logging
from collections import deque
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

_MAX_BYTES = 5_000_000
_OLD_FILES = 2


class ProgramLog:
    """Appends lines to `<name>.log`; at 5 MB the file becomes `.1`, and two old ones are kept."""

    def __init__(self, path: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        self._handler = RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=_OLD_FILES, encoding="utf-8", errors="replace"
        )

    def write(self, line: str) -> None:
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        self._handler.close()


def last_lines(path: Path, count: int) -> list[str]:
    """The newest lines, oldest first, those of the files that were moved aside too; none without any file."""
    aside = [path.with_name(f"{path.name}.{number}") for number in range(_OLD_FILES, 0, -1)]
    found: deque[str] = deque(maxlen=count)
    for file in (*aside, path):
        with suppress(FileNotFoundError), file.open(encoding="utf-8", errors="replace") as lines:
            found.extend(line.rstrip("\n") for line in lines)
    return list(found)


def readable(line: str) -> str:
    """A JSON log line as a person reads it: time, level, event, facts; other lines as they are."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    entry.pop("program", None)
    entry.pop("logger", None)
    at = str(entry.pop("timestamp", ""))[:19].replace("T", " ")
    level = str(entry.pop("level", "info"))
    event = entry.pop("event")
    exception = entry.pop("exception", None)
    facts = " ".join(f"{key}={value}" for key, value in entry.items())
    text = " ".join(part for part in (at, f"{level:<7}", str(event), facts) if part)
    return f"{text}\n{exception}" if exception else text
