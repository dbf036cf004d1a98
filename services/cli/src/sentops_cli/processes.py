"""Processes named so that a reused pid is never mistaken for the one we started."""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from sentops_cli.secrets_file import write_private
from sentops_core.domain.base import Body

# In the environment of everything the supervisor starts, and so of what those start in turn.
MARKER = "SENTOPS_SUPERVISED_HOME"
_CLOCK_SLACK = 1.0  # seconds: start times are read with the kernel's tick


class ProcessId(Body):
    """A pid and the second it started at, since the epoch."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it is still that one and not just a zombie."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= _CLOCK_SLACK
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def marked(home: Path) -> list[psutil.Process]:
    """Everything that was started for this home and lives, whoever its parent is now."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and process.environ().get(MARKER) == str(home):
                found.append(process)
        except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def training_runs(runs: Path) -> list[psutil.Process]:
    """The run processes that the trainer wrote down in `<runs>/<job>/attempt-<n>.json`."""
    return [process for _, process in _recorded_runs(runs)]


def end_runs(runs: Path, grace: timedelta) -> list[int]:
    """End the training runs: each writes a checkpoint first. Returns the pids that were there.

    The trainer, which must have ended before, finds in the record that the stop was wanted: such an attempt
    goes on later and does not count as failed.
    """
    found = _recorded_runs(runs)
    now = datetime.now(UTC).isoformat()
    for file, _ in found:
        record = json.loads(file.read_text())
        write_private(file, json.dumps(record | {"stop_requested_at": now}))
    end((process for _, process in found), grace)
    return [process.pid for _, process in found]


def _recorded_runs(runs: Path) -> list[tuple[Path, psutil.Process]]:
    found = []
    for file in runs.glob("*/attempt-*.json"):
        try:
            record = json.loads(file.read_text())
            known = ProcessId(pid=record["pid"], started=record["create_time"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not the trainer's, or being replaced
        process = known.find()
        if process is not None:
            found.append((file, process))
    return found


def end(processes: Iterable[psutil.Process], grace: timedelta) -> list[int]:
    """SIGTERM, wait, SIGKILL for those that stay. Returns the pids that had to be killed."""
    asked = []
    for process in processes:
        try:
            process.terminate()
            asked.append(process)
        except psutil.Error:
            continue
    _, stubborn = psutil.wait_procs(asked, timeout=grace.total_seconds())
    for process in stubborn:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(stubborn, timeout=5)
    return [process.pid for process in stubborn]
