"""What the supervisor tells the other commands: one small file, rewritten whole at each change."""

from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from sentops_cli.processes import ProcessId
from sentops_cli.secrets_file import write_private
from sentops_core.domain.base import Body, Moment


class ProgramPhase(StrEnum):
    STARTING = "starting"
    WAITING = "waiting"  # answers, but says it is not ready; the message says why
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class ProgramState(Body):
    name: str
    port: int
    phase: ProgramPhase
    process: ProcessId | None = None
    restarts: int = 0
    message: str = ""


class PlatformState(Body):
    """`milestones` are seconds from the start of `sentops up`."""

    supervisor: ProcessId
    started_at: Moment
    programs: tuple[ProgramState, ...] = ()
    milestones: dict[str, float] = {}
    first_run: str = ""
    base: str = ""  # what `--base` chose

    def port_of(self, program: str) -> int | None:
        return next((one.port for one in self.programs if one.name == program), None)

    @property
    def running(self) -> bool:
        return self.supervisor.find() is not None


def read_state(path: Path) -> PlatformState | None:
    """The last state written, whether or not its supervisor still lives."""
    try:
        return PlatformState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_state(path: Path, state: PlatformState) -> None:
    write_private(path, state.model_dump_json(indent=1))
