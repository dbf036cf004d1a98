"""The supervisor with real, tiny child processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sentops_cli.child import Backoff, Child
from sentops_cli.home import Home
from sentops_cli.leftovers import end_leftovers, find_leftovers
from sentops_cli.outcome import CommandError
from sentops_cli.processes import MARKER, ProcessId, marked
from sentops_cli.state import ProgramPhase, read_state
from sentops_cli.supervisor import Patience, Supervisor
from tests.services.cli.support import FAKE, a_program, free_port
from tests.support.eventually import eventually

QUICK = Backoff(first=timedelta(milliseconds=50), longest=timedelta(milliseconds=200))
PATIENCE = Patience(
    to_start=timedelta(seconds=20), to_stop=timedelta(seconds=5), for_runs=timedelta(seconds=5)
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
async def supervisor(home: Home) -> AsyncIterator[Supervisor]:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        made = Supervisor(home, client, lambda _: None, patience=PATIENCE, backoff=QUICK)
        made.refresh()
        try:
            yield made
        finally:
            await made.stop()


def started(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, **options)


def phase(supervisor: Supervisor, name: str) -> ProgramPhase:
    return next(one.phase for one in supervisor.state.programs if one.name == name)


async def test_programs_are_up_when_start_returns_and_gone_when_stop_returns(
    home: Home, supervisor: Supervisor
) -> None:
    programs = [a_program(home.root, name) for name in ("model", "trainer", "web")]
    await supervisor.start_programs(programs)
    await eventually(lambda: phase(supervisor, "web") is ProgramPhase.READY)
    state = read_state(home.state)
    assert state is not None
    processes = [one.process.find() for one in state.programs if one.process is not None]
    assert len([one for one in processes if one is not None]) == 3
    await supervisor.stop()
    assert not any(one is not None and one.is_running() for one in processes)
    assert phase(supervisor, "web") is ProgramPhase.STOPPED


async def test_who_takes_requests_stops_first_and_the_model_last(
    home: Home, supervisor: Supervisor, tmp_path: Path
) -> None:
    stops = tmp_path / "stops"
    names = ("model", "trainer", "web", "backoffice", "monitor")
    await supervisor.start_programs(
        [a_program(home.root, name, FAKE_STOPS=str(stops)) for name in names]
    )
    await supervisor.stop()
    order = stops.read_text().split()
    assert set(order[:3]) == {"web", "backoffice", "monitor"}
    assert order[3:] == ["trainer", "model"]


async def test_a_crashed_program_is_started_again(home: Home, supervisor: Supervisor) -> None:
    program = a_program(home.root)
    await supervisor.start_programs([program])
    before = supervisor.state.programs[0].process
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await eventually(lambda: supervisor.state.programs[0].restarts == 1)
    await eventually(lambda: phase(supervisor, "web") is ProgramPhase.READY)
    assert supervisor.state.programs[0].process != before


async def test_a_state_that_cannot_be_written_leaves_the_supervision_as_it_is(
    home: Home, supervisor: Supervisor
) -> None:
    await supervisor.start_programs([a_program(home.root)])
    home.state.unlink()
    home.state.mkdir()  # as refusing as a full disk
    before = supervisor.state.programs[0].process
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await eventually(lambda: supervisor.state.programs[0].restarts == 1)
    await eventually(lambda: phase(supervisor, "web") is ProgramPhase.READY)
    await supervisor.stop()
    assert marked(home.root) == []


async def test_a_program_that_cannot_be_started_again_just_now_is_tried_again(
    home: Home, supervisor: Supervisor
) -> None:
    await supervisor.start_programs([a_program(home.root)])
    log = home.log_of("web")
    log.rename(log.with_suffix(".kept"))
    log.mkdir()
    before = supervisor.state.programs[0].process
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await eventually(lambda: "could not be started" in supervisor.state.programs[0].message)
    log.rmdir()
    await eventually(lambda: phase(supervisor, "web") is ProgramPhase.READY)


async def test_a_program_that_ends_while_starting_fails_the_start_with_its_last_words(
    home: Home, supervisor: Supervisor
) -> None:
    with pytest.raises(CommandError, match=r"(?s)web ended with exit code 1.*already in use"):
        await supervisor.start_programs([a_program(home.root, FAKE_EXIT="1")])
    assert phase(supervisor, "web") is ProgramPhase.FAILED


async def test_what_a_program_misses_is_shown(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start_programs([a_program(home.root, FAKE_NOT_READY="No model is loaded.")])
    await eventually(lambda: phase(supervisor, "web") is ProgramPhase.WAITING)
    assert supervisor.state.programs[0].message == "No model is loaded."


async def test_a_program_that_ignores_sigterm_is_killed(home: Home) -> None:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        child = Child(a_program(home.root, FAKE_DEAF="1"), home, client, lambda: None, QUICK)
        child.start()
        await child.live(timedelta(seconds=20))
        known = child.state.process
        assert known is not None
        await child.stop(timedelta(milliseconds=200))
        assert known.find() is None


async def test_what_programs_say_is_kept_in_their_log(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start_programs([a_program(home.root)])
    line = home.log_of("web").read_text().splitlines()[0]
    assert json.loads(line)["event"] == "fake_started"


async def test_a_training_run_that_the_trainer_wrote_down_ends_with_the_platform(
    home: Home, supervisor: Supervisor
) -> None:
    run = started([sys.executable, str(FAKE), str(free_port())], start_new_session=True)
    try:
        folder = home.runs / "first-linear"
        folder.mkdir()
        record = {"pid": run.pid, "create_time": psutil.Process(run.pid).create_time()}
        (folder / "attempt-1.json").write_text(json.dumps(record))
        await supervisor.start_programs([a_program(home.root, "trainer")])
        await supervisor.stop()
        assert await asyncio.to_thread(run.wait, 5) is not None
        # So the trainer knows that it was no failure, and goes on from the checkpoint.
        kept = json.loads((folder / "attempt-1.json").read_text())
        assert kept["stop_requested_at"] is not None
        assert kept["pid"] == run.pid
    finally:
        run.kill()
        run.wait()


async def test_a_pid_that_was_given_to_another_process_is_never_killed(home: Home) -> None:
    other = started([sys.executable, str(FAKE), str(free_port())])
    try:
        folder = home.runs / "job"
        folder.mkdir()
        stale = {"pid": other.pid, "create_time": psutil.Process(other.pid).create_time() - 100}
        (folder / "attempt-1.json").write_text(json.dumps(stale))
        assert ProcessId(pid=other.pid, started=stale["create_time"]).find() is None
        assert end_leftovers(home, runs=True) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_children_end_when_the_supervisor_is_killed(home: Home, tmp_path: Path) -> None:
    port = free_port()
    script = tmp_path / "supervisor.py"
    script.write_text(_SUPERVISOR)
    told = tmp_path / "child.json"
    supervisor = started(
        [sys.executable, str(script), str(home.root), str(FAKE), str(port), str(told)],
        stdout=subprocess.DEVNULL,
    )
    try:
        await eventually(lambda: told.exists() and told.read_text(), within=30)
        child = ProcessId.model_validate_json(told.read_text())
        assert child.find() is not None
    finally:
        supervisor.kill()
        supervisor.wait()
    await eventually(lambda: child.find() is None)


_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
import httpx
from sentops_cli.home import Home
from sentops_cli.programs import Program
from sentops_cli.supervisor import Supervisor

async def main():
    root, fake, port, told = sys.argv[1:]
    async with httpx.AsyncClient(trust_env=False) as client:
        supervisor = Supervisor(Home(Path(root)), client, lambda _: None)
        command = (sys.executable, fake, port)
        await supervisor.start_programs([Program("web", int(port), command, {})])
        Path(told).write_text(supervisor.state.programs[0].process.model_dump_json())
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_leftovers_are_found_by_their_marker_whoever_their_parent_is(home: Home) -> None:
    left = started(
        [sys.executable, str(FAKE), str(free_port())],
        env=os.environ | {MARKER: str(home.root)},
        start_new_session=True,
    )
    other_home = started(
        [sys.executable, str(FAKE), str(free_port())],
        env=os.environ | {MARKER: str(home.root) + "-2"},
    )
    try:
        await eventually(lambda: [one.pid for one in marked(home.root)] == [left.pid])
        assert [one.pid for one in find_leftovers(home, runs=False)] == [left.pid]
        ended = end_leftovers(home, runs=False)
        assert len(ended) == 1
        assert str(left.pid) in ended[0]
        assert left.poll() is not None
        assert other_home.poll() is None
    finally:
        for process in (left, other_home):
            process.kill()
            process.wait()


def test_each_crash_in_a_row_waits_longer_up_to_a_limit() -> None:
    backoff = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=30))
    waits = [backoff.wait(crashes).total_seconds() for crashes in (1, 2, 3, 6, 50)]
    assert waits == [1, 2, 4, 30, 30]
