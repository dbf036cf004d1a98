"""Files that people name on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sentops_cli.outcome import CommandError, ExitCode


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file for reading, or a sentence that says why not."""
    try:
        file = path.expanduser().open("rb")
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read: {error.strerror}.", ExitCode.BAD_INPUT
        ) from error
    with file:
        yield file
