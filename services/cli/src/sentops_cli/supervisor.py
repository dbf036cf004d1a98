"""Everything that `sentops up` starts, in order; and everything that it stops, in the other order."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import structlog

from sentops_cli.child import Backoff, Child
from sentops_cli.database import Database
from sentops_cli.home import Home
from sentops_cli.processes import ProcessId, end, end_runs, marked
from sentops_cli.programs import Program
from sentops_cli.state import PlatformState, ProgramState, write_state

log = structlog.get_logger()

# Who takes requests ends first; the trainer ends before its runs, so that it does not start them again;
# the model stays until nobody asks it.
STOP_ORDER: tuple[tuple[str, ...], ...] = (
    ("web", "backoffice", "monitor"),
    ("trainer",),
    ("model",),
)
_AFTER = "trainer"  # the training runs end right after it


@dataclass(frozen=True)
class Patience:
    """How long things may take. uvicorn gives requests in flight 20 seconds, runs write a checkpoint."""

    to_start: timedelta = timedelta(seconds=120)
    to_stop: timedelta = timedelta(seconds=30)
    for_runs: timedelta = timedelta(seconds=60)


_PATIENCE = Patience()
_BACKOFF = Backoff()


class Supervisor:
    """Owns the children and the state file. `changed` hears of every change, for whoever shows it."""

    def __init__(
        self,
        home: Home,
        client: httpx.AsyncClient,
        changed: Callable[[PlatformState], None],
        *,
        base: str = "",
        patience: Patience = _PATIENCE,
        backoff: Backoff = _BACKOFF,
    ) -> None:
        self._home = home
        self._client = client
        self._tell = changed
        self._patience = patience
        self._backoff = backoff
        self._began = time.monotonic()
        self._database: Database | None = None
        self._children: list[Child] = []
        self._state = PlatformState(
            supervisor=ProcessId.of(os.getpid()), started_at=datetime.now(UTC), base=base
        )

    @property
    def state(self) -> PlatformState:
        return self._state

    def reached(self, milestone: str) -> float:
        """Note how many seconds this took since the start; the first time counts."""
        seconds = round(time.monotonic() - self._began, 1)
        known = self._state.milestones
        if milestone not in known:
            self._change(milestones={**known, milestone: seconds})
        return self._state.milestones[milestone]

    def first_run_is(self, sentence: str) -> None:
        self._change(first_run=sentence)

    async def start_database(self, database: Database) -> None:
        self._database = database
        await database.start()

    async def start_programs(self, programs: Sequence[Program]) -> None:
        """Start all, then wait for each in turn; the first that fails decides."""
        self._children = [
            Child(program, self._home, self._client, self.refresh, self._backoff)
            for program in programs
        ]
        for child in self._children:
            child.start()
        for child in self._children:
            await child.live(self._patience.to_start)
            log.info("program_started", name=child.program.name, port=child.program.port)

    async def stop(self) -> None:
        """End everything in order; nothing of this home runs when this returns."""
        by_name = {child.program.name: child for child in self._children}
        grouped = {name for group in STOP_ORDER for name in group}
        others = tuple(name for name in by_name if name not in grouped)
        for group in (others, *STOP_ORDER):
            stopping = [by_name[name] for name in group if name in by_name]
            await asyncio.gather(*(child.stop(self._patience.to_stop) for child in stopping))
            if _AFTER in group:
                await asyncio.to_thread(self._end_runs)
        await asyncio.to_thread(self._end_strays)
        if self._database is not None:
            await self._database.stop()
        self.refresh()

    def refresh(self) -> None:
        """Gather the programs' states, write them down, and tell."""
        programs: list[ProgramState] = []
        if self._database is not None and self._database.embedded:
            programs.append(self._database.state)
        programs.extend(child.state for child in self._children)
        self._change(programs=tuple(programs))

    def _change(self, **fields: object) -> None:
        self._state = self._state.model_copy(update=fields)
        try:
            write_state(self._home.state, self._state)
        except (
            OSError
        ) as error:  # a full disk must not keep programs from being restarted or stopped
            log.warning("state_not_written", error=str(error))
        self._tell(self._state)

    def _end_runs(self) -> None:
        ended = end_runs(self._home.runs, self._patience.for_runs)
        if ended:
            log.info("training_runs_ended", pids=ended)

    def _end_strays(self) -> None:
        """What a program left behind in a session of its own."""
        strays = marked(self._home.root)
        if strays:
            log.info("strays_ending", pids=[stray.pid for stray in strays])
            end(strays, self._patience.to_stop)
