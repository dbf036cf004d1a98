"""Which backups to keep, decided on their moments alone; and the sweep of what nothing kept refers to."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sentops_cli.backups.catalogue import Catalogue, read_catalogue
from sentops_cli.backups.manifest import STORE, moment_of
from sentops_cli.backups.place import BackupPlace

# A backup made before an upgrade must not go because somebody makes another one an hour later.
_UNTOUCHED = timedelta(hours=24)
# An unfinished backup is surely abandoned after this long.
_ABANDONED = timedelta(hours=24)


@dataclass(frozen=True)
class Policy:
    """The newest backup of each of the last `daily` days and `weekly` weeks that have one."""

    daily: int
    weekly: int


@dataclass(frozen=True)
class Aged:
    """A backup as the policy sees it; `complete` is False when the store lacked something needed."""

    name: str
    at: datetime
    complete: bool


@dataclass(frozen=True)
class Pruned:
    backups: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    folders: int = 0
    postponed: str = ""  # why folders of the store were left alone


def to_keep(backups: Sequence[Aged], policy: Policy, *, now: datetime) -> frozenset[str]:
    """Names to keep: what the policy asks for, all of the last 24 hours, the newest, and the newest complete one."""
    newest_first = sorted(backups, key=lambda one: (one.at, one.name), reverse=True)
    kept = {one.name for one in newest_first if now - one.at < _UNTOUCHED}
    kept |= {one.name for one in newest_first[:1]}
    kept |= {one.name for one in [one for one in newest_first if one.complete][:1]}
    kept |= _newest_of_each(newest_first, lambda at: at.date(), policy.daily)
    kept |= _newest_of_each(newest_first, lambda at: at.isocalendar()[:2], policy.weekly)
    return frozenset(kept)


def _newest_of_each(
    newest_first: Sequence[Aged], period: Callable[[datetime], Hashable], count: int
) -> set[str]:
    newest: dict[Hashable, str] = {}
    for one in newest_first:
        newest.setdefault(period(one.at), one.name)
    return set(list(newest.values())[:count])


def prune(place: BackupPlace, policy: Policy, *, now: datetime) -> Pruned:
    """Remove backups that the policy does not keep, abandoned halves, and store folders that none needs any more.

    What is not recognised stays. Folders of the store stay too while another backup is being made, which may
    rely on them, and while there is a backup that we cannot read.
    """
    catalogue = read_catalogue(place)
    aged = [Aged(one.name, one.created_at, one.complete) for one in catalogue.backups]
    kept = to_keep(aged, policy, now=now)
    going = tuple(one.name for one in aged if one.name not in kept)
    abandoned = tuple(name for name in catalogue.unfinished if now - moment_of(name) > _ABANDONED)
    for name in (*going, *abandoned):
        place.remove(name)
    folders, postponed = _sweep(place)
    return Pruned(going, abandoned, folders, postponed)


def _sweep(place: BackupPlace) -> tuple[int, str]:
    removed = 0
    unneeded = {name for name in place.folders(STORE) if _is_hash(name)}
    unneeded -= _needed(read_catalogue(place))
    for folder in sorted(unneeded):
        # Asked anew each time: a backup that begins now announces itself before it looks for folders.
        catalogue = read_catalogue(place)
        if reason := _why_not_now(catalogue):
            return removed, reason
        if folder not in _needed(catalogue) and place.holds(f"{STORE}/{folder}"):
            place.remove(f"{STORE}/{folder}")
            removed += 1
    return removed, ""


def _needed(catalogue: Catalogue) -> set[str]:
    return {folder.sha256 for backup in catalogue.backups for folder in backup.folders}


def _why_not_now(catalogue: Catalogue) -> str:
    if catalogue.unfinished:
        return f"{catalogue.unfinished[0]} is being made, or was abandoned less than a day ago"
    if catalogue.unreadable:
        return f"{next(iter(catalogue.unreadable))} cannot be read, so what it needs is not known"
    return ""


def _is_hash(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")
