"""PostgreSQL refuses to run as root: who it runs as instead, and where that account can read and write."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sentops_core.domain.errors import PlatformError

_ACCOUNTS = ("postgres", "nobody")  # must have a passwd entry: initdb looks its own name up
_ROOT_PLACE = Path("/var/lib/sentops")


def root_place() -> Path:
    """A folder for what root keeps on behalf of the account, which may not enter root's own folders."""
    make_open_folder(_ROOT_PLACE)
    return _ROOT_PLACE


def make_open_folder(folder: Path) -> None:
    """A folder of our own that others may pass through, whatever the umask says."""
    if not folder.exists():
        folder.mkdir()
        folder.chmod(0o755)


@dataclass(frozen=True)
class Account:
    """Runs commands as an unprivileged user when we are root, else as ourselves."""

    uid: int
    gid: int
    drops_root: bool

    @classmethod
    def current(cls) -> "Account":
        """Ourselves; for root, the first account of a short list that exists on this machine."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), drops_root=False)
        for name in _ACCOUNTS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, drops_root=True)
        raise PlatformError(
            "PostgreSQL does not run as root, and this machine has no account "
            f"{' or '.join(_ACCOUNTS)}: run as another user, or set DATABASE_URL to a server of yours."
        )

    def run(
        self, command: Sequence[str | Path], *, timeout: float, capture: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The finished command; its exit code is the caller's to judge.

        `capture=False` for one that leaves a server behind: the server would hold our pipes open.
        """
        output = subprocess.PIPE if capture else subprocess.DEVNULL
        return subprocess.run(
            [str(part) for part in command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is for us, not for the server
            user=self.uid if self.drops_root else None,
            group=self.gid if self.drops_root else None,
            extra_groups=[] if self.drops_root else None,
        )

    def can_enter(self, folder: Path) -> bool:
        """Whether this account can reach things inside the folder (asked of the system, not guessed)."""
        if not self.drops_root:
            return os.access(folder, os.X_OK)
        return self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", folder], timeout=10).returncode == 0

    def own_folder(self, folder: Path) -> None:
        """Create the folder, private to this account; folders above it are left as they are."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.own(folder)

    def own(self, path: Path) -> None:
        if self.drops_root:
            os.chown(path, self.uid, self.gid)
