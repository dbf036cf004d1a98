"""One program kept running: started, probed, restarted after a crash with a growing wait."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import httpx
import psutil
import structlog

from sentops_cli.home import Home
from sentops_cli.outcome import CommandError
from sentops_cli.processes import ProcessId
from sentops_cli.program_logs import ProgramLog, last_lines, readable
from sentops_cli.programs import Program, inherited
from sentops_cli.state import ProgramPhase, ProgramState

log = structlog.get_logger()

_LONGEST_LINE = 2**20
_EVERY = 2.0  # seconds between readiness probes of a program that answers


@dataclass(frozen=True)
class Backoff:
    """How long to wait before restart `n`; a program that ran for `forgiven_after` starts anew."""

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(seconds=30)
    forgiven_after: timedelta = timedelta(minutes=1)

    def wait(self, crashes_in_a_row: int) -> timedelta:
        doubled: timedelta = self.first * 2 ** min(crashes_in_a_row - 1, 10)
        return min(doubled, self.longest)


_BACKOFF = Backoff()


class Child:
    """Owns the process of one program. `changed` is called at every change of `state`."""

    def __init__(
        self,
        program: Program,
        home: Home,
        client: httpx.AsyncClient,
        changed: Callable[[], None],
        backoff: Backoff = _BACKOFF,
    ) -> None:
        self.program = program
        self.state = ProgramState(name=program.name, port=program.port, phase=ProgramPhase.STOPPED)
        self._home = home
        self._client = client
        self._changed = changed
        self._backoff = backoff
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._live: asyncio.Future[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start it and keep it running until `stop`."""
        self._live = asyncio.get_running_loop().create_future()
        self._live.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.program.name}")

    async def live(self, within: timedelta) -> None:
        """Return once it answers; CommandError with its last lines when it ended or stays silent."""
        assert self._live is not None, "start() comes first"  # noqa: S101
        try:
            async with asyncio.timeout(within.total_seconds()):
                await asyncio.shield(self._live)
        except TimeoutError:
            raise CommandError(
                f"{self.program.name} did not answer on port {self.program.port} within "
                f"{within.total_seconds():.0f} seconds.{self._last_words()}"
            ) from None

    async def stop(self, grace: timedelta) -> None:
        """SIGTERM, then SIGKILL after `grace`; the program is gone when this returns."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            self._set(ProgramPhase.STOPPING)
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace.total_seconds()):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._set(ProgramPhase.STOPPED)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        crashes = 0
        while not self._was_stopped():
            started = loop.time()
            try:
                how = ended(await self._run_once())
            except (OSError, psutil.Error) as error:  # no memory to fork, no room for its log
                how = f"could not be started ({error})"
            if self._was_stopped():
                return
            assert self._live is not None  # noqa: S101
            if not self._live.done():
                self._set(ProgramPhase.FAILED, message=how)
                self._live.set_exception(
                    CommandError(f"{self.program.name} {how} while starting.{self._last_words()}")
                )
                return
            ran = timedelta(seconds=loop.time() - started)
            log.warning("program_crashed", name=self.program.name, how=how)
            crashes = 1 if ran >= self._backoff.forgiven_after else crashes + 1
            wait = self._backoff.wait(crashes)
            self.state = self.state.model_copy(update={"restarts": self.state.restarts + 1})
            self._set(
                ProgramPhase.RESTARTING,
                message=f"{how}; starts again in {wait.total_seconds():g} s",
            )
            await asyncio.sleep(wait.total_seconds())

    def _was_stopped(self) -> bool:
        return self._stopping

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *self._tethered(),
            env=inherited() | dict(self.program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._home.root,
            limit=_LONGEST_LINE,
            # Ctrl-C reaches only us, so that the order of stopping is ours.
            start_new_session=True,
        )
        self._set(ProgramPhase.STARTING, process=ProcessId.of(self._process.pid), message="")
        log = ProgramLog(self._home.log_of(self.program.name))
        tasks = [
            asyncio.create_task(self._copy_lines(self._process, log)),
            asyncio.create_task(self._probe()),
        ]
        try:
            code = await self._process.wait()
            # What it said last explains its end; a grandchild may hold the pipe open for ever.
            await asyncio.wait(tasks[:1], timeout=1)
            return code
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            log.close()

    def _tethered(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "sentops_cli.tether", str(os.getpid()), *self.program.command)

    async def _copy_lines(self, process: asyncio.subprocess.Process, log: ProgramLog) -> None:
        assert process.stdout is not None  # noqa: S101
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit; the reader dropped it
                log.write("(a line of more than 1 MB was left out)")
                continue
            if not line:
                return
            log.write(line.decode("utf-8", "replace").rstrip("\n"))

    async def _probe(self) -> None:
        """Until the process ends: first whether it answers, then whether it is ready."""
        assert self._live is not None  # noqa: S101
        while not await self._answers("/health/live"):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.2)
        while True:
            phase, message = await self._readiness()
            if self._was_stopped():
                return
            self._set(phase, message=message)
            if not self._live.done():
                self._live.set_result(None)
            await asyncio.sleep(_EVERY if phase is ProgramPhase.READY else _EVERY / 4)

    async def _answers(self, path: str) -> bool:
        try:
            answer = await self._client.get(self.program.url + path)
        except httpx.HTTPError:
            return False
        return answer.status_code == HTTPStatus.OK

    async def _readiness(self) -> tuple[ProgramPhase, str]:
        try:
            answer = await self._client.get(self.program.url + "/health/ready")
        except httpx.HTTPError as error:
            return ProgramPhase.WAITING, f"does not answer ({type(error).__name__})"
        if answer.status_code == HTTPStatus.OK:
            return ProgramPhase.READY, ""
        try:
            detail = str(answer.json().get("detail", ""))
        except ValueError:
            detail = ""
        return ProgramPhase.WAITING, detail or f"not ready ({answer.status_code})"

    def _set(
        self, phase: ProgramPhase, *, message: str = "", process: ProcessId | None = None
    ) -> None:
        known = process or (None if phase is ProgramPhase.STOPPED else self.state.process)
        new = self.state.model_copy(update={"phase": phase, "message": message, "process": known})
        if new != self.state:
            self.state = new
            self._changed()

    def _last_words(self) -> str:
        path = self._home.log_of(self.program.name)
        lines = [readable(line) for line in last_lines(path, 8)]
        return "".join(f"\n  {line}" for line in lines) + f"\n  (all of it: {path})"


def ended(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
