"""What `sentops up` shows: a live table on a terminal, one line per change in a pipe or a log."""

from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sentops_cli.jobs import measured, percent, progress_line, reason, remaining
from sentops_cli.programs import LOCALHOST
from sentops_cli.state import PlatformState, ProgramPhase, ProgramState
from sentops_core.domain.resources import TrainingJob, TrainingJobPhase

PAGES = {"web": ("Page", "/"), "backoffice": ("Back office", "/backoffice/index")}
_COLOURS = {
    ProgramPhase.READY: "green",
    ProgramPhase.STARTING: "cyan",
    ProgramPhase.WAITING: "yellow",
    ProgramPhase.RESTARTING: "red",
    ProgramPhase.FAILED: "red",
    ProgramPhase.STOPPING: "cyan",
    ProgramPhase.STOPPED: "dim",
}


class Screen(Protocol):
    """Used as a context manager around the life of the platform.

    A terminal that was closed raises nothing here: what runs must still be stopped in order.
    """

    def say(self, line: str) -> None: ...
    def show(self, state: PlatformState) -> None: ...
    def training(self, jobs: Sequence[TrainingJob]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def screen_for(console: Console) -> Screen:
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


class PlainScreen:
    """One line per change; progress every ten percent."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phases: dict[str, str] = {}
        self._jobs: dict[str, tuple[TrainingJobPhase, int, str]] = {}

    def say(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, state: PlatformState) -> None:
        for program in state.programs:
            line = program_line(program)
            is_news = program.name in self._phases or program.phase is not ProgramPhase.STOPPED
            if is_news and self._phases.get(program.name) != line:
                self._phases[program.name] = line
                self.say(line)

    def training(self, jobs: Sequence[TrainingJob]) -> None:
        for job in jobs:
            waiting = "" if job.status.phase is TrainingJobPhase.RUNNING else reason(job)
            seen = (job.status.phase, percent(job) // 10, waiting)
            if self._jobs.get(job.metadata.name) != seen:
                self._jobs[job.metadata.name] = seen
                self.say(progress_line(job))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class LiveScreen:
    """A table of programs and bars of training that change in place; sentences scroll above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state: PlatformState | None = None
        self._jobs: tuple[TrainingJob, ...] = ()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def say(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line, markup=False, highlight=False)

    def show(self, state: PlatformState) -> None:
        self._state = state

    def training(self, jobs: Sequence[TrainingJob]) -> None:
        self._jobs = tuple(jobs)

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._state is not None and self._state.programs:
            parts.append(programs_table(self._state.programs))
        if self._jobs:
            parts.append(jobs_table(self._jobs))
        if self._state is not None:
            parts.append(Text(addresses_line(self._state), style="bold"))
        return Group(*parts)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._live.__exit__(kind, error, trace)


def program_line(program: ProgramState) -> str:
    pid = f" (pid {program.process.pid})" if program.process is not None else ""
    message = f": {program.message}" if program.message else ""
    return f"{program.name} {program.phase.value} on port {program.port}{pid}{message}"


def programs_table(programs: Sequence[ProgramState]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Program", "Port", "State", "Pid", "Restarts", ""):
        table.add_column(
            heading, justify="right" if heading in {"Port", "Pid", "Restarts"} else "left"
        )
    for program in programs:
        table.add_row(
            program.name,
            str(program.port),
            Text(program.phase.value, style=_COLOURS[program.phase]),
            str(program.process.pid) if program.process is not None else "",
            str(program.restarts) if program.restarts else "",
            Text(program.message, overflow="ellipsis", no_wrap=True),
        )
    return table


def jobs_table(jobs: Sequence[TrainingJob]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for job in jobs:
        running = job.status.phase is TrainingJobPhase.RUNNING
        table.add_row(
            job.metadata.name,
            job.status.phase.value,
            ProgressBar(total=100, completed=percent(job), width=30),
            f"{percent(job)} %",
            remaining(job),
            Text(measured(job) if running else reason(job), overflow="ellipsis", no_wrap=True),
        )
    return table


def addresses_line(state: PlatformState) -> str:
    """`Page http://...  Back office http://...` of what answers."""
    known = {program.name: program for program in state.programs}
    answering = {ProgramPhase.READY, ProgramPhase.WAITING}
    return "  ".join(
        f"{title} http://{LOCALHOST}:{known[name].port}{path}"
        for name, (title, path) in PAGES.items()
        if name in known and known[name].phase in answering
    )
