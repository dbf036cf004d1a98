"""`sentops backup`, `sentops backups` and `sentops restore`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sentops_cli.addresses import actor
from sentops_cli.backups.catalogue import LATEST_NAME, find_backup, read_catalogue
from sentops_cli.backups.create import create_backup, lost_in_words
from sentops_cli.backups.manifest import GRAFANA, Backup, BackupDamaged
from sentops_cli.backups.place import BackupPlace, place_of
from sentops_cli.backups.progress import in_bytes, steps_for_people
from sentops_cli.backups.restore import restore_backup
from sentops_cli.backups.retention import Policy, Pruned, prune
from sentops_cli.backups.verify import check_schema, verify
from sentops_cli.backups.where import named_or_running, named_or_stopped
from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption
from sentops_cli.home import home_at
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import print_json, print_rows, say
from sentops_core.domain.errors import Unavailable, UnsupportedFormat

PlaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        envvar="SENTOPS_BACKUP_TO",
        help="A folder, or s3://bucket/prefix (credentials: AWS_* of the environment).",
        show_default=False,
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        envvar="SENTOPS_DATABASE_URL",
        help="The platform's database; better by environment, since it holds a password.",
        show_envvar=True,
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        envvar="SENTOPS_STORE_URI", help="Root of its artefact store: file:///... or s3://..."
    ),
]
GrafanaOption = Annotated[
    Path | None,
    typer.Option(envvar="SENTOPS_GRAFANA_DIR", help="Grafana's data folder, with grafana.db."),
]


def backup(
    place: PlaceArgument,
    *,
    database_url: DatabaseOption = None,
    store_uri: StoreOption = None,
    grafana_dir: GrafanaOption = None,
    keep_daily: Annotated[
        int | None,
        typer.Option(
            envvar="SENTOPS_BACKUP_KEEP_DAILY",
            min=0,
            help="Then keep the newest backup of this many days, and remove the others.",
        ),
    ] = None,
    keep_weekly: Annotated[
        int | None,
        typer.Option(
            envvar="SENTOPS_BACKUP_KEEP_WEEKLY", min=0, help="And that of this many weeks."
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Back up the database, the artefacts and datasets, and Grafana's state, while everything serves.

    Without any --keep option no backup is ever removed.
    """
    kept_at = _place(place)
    with (
        _orderly_end(),
        named_or_running(home_at(home), database_url, store_uri, grafana_dir) as source,
        steps_for_people() as steps,
        _out_of_reach(),
    ):
        made = create_backup(source, kept_at, steps, actor=actor())
        pruned = _pruned(kept_at, keep_daily, keep_weekly)
    if as_json:
        print_json({**_summary(made), "pruned": _pruned_document(pruned)})
    else:
        for line in _told(made, kept_at, pruned):
            say(line)
    if not made.complete:
        raise CommandError(
            f"The store lacks what the platform needs: {lost_in_words(made)}. "
            f"The backup {made.name} holds everything else.",
            ExitCode.FAILED,
        )


def backups(place: PlaceArgument, *, as_json: JsonOption = False) -> None:
    """List the backups of a place, the newest first. `sentops restore PLACE NAME --only-check` reads one whole."""
    with _out_of_reach():
        found = read_catalogue(_place(place))
    if as_json:
        print_json(
            {
                "backups": [_summary(one) for one in reversed(found.backups)],
                "unfinished": list(found.unfinished),
                "unreadable": {name: str(why) for name, why in found.unreadable.items()},
            }
        )
        return
    print_rows(
        ("Name", "Made", "Size", "Sentops", "Schema", "Predictions", "Versions", "State"),
        [
            (
                one.name,
                f"{one.created_at:%Y-%m-%d %H:%M} UTC",
                in_bytes(one.total_bytes),
                one.sentops_version,
                str(one.schema_version),
                str(one.rows.get("predictions", 0)),
                str(one.rows.get("model_versions", 0)),
                "whole" if one.complete else f"lacks {lost_in_words(one)}",
            )
            for one in reversed(found.backups)
        ],
    )
    for name in found.unfinished:
        say(f"{name} is not finished: it is being made, or its making was cut off")
    for why in found.unreadable.values():
        say(str(why))


