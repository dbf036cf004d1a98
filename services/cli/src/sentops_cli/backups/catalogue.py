"""The backups of a place: whole ones, unfinished ones, and those that we cannot read."""

from dataclasses import dataclass

from sentops_cli.backups.manifest import (
    MANIFEST,
    Backup,
    BackupDamaged,
    is_name,
    parse_backup,
)
from sentops_cli.backups.place import BackupPlace
from sentops_cli.outcome import CommandError, ExitCode
from sentops_core.domain.errors import PlatformError, UnsupportedFormat

LATEST_NAME = "latest"


@dataclass(frozen=True)
class Catalogue:
    """Backups from the oldest to the newest; `unreadable` with the reason of each."""

    backups: tuple[Backup, ...]
    unfinished: tuple[str, ...]
    unreadable: dict[str, PlatformError]


def read_catalogue(place: BackupPlace) -> Catalogue:
    backups: list[Backup] = []
    unfinished: list[str] = []
    unreadable: dict[str, PlatformError] = {}
    for name in sorted(name for name in place.folders() if is_name(name)):
        content = place.read(f"{name}/{MANIFEST}")
        if content is None:
            if place.holds(name):
                unfinished.append(name)
            continue
        try:
            backups.append(parse_backup(name, content))
        except (BackupDamaged, UnsupportedFormat) as error:
            unreadable[name] = error
    return Catalogue(tuple(backups), tuple(unfinished), unreadable)


def find_backup(place: BackupPlace, asked: str) -> Backup:
    """The backup of this name, or the newest for `latest`."""
    catalogue = read_catalogue(place)
    if asked == LATEST_NAME:
        newest = max(catalogue.unreadable, default="")
        if catalogue.backups and catalogue.backups[-1].name > newest:
            return catalogue.backups[-1]
        if newest:  # silently taking an older one would look like a loss of data
            raise catalogue.unreadable[newest]
        raise CommandError(
            f"There is no backup in {place.uri}{_more(catalogue)}.", ExitCode.BAD_INPUT
        )
    if asked in catalogue.unreadable:
        raise catalogue.unreadable[asked]
    # The moment alone will do where it names one backup.
    meant = [one for one in catalogue.backups if asked in {one.name, one.name.partition("-")[0]}]
    if len(meant) == 1:
        return meant[0]
    if asked in catalogue.unfinished:
        raise CommandError(
            f"The backup {asked} is not finished: it is being made, or its making was cut off.",
            ExitCode.REFUSED,
        )
    known = ", ".join(one.name for one in catalogue.backups[-5:])
    raise CommandError(
        f"There is no backup {asked!r} in {place.uri}"
        + (f"; the newest are {known}." if known else f"{_more(catalogue)}."),
        ExitCode.BAD_INPUT,
    )


def _more(catalogue: Catalogue) -> str:
    if catalogue.unfinished:
        return f", only {len(catalogue.unfinished)} that were never finished"
    return ""
