"""A server under test as a process of its own, on chosen cores, from cold start to its end."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.support.machine import pinned
from benchmarks.support.trained import ROOT, ModelUnderTest

_START_SECONDS = 180
_STOP_SECONDS = 30
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ServerKind:
    """How to start it: the command and what its environment adds, given a port and a fresh folder."""

    name: str
    start: Callable[[int, Path], tuple[list[str], dict[str, str]]]
    takes_batches: bool
    path: str = "/predict"
    ready: str = "/health/ready"
    question: Callable[[str], Any] = lambda text: {"text": text}
    answer: Callable[[Any], dict[str, Any]] = lambda found: found


@dataclass(frozen=True)
class RunningServer:
    url: str
    pid: int
    seconds_to_ready: float = field(compare=False)


def our_server(
    model: ModelUnderTest, settings: Mapping[str, str], *, name: str = "sentops"
) -> ServerKind:
    def start(port: int, folder: Path) -> tuple[list[str], dict[str, str]]:
        environment = {
            "SENTOPS_MODEL_PORT": str(port),
            "SENTOPS_MODEL_CACHE_DIR": str(folder / "cache"),
            "SENTOPS_MODEL_ARTIFACT_URI": model.uri,
            "SENTOPS_MODEL_ARTIFACT_DIGEST": model.digest,
            "SENTOPS_MODEL_VERSION": "bench-model-v1",
            "SENTOPS_MODEL_LOG_LEVEL": "WARNING",
            "SENTOPS_MODEL_ANSWER_CACHE_ENTRIES": "0",  # every answer is computed
            "SENTOPS_MODEL_TERMINATION_LOG": str(folder / "last-words"),
        }
        return [sys.executable, "-m", "sentops_model_server"], environment | dict(settings)

    return ServerKind(name, start, takes_batches=True)


def reference_server(weights: Path) -> ServerKind:
    def start(port: int, _: Path) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "benchmarks.reference_server"]
        return [*command, "--model", str(weights), "--port", str(port)], {}

    return ServerKind("reference", start, takes_batches=False)


def kserve_server(python: Path, weights: Path) -> ServerKind:
    """KServe's own Python server, in the environment of this interpreter."""

    def start(port: int, _: Path) -> tuple[list[str], dict[str, str]]:
        script = ROOT / "benchmarks" / "kserve_server.py"
        return [str(python), str(script), "--model", str(weights), "--port", str(port)], {}

    return ServerKind(
        "kserve",
        start,
        takes_batches=False,
        path="/v1/models/bench:predict",
        ready="/v2/health/ready",
        question=lambda text: {"instances": [text]},
        answer=lambda found: found["predictions"][0],
    )


@asynccontextmanager
async def running(kind: ServerKind, cores: list[int]) -> AsyncIterator[RunningServer]:
    """The server once it says that it is ready; ended when the block ends."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{kind.name}-") as name:
        folder, port = Path(name), _free_port()
        command, environment = kind.start(port, folder)
        log = folder / "log.txt"
        started = time.perf_counter()
        process = _start(command, environment, log, cores)
        url = f"http://127.0.0.1:{port}"
        try:
            await _until_ready(url + kind.ready, process, log)
            yield RunningServer(url, process.pid, time.perf_counter() - started)
        finally:
            await asyncio.to_thread(_end, process)


def _start(
    command: list[str], environment: dict[str, str], log: Path, cores: list[int]
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output, pinned(cores):
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_POLL_SECONDS)
    raise SystemExit(f"{url} was not ready: {_tail(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
