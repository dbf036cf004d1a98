"""The parts of a backup that need no server: addresses, names, passwords, Grafana's file, a list that lies."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sentops_cli.__main__ import run
from sentops_cli.backups import grafana_state
from sentops_cli.backups.manifest import (
    Backup,
    BackupDamaged,
    StoreFolder,
    is_name,
    moment_of,
    new_name,
    parse_backup,
)
from sentops_cli.backups.place import place_of
from sentops_cli.backups.postgres_client import split_password
from sentops_cli.backups.progress import in_bytes
from sentops_cli.backups.store_folders import path_in_store
from sentops_cli.outcome import CommandError, ExitCode
from sentops_core.domain.errors import PlatformError, UnsupportedFormat
from tests.services.cli.test_backup_retention import NOW, a_backup


@pytest.mark.parametrize(
    "text", ["", "ftp://host/x", "s3://", "file://host/x", "file:///", "s3://bucket/x?y=1"]
)
def test_what_is_no_place_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(CommandError, match=r"s3://bucket/prefix") as refused:
        place_of(text)
    assert refused.value.code is ExitCode.BAD_INPUT


def test_a_folder_may_be_named_by_path_or_address(tmp_path: Path) -> None:
    assert place_of(str(tmp_path)).uri == place_of(tmp_path.as_uri()).uri == tmp_path.as_uri()


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgresql://a:b%40c@h:5/d", "postgresql://a@h:5/d", "b@c"),
        ("postgresql://a@h/d?sslmode=require", "postgresql://a@h/d?sslmode=require", ""),
        (
            "postgresql://a@h/d?password=x&sslmode=require",
            "postgresql://a@h/d?sslmode=require",
            "x",
        ),
        ("postgresql://a:p@[::1]:5/d", "postgresql://a@[::1]:5/d", "p"),
    ],
)
def test_the_password_is_taken_out_of_the_address(url: str, address: str, password: str) -> None:
    assert split_password(url) == (address, password)


def test_a_name_tells_its_moment_and_two_of_one_second_differ() -> None:
    first, second = new_name(NOW), new_name(NOW)
    assert first != second
    assert moment_of(first) == NOW
    assert is_name(first)
    assert not is_name("20261121T120000Z")
    assert min([second, first, "20251121T120000Z-ffff"]) == "20251121T120000Z-ffff"


def test_a_folder_outside_the_store_is_known_as_such() -> None:
    assert path_in_store("file:///s/artifacts/x", "file:///s/") == "artifacts/x"
    assert path_in_store("file:///store-two/x", "file:///store") is None
    assert path_in_store("s3://other/artifacts/x", "s3://bucket") is None


def test_sizes_are_written_for_people() -> None:
    assert [in_bytes(one) for one in (0, 999, 1400, 123_456, 5.5e9)] == [
        "0 B",
        "999 B",
        "1.4 kB",
        "123 kB",
        "5.5 GB",
    ]


@pytest.mark.parametrize("path", ["../x", "a//b", "/etc", "a/%2e%2e/b", "a\\b", "."])
def test_a_list_cannot_make_a_restore_write_outside_the_store(tmp_path: Path, path: str) -> None:
    name = a_backup(tmp_path, 1, "a")
    document = json.loads((tmp_path / name / "backup.json").read_text())
    document["folders"][0]["path"] = path
    with pytest.raises(BackupDamaged, match=r"folders\.0\.path"):
        parse_backup(name, json.dumps(document).encode())


def test_a_list_is_of_our_format_and_of_its_folder(tmp_path: Path) -> None:
    name = a_backup(tmp_path, 1)
    content = (tmp_path / name / "backup.json").read_bytes()
    assert isinstance(parse_backup(name, content), Backup)
    with pytest.raises(BackupDamaged, match="belongs to"):
        parse_backup(new_name(NOW), content)
    for broken in (b"", b"[]", b"{", b'{"format": "zip"}', content[:-30]):
        with pytest.raises(BackupDamaged):
            parse_backup(name, broken)
    with pytest.raises(UnsupportedFormat, match="newer one"):
        parse_backup(name, content.replace(b"sentops-backup/1", b"sentops-backup/2"))


def test_the_kept_folder_is_named_by_content() -> None:
    folder = StoreFolder(
        path="datasets/x", seal="_listing.json", sha256="a" * 64, bytes=1, wanted_by="v1"
    )
    assert folder.kept_at == f"store/{'a' * 64}"


def test_a_place_without_backups_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["backups", str(tmp_path)]) == ExitCode.OK
    assert run(["restore", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert "There is no backup in" in capsys.readouterr().err


def test_an_unknown_name_is_answered_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = a_backup(tmp_path, 1)
    assert run(["restore", str(tmp_path), "20200101T000000Z-0000"]) == ExitCode.BAD_INPUT
    assert name in capsys.readouterr().err
    assert run(["restore", str(tmp_path), name.partition("-")[0], "--only-check"]) == ExitCode.OK


def test_a_half_named_platform_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SENTOPS_DATABASE_URL", "SENTOPS_STORE_URI"):
        monkeypatch.delenv(name, raising=False)
    code = run(["backup", str(tmp_path / "b"), "--database-url", "postgresql://a@h/d"])
    assert code == ExitCode.BAD_INPUT
    assert "SENTOPS_STORE_URI" in capsys.readouterr().err


def test_without_a_platform_here_the_command_says_how_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SENTOPS_DATABASE_URL", "SENTOPS_STORE_URI"):
        monkeypatch.delenv(name, raising=False)
    code = run(["backup", str(tmp_path / "b"), "--home", str(tmp_path / "none")])
    assert code == ExitCode.NOT_RUNNING
    assert "SENTOPS_DATABASE_URL" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


# ---- Grafana's file


@pytest.fixture
def grafana(tmp_path: Path) -> Path:
    folder = tmp_path / "grafana"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "grafana.db")) as file:
        file.execute("CREATE TABLE t (x)")
        file.execute("INSERT INTO t VALUES (1)")
        file.commit()
    return folder


def rows(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as file:
        return [row[0] for row in file.execute("SELECT x FROM t")]


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_what_was_committed_is_copied_and_what_was_not_is_not(
    grafana: Path, tmp_path: Path, mode: str
) -> None:
    with closing(sqlite3.connect(grafana / "grafana.db", isolation_level=None)) as writer:
        writer.execute(f"PRAGMA journal_mode = {mode}")
        writer.execute("INSERT INTO t VALUES (2)")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t VALUES (3)")
        grafana_state.copy_state(grafana, tmp_path / "copy.db")
        writer.execute("COMMIT")
    assert rows(tmp_path / "copy.db") == [1, 2]


def test_a_writer_that_holds_the_file_for_a_moment_is_waited_for(
    grafana: Path, tmp_path: Path
) -> None:
    writer = sqlite3.connect(grafana / "grafana.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("INSERT INTO t VALUES (2)")
    release = threading.Timer(0.3, writer.execute, ["COMMIT"])
    release.start()
    grafana_state.copy_state(grafana, tmp_path / "copy.db")
    release.join()
    writer.close()
    assert rows(tmp_path / "copy.db") == [1, 2]


def test_a_writer_that_never_pauses_is_not_waited_for_for_ever(
    grafana: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grafana_state, "_PATIENCE", 0.2)
    with closing(sqlite3.connect(grafana / "grafana.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PlatformError, match="try again later"):
            grafana_state.copy_state(grafana, tmp_path / "copy.db")


def test_a_file_that_is_no_database_is_named(grafana: Path, tmp_path: Path) -> None:
    (grafana / "grafana.db").write_bytes(b"not a database" * 100)
    with pytest.raises(PlatformError, match=r"grafana\.db cannot be copied"):
        grafana_state.copy_state(grafana, tmp_path / "copy.db")


def test_the_old_files_journal_is_not_played_into_the_new_one(
    grafana: Path, tmp_path: Path
) -> None:
    grafana_state.copy_state(grafana, tmp_path / "copy.db")
    crashed = sqlite3.connect(grafana / "grafana.db", isolation_level=None)
    crashed.execute("PRAGMA journal_mode = WAL")
    crashed.execute("INSERT INTO t VALUES (99)")
    for ending in ("", "-wal"):  # what a crash leaves: pages in the log that are not in the file
        path = grafana / f"grafana.db{ending}"
        path.with_suffix(path.suffix + ".kept").write_bytes(path.read_bytes())
    crashed.close()
    for kept in grafana.glob("*.kept"):
        kept.rename(kept.with_suffix(""))

    with grafana_state.replacing(grafana) as file:
        file.write((tmp_path / "copy.db").read_bytes())

    assert rows(grafana / "grafana.db") == [1]
    assert [one.name for one in grafana.iterdir()] == ["grafana.db"]


def test_a_file_in_use_is_not_replaced(grafana: Path) -> None:
    with closing(sqlite3.connect(grafana / "grafana.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PlatformError, match="stop Grafana"), grafana_state.replacing(grafana):
            pass
    assert rows(grafana / "grafana.db") == [1]
    assert [one.name for one in grafana.iterdir()] == ["grafana.db"]
