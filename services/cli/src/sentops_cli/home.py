"""The state folder of one platform: where each thing lies. Only its owner may look inside."""

import os
from dataclasses import dataclass
from pathlib import Path

from sentops_cli.outcome import CommandError, ExitCode

# What is in a state folder; `lock` and `secrets.json` are in every one that was ever used.
_MARKS = frozenset({"lock", "secrets.json"})
_PARTS = _MARKS | {
    ".gitignore", "state.json", "logs", "runs", "store", "spool", "model-cache", "postgres", "sample",
    "lost+found", ".DS_Store",
}  # fmt: skip


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
        """Make the folder and its parts; one of ours that is there already is only locked down."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            self.root.chmod(0o700)
            for folder in (self.logs, self.runs, self.store, self.spool, self.model_cache):
                folder.mkdir(exist_ok=True)
            # A home inside somebody's repository must not carry its secrets into a commit.
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise CommandError(
                f"The state folder {self.root} cannot be used ({os.strerror(error.errno or 0)}); "
                "name another one with --home.",
                ExitCode.BAD_INPUT,
            ) from error

    def _refuse_foreign(self) -> None:
        """Somebody's project or home directory must not be closed to others and filled with our files."""
        names = {entry.name for entry in self.root.iterdir()}
        foreign = sorted(names - _PARTS)
        if foreign and not names & _MARKS:
            raise CommandError(
                f"{self.root} is no state folder of Sentops: it holds {foreign[0]!r}. "
                "Name a new or an empty folder with --home.",
                ExitCode.BAD_INPUT,
            )


def home_at(path: Path) -> Home:
    """The home at this path, whether or not it is there yet; CommandError when we may not look into it."""
    try:
        root = path.expanduser().absolute()
        if root.is_dir():
            os.scandir(root).close()
    except RuntimeError as error:
        raise CommandError(f"{path}: there is no such account.", ExitCode.BAD_INPUT) from error
    except PermissionError as error:
        raise CommandError(
            f"The state folder {path} belongs to another account: run this as the one that started Sentops, "
            "or name another folder with --home.",
            ExitCode.REFUSED,
        ) from error
    return Home(root)
