"""How a command ends: exit codes that mean something, and the one error that carries them."""

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    BAD_INPUT = 2  # also what wrong options give
    NOT_RUNNING = 3  # the platform, or a part of it, cannot be reached
    REFUSED = 4  # no permission, or the state of things does not allow it
    REJECTED = 5  # the gate said no


class CommandError(Exception):
    """What to tell the person at the terminal: a sentence that says what to do, and an exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code
