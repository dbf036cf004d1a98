"""What a supervisor that was killed has left: found by its state file, the runs' files and the marker."""

from datetime import timedelta

import psutil

from sentops_cli.database import embedded
from sentops_cli.home import Home
from sentops_cli.processes import end, end_runs, marked, training_runs
from sentops_cli.secrets_file import load
from sentops_cli.state import read_state

_GRACE = timedelta(seconds=60)  # a run writes a checkpoint first


def find_leftovers(home: Home, *, runs: bool) -> list[psutil.Process]:
    """Living programs of this home; training runs only when asked for, since the next trainer adopts them."""
    found = {process.pid: process for process in marked(home.root)}
    state = read_state(home.state)
    for program in state.programs if state is not None else ():
        process = program.process.find() if program.process is not None else None
        if process is not None and program.name != "postgres":
            found[process.pid] = process
    of_runs = {process.pid: process for process in training_runs(home.runs)}
    for run in list(of_runs.values()):
        try:
            of_runs |= {child.pid: child for child in run.children(recursive=True)}
        except psutil.Error:
            continue
    found = (
        found | of_runs
        if runs
        else {pid: process for pid, process in found.items() if pid not in of_runs}
    )
    return list(found.values())


def end_leftovers(home: Home, *, runs: bool) -> list[str]:
    """End them; returns what was ended, as `name (pid N)`."""
    named = [describe(process) for process in find_leftovers(home, runs=runs)]
    # The trainer before its runs, or it would take a run's end for a failure and start it again.
    end(find_leftovers(home, runs=False), _GRACE)
    if runs:
        end_runs(home.runs, _GRACE)
        end(find_leftovers(home, runs=True), _GRACE)
    return named


def stop_database(home: Home) -> bool:
    """Stop an embedded server that nobody watches any more; whether there was one."""
    secrets = load(home.secrets)
    if secrets is None or not home.postgres.exists():
        return False
    server = embedded(home, 0, secrets)
    if not server.is_running():
        return False
    server.stop()
    return True


def describe(process: psutil.Process) -> str:
    """`sentops_web (pid 12)`: the module for our own programs, else the program's name."""
    try:
        command = process.cmdline()
        name = next((part for part in command if part.startswith("sentops_")), process.name())
    except psutil.Error:
        name = "process"
    return f"{name} (pid {process.pid})"
