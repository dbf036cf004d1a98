"""Which port each program listens on, and a clear word when one is taken."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import psutil

from sentops_cli.outcome import CommandError, ExitCode

LAST_PORT = 65535


@dataclass(frozen=True)
class Ports:
    web: int = 8000
    backoffice: int = 8001
    model: int = 8501
    trainer: int = 8502
    monitor: int = 8003
    postgres: int = 5555

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(asdict(self).items())

    def changed(self, *, offset: int = 0, **single: int | None) -> "Ports":
        """Every port moved by `offset`, but those named in `single` set to exactly that."""
        moved = {name: port + offset for name, port in self}
        moved |= {name: port for name, port in single.items() if port is not None}
        ports = Ports(**moved)
        for name, port in ports:
            if not 1 <= port <= LAST_PORT:
                raise CommandError(
                    f"Port {port} for {name} is not between 1 and {LAST_PORT}.", ExitCode.BAD_INPUT
                )
        if len(set(moved.values())) < len(moved):
            raise CommandError(f"Two programs cannot share a port: {moved}.", ExitCode.BAD_INPUT)
        return ports


def check_free(
    ports: Ports, *, host: str = "127.0.0.1", skip: frozenset[str] = frozenset()
) -> None:
    """Refuse with one sentence per taken port, before anything is started."""
    taken = [(name, port) for name, port in ports if name not in skip and not is_free(host, port)]
    if taken:
        lines = [f"Port {port} ({name}) is in use{held_by(port)}." for name, port in taken]
        name, port = taken[0]
        single = f"--{name}-port {_free_after(port, ports, host)}, or "
        choice = single if len(taken) == 1 else ""
        raise CommandError(
            " ".join(lines) + f" Stop it, or choose other ports: {choice}--port-offset 100 "
            "to move them all.",
            ExitCode.REFUSED,
        )


def _free_after(port: int, ports: Ports, host: str) -> int:
    """The next port up that nobody uses and that is none of ours; the port itself when there is none."""
    ours = {number for _, number in ports}
    following = (one for one in range(port + 1, LAST_PORT + 1) if one not in ours)
    return next((one for one in following if is_free(host, one)), port)


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise CommandError(
                    f"Port {port} needs more rights than you have; take one above 1023.",
                    ExitCode.BAD_INPUT,
                ) from error
            return False
    return True


def held_by(port: int) -> str:
    """By whom, when the system lets us know: ` by NAME (pid N)`, else nothing."""
    try:
        listening = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return ""
    for connection in listening:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f" by process {connection.pid}"
    return ""
