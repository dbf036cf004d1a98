"""The restore drill: a platform that serves is backed up, and comes back from it whole, or not at all."""

import json
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sentops_cli.__main__ import run
from sentops_cli.backups import snapshot
from sentops_cli.backups.manifest import MANIFEST, Backup
from sentops_cli.outcome import ExitCode
from sentops_core.artifacts import fetch_artifact, get_folder
from sentops_core.domain.artifact import MODEL
from sentops_core.domain.resources import ModelVersionPhase
from sentops_core.inference import Scorer
from sentops_core.store.binaries import find_clients
from sentops_core.store.migrate import known_migrations, migrate, migrate_url, require_current
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.platform_figures import PlatformFigures, read_platform_figures
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import Predictions
from tests.support.builders import NOW
from tests.support.filled_platform import (
    FilledPlatform,
    contents,
    dashboards,
    fill_platform,
    in_database,
)
from tests.support.postgres import copied_database
from tests.support.rows import a_prediction

pytestmark = pytest.mark.pg


FILLED = (
    *("predictions", "feedback", "examples", "datasets", "dataset_versions", "dataset_members"),
    *("training_jobs", "training_events", "model_versions", "routing"),
    *("users", "sessions", "api_tokens", "audit_log", "schema_migrations"),
)


@pytest.fixture
def platform(database_url: str, tmp_path: Path) -> FilledPlatform:
    return fill_platform(database_url, (tmp_path / "store").as_uri(), tmp_path)


@pytest.fixture
def other_database_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """Where it is restored into: migrated and without rows, as a first `docker compose up` leaves it."""
    yield from copied_database(postgres_server, postgres_template)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SENTOPS_")]:
        monkeypatch.delenv(name)


def back_up(platform: FilledPlatform, place: Path | str, *options: str) -> int:
    return run(
        [
            *("backup", str(place), "--database-url", platform.database_url),
            *("--store-uri", platform.store_uri, "--grafana-dir", str(platform.grafana), *options),
        ]
    )


def restore(place: Path | str, url: str, store: Path | str, grafana: Path, *options: str) -> int:
    store_uri = store.as_uri() if isinstance(store, Path) else store
    grafana.mkdir(exist_ok=True)
    return run(
        [
            *("restore", str(place), "--database-url", url),
            *("--store-uri", store_uri, "--grafana-dir", str(grafana), *options),
        ]
    )


def the_backup(place: Path) -> tuple[Path, Backup]:
    (manifest,) = place.glob(f"*/{MANIFEST}")
    return manifest.parent, Backup.model_validate_json(manifest.read_bytes())


