"""Making a backup: the database as of one moment, then what its rows name, then the list of it all."""

import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sentops_cli.backups import database_dump, grafana_state
from sentops_cli.backups.manifest import (
    DATABASE,
    GRAFANA,
    LATEST,
    MANIFEST,
    STARTED,
    STORE,
    Backup,
    BackupFile,
    Latest,
    Lost,
    StoreFolder,
    new_name,
)
from sentops_cli.backups.place import BackupPlace
from sentops_cli.backups.postgres_client import PostgresClient
from sentops_cli.backups.progress import Steps
from sentops_cli.backups.snapshot import Moment, Wanted, moment_of_database
from sentops_cli.backups.store_folders import copy_to_backup, path_in_store
from sentops_core.artifacts.places import below, place_at
from sentops_core.domain.errors import PlatformError, Unavailable
from sentops_core.store.audit import Audit
from sentops_core.store.pool import database_errors, open_connection

_ROUNDS = 3  # of looking whether a folder was taken away again by another one's retention


@dataclass(frozen=True)
class Source:
    """What is backed up. `repr` would show the database's password."""

    database_url: str
    store_uri: str
    grafana: Path | None = None

    def __repr__(self) -> str:
        return f"Source({self.store_uri})"


def create_backup(
    source: Source,
    place: BackupPlace,
    steps: Steps,
    *,
    actor: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Backup:
    """A whole backup at this place, or none. One whose store lacked something is kept, and not `complete`."""
    began, started = time.monotonic(), clock()
    name = new_name(started)
    try:
        place.prepare()
        # Others' retention leaves the store's folders alone from here on.
        place.write(f"{name}/{STARTED}", _started(started))
        backup = _fill(source, place, steps, name=name, created_at=started, began=began)
    except BaseException as error:
        with suppress(Exception):  # the first failure is the one to tell
            place.remove(name)
            _tell_failure(place, str(error) or type(error).__name__, clock(), began)
        raise
    with suppress(PlatformError):  # it only marks what backup.json marks better
        place.remove(f"{name}/{STARTED}")
    _tell_success(place, backup, clock())
    try:
        asyncio.run(_record(source.database_url, backup, place.uri, actor))
    except PlatformError as error:
        steps.note(f"The backup is made, but the audit log does not say so: {error}")
    return backup


def _fill(
    source: Source,
    place: BackupPlace,
    steps: Steps,
    *,
    name: str,
    created_at: datetime,
    began: float,
) -> Backup:
    with moment_of_database(source.database_url) as moment:
        client = PostgresClient.to(
            source.database_url, at_least=moment.server_version, name="sentops backup"
        )
        steps.step("database")
        with place.writing(f"{name}/{DATABASE}") as target:
            written = database_dump.dump(client, moment.token, target, steps.advance)
    files = [BackupFile(name=DATABASE, bytes=written.bytes, sha256=written.sha256)]
    if source.grafana is not None and grafana_state.has_state(source.grafana):
        files.append(_copy_grafana(source.grafana, place, name, steps))
    elif source.grafana is not None:
        steps.note(f"Grafana has never started: there is no {GRAFANA} in {source.grafana}")
    found, elsewhere = _store_folders(moment, source.store_uri, place, steps)
    backup = Backup(
        name=name,
        created_at=created_at,
        seconds=round(time.monotonic() - began, 1),
        sentops_version=version("sentops-cli"),
        server_version=moment.server_version,
        client_version=client.version,
        migrations=moment.migrations,
        store_uri=source.store_uri,
        rows=moment.rows,
        files=tuple(files),
        folders=tuple(one for one in found if isinstance(one, StoreFolder)),
        lost=tuple(one for one in found if isinstance(one, Lost)),
        elsewhere=elsewhere,
    )
    place.write(f"{name}/{MANIFEST}", backup.to_bytes())
    return backup


def _copy_grafana(folder: Path, place: BackupPlace, name: str, steps: Steps) -> BackupFile:
    with tempfile.TemporaryDirectory(prefix="sentops-") as temporary:
        copy = Path(temporary, GRAFANA)
        grafana_state.copy_state(folder, copy)
        steps.step("Grafana", copy.stat().st_size)
        with copy.open("rb") as reading, place.writing(f"{name}/{GRAFANA}") as target:
            written = database_dump.copy_hashed(reading, target, steps.advance)
    return BackupFile(name=GRAFANA, bytes=written.bytes, sha256=written.sha256)


def _store_folders(
    moment: Moment, store_uri: str, place: BackupPlace, steps: Steps
) -> tuple[list[StoreFolder | Lost], tuple[str, ...]]:
    wanted: dict[str, tuple[Wanted, str]] = {}
    elsewhere: list[str] = []
    for one in moment.wanted:
        path = path_in_store(one.storage_uri, store_uri)
        if path is None:
            elsewhere.append(f"{one.wanted_by}: {one.storage_uri}")
        else:
            known = wanted.get(one.storage_uri)
            if known is None or (one.needed and not known[0].needed):
                wanted[one.storage_uri] = (one, path)
    kept_below = below(place.uri, STORE)

    def copied(one: Wanted, path: str) -> StoreFolder | Lost:
        return copy_to_backup(one, path, kept_below=kept_below, steps=steps)

    found = {uri: copied(*one) for uri, one in wanted.items()}
    for _ in range(_ROUNDS):
        # A retention that began just before us may have taken a folder that we found there.
        gone = [
            uri
            for uri, one in found.items()
            if isinstance(one, StoreFolder)
            and place_at(below(kept_below, one.sha256)).read_seal(one.seal) is None
        ]
        if not gone:
            return list(found.values()), tuple(elsewhere)
        found |= {uri: copied(*wanted[uri]) for uri in gone}
    raise Unavailable(
        f"Something removes folders from {kept_below} while this backup is made; stop it and try again."
    )


async def _record(url: str, backup: Backup, uri: str, actor: str) -> None:
    connection = await open_connection(url, application_name="sentops backup")
    try:
        with database_errors():
            await Audit(connection).record(
                actor,
                "backup.created",
                backup.name,
                {"place": uri, "bytes": backup.total_bytes, "complete": backup.complete},
            )
    finally:
        await connection.close()


def _started(now: datetime) -> bytes:
    return json.dumps(
        {"started_at": now.isoformat(), "machine": platform.node(), "pid": os.getpid()}
    ).encode()


def _tell_success(place: BackupPlace, backup: Backup, now: datetime) -> None:
    latest = Latest(
        ok=backup.complete,
        at=now,
        seconds=backup.seconds,
        message="" if backup.complete else lost_in_words(backup),
        name=backup.name,
        bytes=backup.total_bytes,
        last_success_at=now if backup.complete else _last_success(place),
    )
    place.write(LATEST, latest.model_dump_json(indent=1).encode())


def _tell_failure(place: BackupPlace, message: str, now: datetime, began: float) -> None:
    latest = Latest(
        ok=False,
        at=now,
        seconds=round(time.monotonic() - began, 1),
        message=message,
        last_success_at=_last_success(place),
    )
    place.write(LATEST, latest.model_dump_json(indent=1).encode())


def _last_success(place: BackupPlace) -> datetime | None:
    try:
        return Latest.model_validate_json(place.read(LATEST) or b"").last_success_at
    except ValueError:
        return None


def lost_in_words(backup: Backup) -> str:
    """What the store lacked, in one sentence; '' when nothing that is needed."""
    needed = [one for one in backup.lost if one.needed]
    return "; ".join(f"{one.wanted_by} ({one.storage_uri}): {one.why}" for one in needed)
