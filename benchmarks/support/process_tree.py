"""What a program and everything it started has used."""

import asyncio
import time
from contextlib import suppress

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system seconds of the process and all below it, with those that have ended and were waited for."""
    return sum(_own_and_ended(process) for process in _tree(pid))


def rss_bytes(pid: int) -> int:
    """Resident memory of the tree; pages that processes share count for each of them."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


async def until_idle(pid: int, *, busy: float = 0.1, most_seconds: float = 60) -> None:
    """Waits until the tree uses less than `busy` of a core: what an overload left behind is worked off."""
    deadline = time.monotonic() + most_seconds
    while time.monotonic() < deadline:
        before, started = cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(0.3)
        if cpu_seconds(pid) - before < busy * (time.monotonic() - started):
            return


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _own_and_ended(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # its parent's next reading has it
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
