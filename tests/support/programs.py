"""Our programs as real processes on free ports, ended by pid when the test ends."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.postgres import a_free_port

_START_SECONDS = 60


@dataclass
class Program:
    """One program: can be killed and started again on the same port, as an operator would."""

    name: str
    environment: dict[str, str]
    log: Path
    port: int = field(default_factory=a_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Program":
        prefix = "MODEL" if self.name == "model_server" else self.name.upper()
        environment = {**os.environ, **self.environment, f"SENTOPS_{prefix}_PORT": str(self.port)}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"sentops_{self.name}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended: {self.tail()}")
            try:
                httpx.get(f"{self.url}/health/live", timeout=1)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(f"{self.name} does not answer: {self.tail()}")

    def kill(self) -> None:
        """As the kernel would: no goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@contextmanager
def running(name: str, environment: Mapping[str, str], folder: Path) -> Iterator[Program]:
    program = Program(name, dict(environment), folder / f"{name}.log")
    try:
        yield program.start()
    finally:
        program.stop()
