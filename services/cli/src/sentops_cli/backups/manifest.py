"""backup.json: what one backup holds. It is written last, so a folder without it is no backup."""

import json
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, ValidationError

from sentops_core.domain.artifact import HexSha256
from sentops_core.domain.base import Body, Moment
from sentops_core.domain.errors import PlatformError, UnsupportedFormat

MANIFEST = "backup.json"
STARTED = "started.json"
LATEST = "latest.json"
DATABASE = "database.dump"
GRAFANA = "grafana.db"
STORE = "store"
FORMAT: Literal["sentops-backup/1"] = "sentops-backup/1"
# What seals a folder of the store: an artefact's manifest, a dataset's listing.
Seal = Literal["manifest.json", "_listing.json"]
MANIFEST_SEAL: Seal = "manifest.json"
LISTING_SEAL: Seal = "_listing.json"

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_MOMENT = "%Y%m%dT%H%M%SZ"
_FORMATS = re.compile(r"sentops-backup/\d+")


class BackupDamaged(PlatformError):
    """A backup lacks something, or does not hold the bytes that were written."""

    code = "backup_damaged"


def _inside(path: str) -> str:
    parts = unquote(path).split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\\" in path or "\0" in unquote(path):
        raise ValueError(f"{path!r} is not a path inside a store")
    return path


class BackupFile(Body):
    name: Literal["database.dump", "grafana.db"]
    bytes: int = Field(ge=0)
    sha256: HexSha256


class StoreFolder(Body):
    """A folder of the store, kept once for all backups at store/<sha256>, which is the hash of its seal."""

    path: Annotated[str, AfterValidator(_inside)]  # below the store's root
    seal: Seal
    sha256: HexSha256
    bytes: int = Field(ge=0)
    wanted_by: str

    @property
    def kept_at(self) -> str:
        return f"{STORE}/{self.sha256}"


class Lost(Body):
    """A folder that rows name and that was not in the store, or was damaged there."""

    storage_uri: str
    wanted_by: str
    why: str
    needed: bool  # False where the platform no longer uses it: an archived version, erased rows


class SchemaStep(Body):
    """A migration that was applied, as the ledger remembers it."""

    checksum: str
    works_with: int | None = None


class Backup(Body):
    """`elsewhere` are folders that rows name outside the store's root; whoever keeps that place backs them up."""

    format: Literal["sentops-backup/1"] = FORMAT
    name: str
    created_at: Moment
    seconds: float = Field(ge=0)
    sentops_version: str
    server_version: int  # PostgreSQL's major version; restoring takes this or a newer one
    client_version: int  # of the pg_dump that wrote; reading takes this or a newer one
    migrations: dict[int, SchemaStep]
    store_uri: str
    rows: dict[str, int]
    files: tuple[BackupFile, ...]
    folders: tuple[StoreFolder, ...]
    lost: tuple[Lost, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not any(one.needed for one in self.lost)

    @property
    def schema_version(self) -> int:
        return max(self.migrations, default=0)

    @property
    def total_bytes(self) -> int:
        """What a restore reads; folders that other backups share are counted too."""
        return sum(one.bytes for one in self.files) + sum(one.bytes for one in self.folders)

    def file(self, name: str) -> BackupFile | None:
        return next((one for one in self.files if one.name == name), None)

    def to_bytes(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


class Latest(Body):
    """latest.json: how the last attempt went, for whoever watches the age of backups."""

    ok: bool
    at: Moment
    seconds: float
    message: str
    name: str | None = None
    bytes: int | None = None
    last_success_at: Moment | None = None


def new_name(now: datetime) -> str:
    """The moment in UTC, and a few random letters: two backups of one second are two."""
    return f"{now.astimezone(UTC):{_MOMENT}}-{secrets.token_hex(2)}"


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def moment_of(name: str) -> datetime:
    return datetime.strptime(name.partition("-")[0], _MOMENT).replace(tzinfo=UTC)


def parse_backup(name: str, content: bytes) -> Backup:
    """UnsupportedFormat for one that a newer Sentops wrote, BackupDamaged for anything else we cannot read."""
    try:
        document = json.loads(content)
        written_as = document["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupDamaged(f"{MANIFEST} of the backup {name} cannot be read.") from error
    if written_as != FORMAT:
        if isinstance(written_as, str) and _FORMATS.fullmatch(written_as):
            raise UnsupportedFormat(
                f"The backup {name} has the format {written_as}, and this program knows {FORMAT}: "
                "use the Sentops that made it, or a newer one."
            )
        raise BackupDamaged(f"{MANIFEST} of the backup {name} is of no format of ours.")
    try:
        backup = Backup.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BackupDamaged(
            f"{MANIFEST} of the backup {name} is damaged: {place}: {first['msg']}."
        ) from error
    if backup.name != name:
        raise BackupDamaged(f"{MANIFEST} in the folder {name} belongs to {backup.name}.")
    return backup
