"""Runs as processes: found again after a crash between any two steps, never started twice."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sentops_core import trace_context
from sentops_core.domain.resources import Hyperparameters, Method
from sentops_core.domain.run import RunSpec, RunState
from sentops_trainer.local.processes import Processes
from tests.support.builders import a_digest
from tests.support.eventually import eventually

JOB = "waiting"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    yield Processes(tmp_path, progress_url="http://127.0.0.1:1", threads=1)
    for process in psutil.process_iter():
        try:
            if any(str(tmp_path) in part for part in process.cmdline()):
                process.kill()
        except psutil.Error:
            continue


def a_spec(attempt: int = 1) -> RunSpec:
    return RunSpec(
        training_job=JOB,
        attempt=attempt,
        model_name="sentiment",
        base_model_uri="file:///nowhere",
        dataset_uri="file:///nowhere",
        dataset_hash=a_digest(),
        labels=("negative", "positive"),
        method=Method.LINEAR,
        hyperparameters=Hyperparameters(),
        output_uri="file:///nowhere",
    )


def running_pid(processes: Processes) -> int:
    run = processes.observe(JOB)
    assert run is not None
    assert run.state is RunState.RUNNING
    return int(run.reference)


async def test_a_run_that_was_started_but_not_written_down_is_not_started_again(
    processes: Processes, tmp_path: Path
) -> None:
    await processes.start(a_spec())
    pid = running_pid(processes)
    os.kill(pid, signal.SIGSTOP)  # it stays where it is, however quick it would have ended
    processes.folder(JOB).process_file(1).unlink()
    restarted = Processes(tmp_path, progress_url="http://127.0.0.1:1", threads=1)
    assert restarted.observe(JOB) is None
    await restarted.start(a_spec())
    assert running_pid(restarted) == pid


async def test_another_process_with_the_pid_is_not_taken_for_the_run(processes: Processes) -> None:
    await processes.start(a_spec())
    os.kill(running_pid(processes), signal.SIGKILL)
    file = processes.folder(JOB).process_file(1)
    file.write_text(file.read_text().replace(f'"pid":{_pid_in(file)}', f'"pid":{os.getpid()}'))
    run = processes.observe(JOB)
    assert run is not None
    assert run.state is RunState.LOST


async def test_a_note_that_a_power_cut_left_empty_is_a_lost_run(processes: Processes) -> None:
    await processes.start(a_spec())
    os.kill(running_pid(processes), signal.SIGKILL)
    await eventually(lambda: processes.active_jobs() == set())
    processes.folder(JOB).process_file(1).write_text("")
    run = processes.observe(JOB)
    assert run is not None
    assert run.state is RunState.LOST
    processes.stop(JOB, 1)
    await processes.start(a_spec(attempt=2))
    assert running_pid(processes)


async def test_a_run_goes_on_with_the_trace_that_started_it(
    processes: Processes, tmp_path: Path
) -> None:
    started = trace_context.new_trace()
    with trace_context.working_on(started):
        await processes.start(a_spec())
    log = processes.folder(JOB).log_file(1)
    # There is no such dataset: the run says so, and ends.
    failed = await eventually(lambda: _lines(log, "run_failed"), within=60)
    assert failed[0]["trace_id"] == started.trace_id
    assert failed[0]["span_id"] != started.span_id


def _lines(log: Path, event: str) -> list[dict[str, str]]:
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [found for line in lines if (found := json.loads(line)).get("event") == event]


def _pid_in(file: Path) -> str:
    return file.read_text().split('"pid":')[1].split(",")[0]
