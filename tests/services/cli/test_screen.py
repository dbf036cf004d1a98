"""What is shown while the platform runs: one line per change in a pipe, a live table on a terminal."""

import errno
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from sentops_cli.jobs import clock
from sentops_cli.processes import ProcessId
from sentops_cli.program_logs import ProgramLog, last_lines, readable
from sentops_cli.screen import LiveScreen, PlainScreen, screen_for
from sentops_cli.state import PlatformState, ProgramPhase, ProgramState
from sentops_core.domain.resources import TrainerStatus, TrainingJobPhase, TrainingJobStatus
from tests.services.cli.a_platform import a_job


def a_state(phase: ProgramPhase, message: str = "") -> PlatformState:
    web = ProgramState(
        name="web", port=8000, phase=phase, process=ProcessId(pid=7, started=1), message=message
    )
    return PlatformState(
        supervisor=ProcessId(pid=1, started=1),
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        programs=(web,),
    )


def running(percentage: int) -> TrainingJobStatus:
    progress = TrainerStatus(progress_percentage=percentage, estimated_remaining_seconds=61)
    return TrainingJobStatus(phase=TrainingJobPhase.RUNNING, trainer_status=progress)


def plain() -> tuple[PlainScreen, io.StringIO]:
    output = io.StringIO()
    return PlainScreen(Console(file=output)), output


def test_a_pipe_gets_one_line_per_change_and_none_without() -> None:
    screen, output = plain()
    for phase in (ProgramPhase.STARTING, ProgramPhase.STARTING, ProgramPhase.READY):
        screen.show(a_state(phase))
    assert output.getvalue().splitlines() == [
        "web starting on port 8000 (pid 7)",
        "web ready on port 8000 (pid 7)",
    ]


def test_a_program_that_was_not_started_yet_is_no_news() -> None:
    screen, output = plain()
    screen.show(a_state(ProgramPhase.STOPPED))
    assert output.getvalue() == ""


def test_progress_in_a_pipe_comes_every_ten_percent() -> None:
    screen, output = plain()
    for percentage in range(0, 40, 3):
        screen.training([a_job("mine", running(percentage))])
    shown = [line.split()[2] for line in output.getvalue().splitlines()]
    assert shown == ["0", "12", "21", "30"]


def test_a_message_with_brackets_is_shown_as_it_is_and_on_one_line() -> None:
    screen, output = plain()
    screen.say("[bold]" + "x" * 300)
    assert output.getvalue() == "[bold]" + "x" * 300 + "\n"


def test_a_terminal_shows_programs_training_and_addresses_together() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with screen_for(console) as screen:
        assert isinstance(screen, LiveScreen)
        screen.show(a_state(ProgramPhase.WAITING, "No model is loaded."))
        screen.training([a_job("mine", running(42))])
    shown = output.getvalue()
    for part in ("web", "waiting", "No model is loaded.", "mine", "42 %", "1:01 left"):
        assert part in shown
    assert "Page http://127.0.0.1:8000/" in shown


def test_times_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (5, 65, 3723)] == ["0:05", "1:05", "1:02:03"]


def test_logs_stay_bounded_and_keep_the_newest_lines(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    log = ProgramLog(path, max_bytes=1000)
    for number in range(500):
        log.write(f"line {number} with 100 % of its text")
    log.close()
    assert last_lines(path, 1) == ["line 499 with 100 % of its text"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3000
    assert len(list(tmp_path.iterdir())) == 3


def test_a_log_line_reads_as_time_level_event_and_facts() -> None:
    entry = {
        "event": "run_started",
        "level": "info",
        "timestamp": "2026-01-02T03:04:05.6Z",
        "pid": 3,
    }
    assert readable(json.dumps(entry)) == "2026-01-02 03:04:05 info    run_started pid=3"
    assert readable("Traceback (most recent call last):") == "Traceback (most recent call last):"
    assert readable("[1, 2]") == "[1, 2]"


class ClosedTerminal(io.StringIO):
    """What a program holds whose terminal window was closed."""

    def write(self, _: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_that_was_closed_stops_nobody_from_stopping_in_order(*, terminal: bool) -> None:
    screen = screen_for(Console(file=ClosedTerminal(), force_terminal=terminal))
    screen.show(a_state(ProgramPhase.STOPPING))
    screen.say("Stopping")
    screen.__exit__(None, None, None)


def test_lines_that_were_moved_aside_are_still_shown(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    log = ProgramLog(path, max_bytes=100)
    for number in range(20):
        log.write(f"line {number}")
    log.close()
    assert len(path.read_text().splitlines()) < 20
    assert last_lines(path, 20) == [f"line {number}" for number in range(20)]
    assert last_lines(tmp_path / "none.log", 5) == []
