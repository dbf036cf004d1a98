"""What a person sees of a long copy: bars on a terminal, a line per thing and every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_EVERY = 10.0  # seconds between lines about one thing


class Steps(Protocol):
    """`step` begins a thing (its bytes, where they are known), `advance` counts, `note` says a sentence."""

    def step(self, what: str, total: int | None = None) -> None: ...
    def advance(self, count: int) -> None: ...
    def note(self, line: str) -> None: ...


@contextmanager
def steps_for_people() -> Iterator[Steps]:
    """On standard error, so that standard output holds the result alone."""
    console = Console(stderr=True)
    if not console.is_terminal:
        plain = PlainSteps()
        yield plain
        plain.end()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield BarSteps(progress)


class PlainSteps:
    def __init__(self) -> None:
        self._what = ""
        self._done = 0
        self._total: int | None = None
        self._said = 0.0

    def step(self, what: str, total: int | None = None) -> None:
        self.end()
        self._what, self._total, self._done, self._said = what, total, 0, time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said > _EVERY:
            self._said = time.monotonic()
            of = f" of {in_bytes(self._total)}" if self._total is not None else ""
            self.note(f"{self._what}: {in_bytes(self._done)}{of} ...")

    def note(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._what:
            self.note(f"{self._what}: {in_bytes(self._done)}")
        self._what = ""


class BarSteps:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def step(self, what: str, total: int | None = None) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=self._progress.tasks[-1].completed)
        self._task = self._progress.add_task(what, total=total)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def note(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def in_bytes(count: float) -> str:
    """`812 B`, `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
