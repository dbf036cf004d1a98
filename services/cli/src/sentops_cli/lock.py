"""One supervisor per home: a lock that the kernel drops with its holder, however that one ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sentops_cli.home import Home
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.state import read_state


@contextmanager
def only_supervisor(home: Home) -> Iterator[None]:
    """Hold the home's lock; when somebody has it, say who and touch nothing."""
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(_who(home, descriptor), ExitCode.REFUSED) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _who(home: Home, descriptor: int) -> str:
    holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    state = read_state(home.state)
    where = ""
    if state is not None and state.running and state.port_of("web"):
        where = f", page http://127.0.0.1:{state.port_of('web')}"
    who = f"process {holder}" if holder else "another process that is just starting"
    return (
        f"Sentops already runs in {home.root} ({who}{where}). "
        "Look with `sentops status`, stop it with `sentops down`, or take another folder with --home."
    )
