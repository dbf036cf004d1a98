"""`sentops down`: ask the supervisor to stop, or clean up after one that is gone."""

import fcntl
import os
import time
from collections.abc import Callable
from datetime import timedelta

import psutil

from sentops_cli.home import Home
from sentops_cli.leftovers import describe, end_leftovers, find_leftovers, stop_database
from sentops_cli.outcome import CommandError
from sentops_cli.processes import training_runs
from sentops_cli.state import PlatformState, read_state

_EVERY = 0.1  # seconds
_TO_SHOW_UP = 10.0  # seconds for a supervisor that is just starting


def stop_platform(home: Home, patience: timedelta, say: Callable[[str], None]) -> list[str]:
    """Names of what was stopped; CommandError when something is still there afterwards."""
    if not home.root.exists():
        return []
    stopped: list[str] = []
    supervised = _supervisor(home)
    if supervised is not None:
        state, process = supervised
        stopped += [
            f"{one.name} (pid {one.process.pid})"
            for one in state.programs
            if one.process is not None
        ]
        runs = training_runs(home.runs)
        stopped += [f"training run (pid {run.pid})" for run in runs]
        say(f"Asking the supervisor (pid {process.pid}) to stop")
        process.terminate()
        _, alive = psutil.wait_procs([process], timeout=patience.total_seconds())
        if alive:
            raise CommandError(
                f"The supervisor (pid {process.pid}) has not stopped within "
                f"{patience.total_seconds():.0f} seconds; its log is {home.log_of('supervisor')}."
            )
        stopped.append(f"supervisor (pid {process.pid})")
    stopped += end_leftovers(home, runs=True)
    if stop_database(home):
        stopped.append("postgres")
    left = find_leftovers(home, runs=True)
    if left:
        names = ", ".join(describe(process) for process in left)
        raise CommandError(f"Still running and not to be ended: {names}.")
    return stopped


def _supervisor(home: Home) -> tuple[PlatformState, psutil.Process] | None:
    """The living supervisor; one that holds the lock but has not yet written its state is waited for."""
    deadline = time.monotonic() + _TO_SHOW_UP
    while True:
        state = read_state(home.state)
        process = state.supervisor.find() if state is not None else None
        if state is not None and process is not None:
            return state, process
        if not _is_locked(home) or time.monotonic() > deadline:
            return None
        time.sleep(_EVERY)


def _is_locked(home: Home) -> bool:
    try:
        descriptor = os.open(home.lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
