"""Restoring a backup: checked whole before anything is touched; the database in one transaction."""

from contextlib import ExitStack

from sentops_cli.backups import database_dump, grafana_state, target
from sentops_cli.backups.create import Source
from sentops_cli.backups.manifest import DATABASE, GRAFANA, STORE, Backup, BackupDamaged
from sentops_cli.backups.place import BackupPlace
from sentops_cli.backups.postgres_client import PostgresClient
from sentops_cli.backups.progress import Steps
from sentops_cli.backups.store_folders import copy_from_backup, prepare_root
from sentops_cli.backups.verify import check_schema, verify
from sentops_core.artifacts.places import below
from sentops_core.domain.errors import PlatformError


def restore_backup(
    backup: Backup,
    place: BackupPlace,
    into: Source,
    steps: Steps,
    *,
    replace: bool,
    actor: str,
) -> None:
    """Bring database, store and Grafana's state to what the backup holds.

    Store folders come first: more of them harms nothing if the database then refuses. Grafana's file is written
    beside the old one before, and put in its place after, the database's commit.
    """
    check_schema(backup)
    verify(place, backup, steps)
    found = target.inspect(into.database_url, backup, replace=replace)
    client = PostgresClient.to(
        into.database_url,
        at_least=max(found.server_version, backup.client_version),
        name="sentops restore",
    )
    with_grafana = into.grafana is not None and backup.file(GRAFANA) is not None
    if into.grafana is not None and with_grafana:
        grafana_state.check_folder(into.grafana)
    _restore_store(backup, place, into.store_uri, steps)
    with ExitStack() as stack:
        if into.grafana is not None and with_grafana:
            state = stack.enter_context(grafana_state.replacing(into.grafana))
            steps.step("Grafana")
            with place.reading(f"{backup.name}/{GRAFANA}") as reading:
                database_dump.copy_hashed(reading, state, steps.advance)
        _restore_database(backup, place, into, client, found.server_version, steps)
    wrong = target.settle(into.database_url, backup, place.uri, actor)
    if wrong:
        told = ", ".join(
            f"{name} {found} instead of {meant}" for name, (meant, found) in wrong.items()
        )
        raise PlatformError(f"The database was restored, but its rows do not add up: {told}.")


def _restore_store(backup: Backup, place: BackupPlace, store_uri: str, steps: Steps) -> None:
    prepare_root(store_uri)
    for folder in backup.folders:
        copy_from_backup(
            folder, kept_below=below(place.uri, STORE), store_uri=store_uri, steps=steps
        )


def _restore_database(
    backup: Backup,
    place: BackupPlace,
    into: Source,
    client: PostgresClient,
    server_version: int,
    steps: Steps,
) -> None:
    dump = backup.file(DATABASE)
    if dump is None:
        raise BackupDamaged(f"The backup {backup.name} lists no {DATABASE}.")
    old, new = backup.store_uri.rstrip("/"), into.store_uri.rstrip("/")
    steps.step("database", dump.bytes)
    with place.reading(f"{backup.name}/{DATABASE}") as reading:
        database_dump.restore(
            client,
            reading,
            expected_sha256=dump.sha256,
            server_version=server_version,
            before=target.CLEAR,
            after="" if old == new else target.MOVE_STORE,
            values={} if old == new else {"old_store": old, "new_store": new},
            told=steps.advance,
        )