@contextmanager
def served(platform: FilledPlatform) -> Iterator[dict[str, int]]:
    """People go on asking and Grafana goes on saving; how often each did so is counted."""
    done, counts = threading.Event(), {"predictions": 0, "dashboards": 0}
    failures: list[Exception] = []

    async def ask(connection: Connection) -> None:
        while not done.is_set():
            async with connection.transaction():
                await Predictions(connection).copy_in([a_prediction(NOW, "Asked meanwhile.")])
            counts["predictions"] += 1

    def save() -> None:
        with closing(sqlite3.connect(platform.grafana / "grafana.db", timeout=30)) as file:
            while not done.wait(0.001):
                # Two rows at once: a copy of half of it would hold one of them.
                file.execute("INSERT INTO dashboard (title) VALUES ('pair'), ('pair')")
                file.commit()
                counts["dashboards"] += 2

    def kept_busy(work: Any) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [
        threading.Thread(target=kept_busy, args=[work])
        for work in (lambda: in_database(platform.database_url, ask), save)
    ]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_what_was_backed_up_while_it_served_is_restored_row_by_row_and_byte_by_byte(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path
) -> None:
    before = contents(platform.database_url)
    assert all(before[table] for table in FILLED)
    assert sum(table.startswith("predictions_") for table in before) > 3
    with served(platform) as counts:
        assert back_up(platform, kept) == ExitCode.OK
        made_during = dict(counts)
    after = contents(platform.database_url)
    assert made_during["predictions"] > 0
    assert made_during["dashboards"] > 0

    new_store, new_grafana = tmp_path / "new" / "store", tmp_path / "new-grafana"
    assert restore(kept, other_database_url, new_store, new_grafana) == ExitCode.OK

    found = contents(other_database_url)
    _, backup = the_backup(kept)
    assert backup.rows["predictions"] == len(found["predictions"])
    assert set(before["predictions"]) <= set(found["predictions"]) <= set(after["predictions"])
    changed_by_place = {"dataset_versions", "model_versions", "training_jobs"}
    for table in before.keys() - changed_by_place - {"audit_log"}:
        if not table.startswith(("predictions", "tallies_due")):  # those grow while people ask
            assert found[table] == before[table], table
    assert len(found["tallies_due"]) >= len(before["tallies_due"])
    old, new = platform.store_uri, new_store.as_uri()
    for table in changed_by_place:
        assert found[table] == [row.replace(old, new) for row in before[table]], table
    assert set(before["audit_log"]) < set(found["audit_log"])
    titles = dashboards(new_grafana)
    assert titles[0] == "made by hand"
    assert len(titles) % 2 == 1  # the first, and pairs

    in_database(other_database_url, _is_a_database_of_the_platform)
    version = in_database(
        other_database_url, lambda one: ModelVersions(one).get("sentiment-v2")
    ).version
    artifact = version.spec.artifact
    assert artifact.storage_uri.startswith(new)
    Scorer.load(fetch_artifact(artifact.storage_uri, artifact.digest, tmp_path)).verify_golden()
    data = get_folder(platform.data.replace(old, new), tmp_path)
    assert (data / "train.parquet").read_bytes() == b"rows to train on"


async def _is_a_database_of_the_platform(connection: Connection) -> None:
    """Programs would start on it, and it still refuses to change the past."""
    await require_current(connection)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await connection.execute("DELETE FROM audit_log")
    async with connection.transaction():
        await Predictions(connection).copy_in([a_prediction(NOW + timedelta(days=400))])


def test_into_the_same_store_no_row_changes_and_what_is_there_is_kept(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path
) -> None:
    before = contents(platform.database_url)
    back_up(platform, kept)
    model = Path(platform.served.removeprefix("file://")) / MODEL
    written = model.stat().st_mtime_ns

    code = restore(kept, other_database_url, platform.store_uri, tmp_path / "other-grafana")

    assert code == ExitCode.OK
    found = contents(other_database_url)
    assert {**found, "audit_log": []} == {**before, "audit_log": []}
    assert model.stat().st_mtime_ns == written


def test_a_second_backup_copies_no_folder_again(platform: FilledPlatform, kept: Path) -> None:
    back_up(platform, kept)
    files = {path: path.stat().st_mtime_ns for path in (kept / "store").rglob("*")}

    assert back_up(platform, kept) == ExitCode.OK

    assert {path: path.stat().st_mtime_ns for path in (kept / "store").rglob("*")} == files
    assert len(list(kept.glob(f"*/{MANIFEST}"))) == 2


