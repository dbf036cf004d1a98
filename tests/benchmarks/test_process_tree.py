"""CPU and memory of a server are those of everything it started, also of what has ended."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from benchmarks.support.process_tree import cpu_seconds, rss_bytes, until_idle

_BURN = """
import time
def burn(seconds):
    while time.process_time() < seconds:
        pass
"""
# 0.3 s in a child that has ended, 0.3 s in one that lives, 0.2 s in the parent itself.
_FAMILY = (
    _BURN
    + """
import subprocess, sys
code = sys.argv[1]
subprocess.run([sys.executable, "-c", code + "burn(0.3)"], check=True)
living = subprocess.Popen(
    [sys.executable, "-c", code + "burn(0.3); print('burnt', flush=True); held = bytearray(50_000_000); print(len(held), flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
living.stdout.readline(); living.stdout.readline()
burn(0.2)
print("ready", flush=True)
input()
living.communicate(b"\\n")
"""
)


@contextmanager
def a_program(code: str, *arguments: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield process.pid
    finally:
        process.communicate(b"\n", timeout=30)


def test_children_count_while_they_live_and_after_their_end() -> None:
    with a_program(_FAMILY, _BURN) as pid:
        own = sum(psutil.Process(pid).cpu_times()[:2])
        assert own < 0.7  # of the 0.8 s the process itself has not used
        assert cpu_seconds(pid) == pytest.approx(0.8, abs=0.3)
        assert cpu_seconds(pid) >= 0.78
        assert rss_bytes(pid) > psutil.Process(pid).memory_info().rss + 50_000_000


async def test_idle_is_waited_for() -> None:
    busy_for_a_while = _BURN + "print('ready', flush=True)\nburn(0.6)\ninput()"
    with a_program(busy_for_a_while) as pid:
        await until_idle(pid)
        assert cpu_seconds(pid) >= 0.59


async def test_waiting_for_idle_is_bounded() -> None:
    with a_program("print('ready', flush=True)\ninput()") as _:
        await until_idle(os.getpid(), busy=0.0, most_seconds=0.1)