def restore(
    place: PlaceArgument,
    name: Annotated[
        str, typer.Argument(help="As `sentops backups` lists it, or `latest`.")
    ] = LATEST_NAME,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Throw away what the database holds now.")
    ] = False,
    only_check: Annotated[
        bool,
        typer.Option("--only-check", help="Read and verify the backup, and restore nothing."),
    ] = False,
    database_url: DatabaseOption = None,
    store_uri: StoreOption = None,
    grafana_dir: GrafanaOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Bring database, artefacts, datasets and Grafana's state back to a backup. Stop the programs before.

    Every byte of the backup is checked before anything is touched, and the database changes all at once or not.
    """
    kept_at = _place(place)
    with _orderly_end(), _out_of_reach(), _refusals():
        found = find_backup(kept_at, name)
        check_schema(found)
        if only_check:
            with steps_for_people() as steps:
                verify(kept_at, found, steps)
            say(f"The backup {found.name} is as it was written: {_contents(found)}.")
            return
        with (
            named_or_stopped(home_at(home), database_url, store_uri, grafana_dir) as into,
            steps_for_people() as steps,
        ):
            restore_backup(found, kept_at, into, steps, replace=replace, actor=actor())
    for line in _restored(found, grafana_dir, named=bool(database_url)):
        say(line)


def _place(text: str) -> BackupPlace:
    """What compose passes on empty is as good as unset; the S3 client would take it for an address."""
    for name in [name for name in os.environ if name.startswith("AWS_") and not os.environ[name]]:
        del os.environ[name]
    return place_of(text)


def _pruned(place: BackupPlace, daily: int | None, weekly: int | None) -> Pruned | None:
    if daily is None and weekly is None:
        return None
    return prune(place, Policy(daily or 0, weekly or 0), now=datetime.now(UTC))


def _told(made: Backup, place: BackupPlace, pruned: Pruned | None) -> Iterator[str]:
    yield f"Backup {made.name} in {place.uri}: {_contents(made)}, {made.seconds:.0f} s."
    for one in made.lost:
        if not one.needed:
            yield f"Not in it, since the store has it no more: {one.wanted_by} ({one.why})."
    if made.elsewhere:
        yield (
            "Not in it, since it lies outside the store; whoever keeps that place backs it up: "
            f"{', '.join(made.elsewhere)}."
        )
    if pruned is None:
        return
    if removed := len(pruned.backups) + len(pruned.unfinished):
        folders = f", and {pruned.folders} folders of the store" if pruned.folders else ""
        yield f"Removed {removed} older backups{folders}."
    if pruned.postponed:
        yield f"Folders that no backup needs wait for the next time: {pruned.postponed}."


def _restored(found: Backup, grafana: Path | None, *, named: bool) -> Iterator[str]:
    yield f"Restored {found.name}: {_contents(found)}."
    if grafana is not None and found.file(GRAFANA) is None:
        yield "Grafana's state is not in this backup; it was left as it is."
    for one in found.lost:
        yield f"The backup never had {one.wanted_by}: {one.why}."
    if found.elsewhere:
        yield f"Must be there by other means: {', '.join(found.elsewhere)}."
    yield (
        "Next: start the programs again (compose: `docker compose up -d --wait`); they bring an older schema up to date."
        if named
        else "Next: `sentops up`. It brings an older schema up to date."
    )
    yield "Prediction ids are signed: keep the signing key of before (compose: .env, else secrets.json)."


def _contents(one: Backup) -> str:
    size, rows = in_bytes(one.total_bytes), one.rows
    return (
        f"{size}, {rows.get('predictions', 0)} predictions, {rows.get('dataset_versions', 0)} dataset versions, "
        f"{rows.get('model_versions', 0)} model versions"
    )


def _summary(one: Backup) -> dict[str, Any]:
    return {
        **one.model_dump(mode="json", exclude={"folders", "migrations"}),
        "schema_version": one.schema_version,
        "total_bytes": one.total_bytes,
        "complete": one.complete,
        "folders": len(one.folders),
    }


def _pruned_document(pruned: Pruned | None) -> dict[str, Any] | None:
    if pruned is None:
        return None
    return {
        "backups": list(pruned.backups),
        "unfinished": list(pruned.unfinished),
        "folders": pruned.folders,
        "postponed": pruned.postponed,
    }


@contextmanager
def _out_of_reach() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise CommandError(str(error), ExitCode.NOT_RUNNING) from error


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (UnsupportedFormat, BackupDamaged) as error:
        raise CommandError(str(error), ExitCode.REFUSED) from error


@contextmanager
def _orderly_end() -> Iterator[None]:
    """A SIGTERM (`docker stop`, systemd) ends like a Ctrl-C: nothing half made stays behind.

    As a container's first process we would not even get it without a handler.
    """

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