def test_a_backup_is_readable_by_its_owner_only_and_says_nothing_of_the_password(
    platform: FilledPlatform, kept: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    back_up(platform, kept)
    folder, _ = the_backup(kept)

    assert all(stat.S_IMODE(one.stat().st_mode) == 0o700 for one in (kept, folder, kept / "store"))
    password = platform.database_url.split(":")[2].split("@")[0]
    said = capfd.readouterr()
    assert password not in said.out + said.err
    assert all(password.encode() not in path.read_bytes() for path in folder.iterdir())


def test_the_newest_attempt_is_told_to_whoever_watches(
    platform: FilledPlatform, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(platform, kept)
    good = json.loads((kept / "latest.json").read_text())
    (platform.grafana / "grafana.db").write_text("not a database")

    assert back_up(platform, kept) == ExitCode.FAILED

    bad = json.loads((kept / "latest.json").read_text())
    assert good["ok"]
    assert good["bytes"] > 0
    assert good["last_success_at"] == good["at"]
    assert not bad["ok"]
    assert "grafana.db" in bad["message"]
    assert bad["last_success_at"] == good["at"]
    assert len(list(kept.glob("2*"))) == 1  # nothing is left of the second


def test_a_grafana_that_never_started_has_no_state_to_keep(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (platform.grafana / "grafana.db").unlink()
    assert back_up(platform, kept) == ExitCode.OK
    assert "Grafana has never started" in capsys.readouterr().err

    assert restore(kept, other_database_url, tmp_path / "new", tmp_path / "g") == ExitCode.OK
    assert "Grafana's state is not in this backup" in capsys.readouterr().out


def test_the_audit_log_says_who_backed_up(platform: FilledPlatform, kept: Path) -> None:
    back_up(platform, kept)
    assert any("backup.created" in row for row in contents(platform.database_url)["audit_log"])


def test_the_figures_of_the_platform_tell_of_the_last_whole_backup(
    platform: FilledPlatform, kept: Path
) -> None:
    def last() -> datetime | None:
        found: PlatformFigures = in_database(platform.database_url, read_platform_figures)
        return found.last_backup

    assert last() is None
    assert back_up(platform, kept) == ExitCode.OK
    first = last()
    assert first is not None
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=5)
    shutil.rmtree(platform.served.removeprefix("file://"))
    assert back_up(platform, kept) == ExitCode.FAILED  # one that lacks what serves
    assert last() == first


@pytest.mark.parametrize("damage", ["database.dump", "grafana.db", "artefact", "dataset listing"])
def test_one_changed_byte_is_refused_before_anything_is_touched(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path, damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    back_up(platform, kept)
    folder, _ = the_backup(kept)
    target = {
        "artefact": next((kept / "store").glob(f"*/{MODEL}")),
        "dataset listing": next((kept / "store").glob("*/_listing.json")),
    }.get(damage, folder / damage)
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    before = contents(other_database_url)

    code = restore(kept, other_database_url, tmp_path / "new", tmp_path / "new-grafana")

    assert code == ExitCode.REFUSED
    assert "was changed" in capsys.readouterr().err
    assert contents(other_database_url) == before
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "new-grafana").iterdir())


def test_a_folder_that_is_missing_in_the_backup_is_named(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    back_up(platform, kept)
    shutil.rmtree(kept / "store" / platform.served.rpartition("/")[2])

    assert run(["restore", str(kept), "--only-check"]) == ExitCode.REFUSED
    assert "model version sentiment-v2 is missing" in capsys.readouterr().err


def test_a_folder_that_the_store_lost_is_named_and_all_else_is_backed_up(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.rmtree(platform.served.removeprefix("file://"))

    assert back_up(platform, kept) == ExitCode.FAILED

    assert f"model version sentiment-v2 ({platform.served})" in capsys.readouterr().err
    assert not json.loads((kept / "latest.json").read_text())["ok"]
    run(["backups", str(kept)])
    assert "lacks model version sentiment-v2" in capsys.readouterr().out
    assert (
        restore(kept, other_database_url, tmp_path / "new", tmp_path / "new-grafana") == ExitCode.OK
    )
    assert "never had model version sentiment-v2" in capsys.readouterr().out


def test_an_archived_version_may_be_gone_from_the_store(
    platform: FilledPlatform, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def first(connection: Connection) -> tuple[str, ModelVersionPhase]:
        version = (await ModelVersions(connection).get("sentiment-v1")).version
        return version.spec.artifact.storage_uri, version.status.phase

    uri, phase = in_database(platform.database_url, first)
    assert phase is ModelVersionPhase.ARCHIVED
    shutil.rmtree(uri.removeprefix("file://"))

    assert back_up(platform, kept) == ExitCode.OK
    assert "the store has it no more: model version sentiment-v1" in capsys.readouterr().out


def test_a_database_that_is_not_empty_is_replaced_only_when_told_to(
    platform: FilledPlatform, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_up(platform, kept)
    wanted = contents(platform.database_url)

    async def go_on(connection: Connection) -> None:
        async with connection.transaction():
            await Predictions(connection).copy_in([a_prediction(NOW + timedelta(days=70))])

    in_database(platform.database_url, go_on)
    before = contents(platform.database_url)

    into = (kept, platform.database_url, platform.store_uri, platform.grafana)
    assert restore(*into) == ExitCode.REFUSED
    assert "--replace" in capsys.readouterr().err
    assert contents(platform.database_url) == before
    assert restore(*into, "--replace") == ExitCode.OK

    found = contents(platform.database_url)
    assert {**found, "audit_log": []} == {**wanted, "audit_log": []}


def test_a_database_of_somebody_else_is_never_replaced(
    platform: FilledPlatform, kept: Path, empty_database_url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    back_up(platform, kept)
    in_database(empty_database_url, lambda one: one.execute("CREATE TABLE invoices ()"))

    code = restore(kept, empty_database_url, tmp_path / "new", tmp_path / "g", "--replace")

    assert code == ExitCode.REFUSED
    assert "invoices" in capsys.readouterr().err


def test_programs_that_are_connected_are_named(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    back_up(platform, kept)
    monkeypatch.setattr("sentops_cli.backups.target._PATIENCE", 0)
    done, there = threading.Event(), threading.Event()

    async def stay(connection: Connection) -> None:
        await connection.execute("SET application_name = 'sentops trainer'")
        there.set()
        while not done.is_set():
            await connection.fetchval("SELECT pg_sleep(0.01)")

    program = threading.Thread(target=in_database, args=[other_database_url, stay])
    program.start()
    try:
        assert there.wait(30)
        code = restore(kept, other_database_url, tmp_path / "new", tmp_path / "g")
    finally:
        done.set()
        program.join()
    assert code == ExitCode.REFUSED
    assert "in use by sentops trainer (1)" in capsys.readouterr().err


def test_a_restore_that_fails_half_way_leaves_the_database_as_it_was(
    platform: FilledPlatform, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    back_up(platform, kept)
    before, titles = contents(platform.database_url), dashboards(platform.grafana)
    # After the whole dump was loaded, and before the commit.
    monkeypatch.setattr("sentops_cli.backups.target.MOVE_STORE", "SELECT 1 / 0;")

    code = restore(
        kept, platform.database_url, tmp_path / "elsewhere", platform.grafana, "--replace"
    )

    assert code == ExitCode.FAILED
    assert "division by zero" in capsys.readouterr().err
    assert contents(platform.database_url) == before
    assert dashboards(platform.grafana) == titles
    assert not [one for one in platform.grafana.iterdir() if one.name != "grafana.db"]


@pytest.mark.parametrize("as_another_valid_one", [False, True])
def test_a_dump_that_is_read_otherwise_than_it_was_verified_is_not_committed(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, as_another_valid_one: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Verified, and then cut off when it is read again, or changed by somebody meanwhile."""
    back_up(platform, kept)
    folder, _ = the_backup(kept)
    in_database(platform.database_url, lambda one: one.execute("DELETE FROM sessions"))
    back_up(platform, tmp_path / "later")
    later, _ = the_backup(tmp_path / "later")
    before = contents(other_database_url)

    def verified(*_: Any) -> None:
        dump = folder / "database.dump"
        other = (later / "database.dump").read_bytes()
        dump.write_bytes(other if as_another_valid_one else dump.read_bytes()[:-200])

    monkeypatch.setattr("sentops_cli.backups.restore.verify", verified)

    code = restore(kept, other_database_url, tmp_path / "new", tmp_path / "g")

    assert code == ExitCode.FAILED
    assert ("The dump changed" in capsys.readouterr().err) == as_another_valid_one
    assert contents(other_database_url) == before


def test_an_older_schema_is_restored_and_brought_up_to_date_by_the_next_start(
    empty_database_url: str, other_database_url: str, kept: Path, tmp_path: Path
) -> None:
    oldest = [one for one in known_migrations() if one.version <= 2]
    in_database(empty_database_url, lambda one: migrate(one, oldest))
    (tmp_path / "store").mkdir()
    named = ["--store-uri", (tmp_path / "store").as_uri(), "--database-url"]
    assert run(["backup", str(kept), *named, empty_database_url]) == ExitCode.OK

    assert run(["restore", str(kept), *named, other_database_url]) == ExitCode.OK

    newer = [one for one in known_migrations() if one.version > 2]
    applied = in_database(other_database_url, lambda _: migrate_url(other_database_url))
    assert len(applied) == len(newer)
    in_database(other_database_url, require_current)


@pytest.mark.parametrize("only_check", [True, False])
def test_a_newer_schema_is_refused(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], only_check: bool,
) -> None:  # fmt: skip
    back_up(platform, kept)
    folder, backup = the_backup(kept)
    document = backup.model_dump(mode="json")
    document["migrations"]["9999"] = {"checksum": "f" * 64, "works_with": None}
    (folder / MANIFEST).write_text(json.dumps(document))

    options = ["--only-check"] if only_check else []
    code = restore(kept, other_database_url, tmp_path / "new", tmp_path / "g", *options)

    assert code == ExitCode.REFUSED
    assert "schema 9999" in capsys.readouterr().err


def test_a_backup_of_an_unknown_format_is_refused_and_not_passed_over(
    platform: FilledPlatform, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_up(platform, kept)
    newer = kept / "29990101T000000Z-abcd"
    newer.mkdir()
    (newer / MANIFEST).write_text('{"format": "sentops-backup/2"}')

    assert run(["restore", str(kept), "--only-check"]) == ExitCode.REFUSED
    assert "sentops-backup/2" in capsys.readouterr().err
    assert run(["backups", str(kept)]) == ExitCode.OK
    assert "sentops-backup/2" in capsys.readouterr().out


def test_newer_clients_restore_into_an_older_server(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """pg_restore 17 and newer writes a setting that older servers do not know."""
    monkeypatch.setenv("PG_BIN", str(find_clients(17)))
    back_up(platform, kept)
    assert restore(kept, other_database_url, tmp_path / "new", tmp_path / "g") == ExitCode.OK


def test_clients_older_than_the_server_are_refused_with_what_to_install(
    platform: FilledPlatform, kept: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async def a_later_one(_: Connection) -> int:
        return 99

    monkeypatch.setattr(snapshot, "server_version", a_later_one)

    assert back_up(platform, kept) == ExitCode.FAILED
    assert "postgresql-client-99" in capsys.readouterr().err
    assert not list(kept.glob("2*"))


def test_what_an_mlflow_was_told_is_left_out(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path
) -> None:
    tell = (
        "INSERT INTO mlflow_mirror (kind, name, seen, said) VALUES ('training_job', 'x', now(), '')"
    )
    in_database(platform.database_url, lambda one: one.execute(tell))
    back_up(platform, kept)

    assert restore(kept, other_database_url, tmp_path / "new", tmp_path / "g") == ExitCode.OK

    assert contents(other_database_url)["mlflow_mirror"] == []


def test_restored_files_belong_to_whom_the_store_and_grafanas_folder_belong(
    platform: FilledPlatform, kept: Path, other_database_url: str, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    back_up(platform, kept)
    volume, grafana = tmp_path / "volume", tmp_path / "g"
    volume.mkdir()
    grafana.mkdir()
    os.chown(volume, 10001, 10001)
    os.chown(grafana, 472, 0)

    assert restore(kept, other_database_url, volume / "store", grafana) == ExitCode.OK

    assert {(one.stat().st_uid, one.stat().st_gid) for one in volume.rglob("*")} == {(10001, 10001)}
    state = (grafana / "grafana.db").stat()
    assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (472, 0, 0o640)
