"""Reading a whole backup and comparing every byte with what was written."""

import hashlib
from collections.abc import Callable
from functools import partial

from sentops_cli.backups.manifest import Backup, BackupDamaged, BackupFile, StoreFolder
from sentops_cli.backups.place import BackupPlace
from sentops_cli.backups.progress import Steps
from sentops_cli.backups.store_folders import files_of
from sentops_core.domain.artifact import ArtifactFile
from sentops_core.domain.errors import (
    ArtifactError,
    PlatformError,
    UnsupportedFormat,
)
from sentops_core.store.migrate import Applied, known_migrations, pending

_CHUNK = 1024 * 1024
_TOLD = 5


def verify(place: BackupPlace, backup: Backup, steps: Steps) -> None:
    """BackupDamaged, naming what is missing or changed; the whole backup is read."""
    problems: list[str] = []
    for file in backup.files:
        steps.step(f"checking {file.name}", file.bytes)
        problems += _problems(partial(_check_file, place, backup, file, steps.advance))
    for folder in backup.folders:
        steps.step(f"checking {folder.wanted_by}", folder.bytes)
        problems += _problems(partial(_check_folder, place, folder, steps.advance))
    if problems:
        more = f" And {len(problems) - _TOLD} more." if len(problems) > _TOLD else ""
        raise BackupDamaged(
            f"The backup {backup.name} is damaged. {' '.join(problems[:_TOLD])}{more} "
            "Nothing was restored; take another one (`sentops backups`)."
        )


def check_schema(backup: Backup) -> None:
    """Refuse a backup whose schema these programs do not know; an older one is brought up to date later."""
    try:
        applied = {
            number: Applied(step.checksum, step.works_with)
            for number, step in backup.migrations.items()
        }
        pending(known_migrations(), applied)
    except PlatformError as error:
        newest = max((one.version for one in known_migrations()), default=0)
        raise UnsupportedFormat(
            f"The backup {backup.name} was made by Sentops {backup.sentops_version} with schema "
            f"{backup.schema_version}, which these programs (schema {newest}) do not know: "
            "restore it with the programs of that version, or newer ones."
        ) from error


def _problems(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except (BackupDamaged, ArtifactError) as error:
        return [f"{str(error).rstrip('.')}."]
    return []


def _check_file(
    place: BackupPlace, backup: Backup, file: BackupFile, told: Callable[[int], None]
) -> None:
    _check_bytes(place, f"{backup.name}/{file.name}", file.bytes, file.sha256, told)


def _check_folder(place: BackupPlace, folder: StoreFolder, told: Callable[[int], None]) -> None:
    content = place.read(f"{folder.kept_at}/{folder.seal}")
    if content is None:
        raise BackupDamaged(f"The folder of {folder.wanted_by} is missing ({folder.kept_at})")
    if hashlib.sha256(content).hexdigest() != folder.sha256:
        raise BackupDamaged(f"{folder.seal} of {folder.wanted_by} was changed ({folder.kept_at})")
    told(len(content))
    listed: tuple[ArtifactFile, ...] = files_of(folder.seal, content)
    for file in listed:
        _check_bytes(place, f"{folder.kept_at}/{file.path}", file.size, file.sha256, told)


def _check_bytes(
    place: BackupPlace, name: str, size: int, sha256: str, told: Callable[[int], None]
) -> None:
    hashed, found = hashlib.sha256(), 0
    with place.reading(name) as stream:
        while chunk := stream.read(_CHUNK):
            hashed.update(chunk)
            found += len(chunk)
            told(len(chunk))
    if found != size:
        raise BackupDamaged(f"{name} has {found:,} bytes instead of {size:,}")
    if hashed.hexdigest() != sha256:
        raise BackupDamaged(f"{name} was changed: it does not have the SHA-256 that was recorded")
