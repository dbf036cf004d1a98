"""How PostgreSQL's own programs are run: the password in their environment, their complaints in our words."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from sentops_core.domain.errors import PlatformError
from sentops_core.store.binaries import clients_version, find_clients

_LINES = 3


@dataclass(frozen=True)
class PostgresClient:
    """`address` has no password in it: any account of the machine can read command lines."""

    folder: Path
    version: int
    address: str
    environment: dict[str, str] = field(repr=False)
    _password: str = field(repr=False)

    @classmethod
    def to(cls, url: str, *, at_least: int, name: str) -> "PostgresClient":
        """Programs of this major version or a newer one; `name` is what the server sees."""
        address, password = split_password(url)
        folder = find_clients(at_least)
        environment = {**os.environ, "PGAPPNAME": name, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
        if password:
            environment["PGPASSWORD"] = password
        return cls(folder, clients_version(folder), address, environment, password)

    def command(self, program: str, *arguments: str) -> list[str]:
        return [str(self.folder / program), *arguments]

    def failed(self, program: str, complaint: str) -> PlatformError:
        """The last lines of what it said; never the password."""
        said = complaint.replace(self._password, "***") if self._password else complaint
        lines = [line for line in said.splitlines() if line.strip()][-_LINES:]
        return PlatformError(f"{program} failed: {' '.join(lines) or 'it said nothing'}")


def split_password(url: str) -> tuple[str, str]:
    """The URL without its password, and the password ('' when there is none: PGPASSWORD, PGPASSFILE)."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    options = parse_qsl(parts.query, keep_blank_values=True)
    asked = next((value for key, value in options if key == "password"), "")
    query = urlencode([(key, value) for key, value in options if key != "password"])
    address = urlunsplit(parts._replace(netloc=f"{name}{at}{host}", query=query))
    return address, unquote(password) or asked
