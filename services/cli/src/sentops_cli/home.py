"""The state folder of one platform: where each thing lies. Only its owner may look inside."""

import os
from dataclasses import dataclass
from pathlib import Path

from sentops_cli.outcome import CommandError, ExitCode


@dataclass(frozen=True)
class Home:
    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def model_cache(self) -> Path:
        return self.root / "model-cache"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def sample(self) -> Path:
        return self.root / "sample"

    def log_of(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def create(self) -> None:
        """Make the folder and its parts; one that is there already is only locked down."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            for folder in (self.logs, self.runs, self.store, self.spool, self.model_cache):
                folder.mkdir(exist_ok=True)
            # A home inside somebody's repository must not carry its secrets into a commit.
            (self.root / ".gitignore").write_text("*\n")
        except OSError as error:
            raise CommandError(
                f"The state folder {self.root} cannot be used ({os.strerror(error.errno or 0)}); "
                "name another one with --home.",
                ExitCode.BAD_INPUT,
            ) from error


def home_at(path: Path) -> Home:
    return Home(path.expanduser().absolute())
