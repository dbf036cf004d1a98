"""Homes, ports and fake programs for the tests of the command."""

import socket
import sys
from pathlib import Path

from sentops_cli.processes import MARKER
from sentops_cli.programs import Program

FAKE = Path(__file__).with_name("fake_program.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def a_program(
    home: Path, name: str = "web", *, port: int | None = None, **environment: str
) -> Program:
    chosen = port or free_port()
    return Program(
        name=name,
        port=chosen,
        command=(sys.executable, str(FAKE), str(chosen)),
        environment={MARKER: str(home), "FAKE_NAME": name} | environment,
    )
