"""What can happen while a backup is made: a second one, retention, a full disk, a stop; and the home's own platform."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentops_cli.__main__ import run
from sentops_cli.backups.catalogue import read_catalogue
from sentops_cli.backups.create import Source, create_backup
from sentops_cli.backups.manifest import MANIFEST
from sentops_cli.backups.place import place_of
from sentops_cli.backups.retention import Policy, Pruned, prune
from sentops_cli.backups.verify import verify
from sentops_cli.database import embedded
from sentops_cli.home import Home
from sentops_cli.outcome import ExitCode
from sentops_cli.processes import ProcessId
from sentops_cli.secrets_file import load_or_generate
from sentops_cli.state import PlatformState, ProgramPhase, ProgramState, write_state
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import Connection
from tests.services.cli.quiet_steps import QuietSteps
from tests.services.cli.support import free_port
from tests.support.eventually import eventually
from tests.support.filled_platform import FilledPlatform, contents, fill_platform, in_database

pytestmark = pytest.mark.pg


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SENTOPS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def platform(database_url: str, tmp_path: Path) -> FilledPlatform:
    return fill_platform(database_url, (tmp_path / "store").as_uri(), tmp_path)


def source_of(platform: FilledPlatform) -> Source:
    return Source(platform.database_url, platform.store_uri, platform.grafana)


def test_two_backups_at_once_are_two_whole_backups(
    platform: FilledPlatform, tmp_path: Path
) -> None:
    place, together = place_of(str(tmp_path / "backups")), threading.Barrier(2)

    class Together(QuietSteps):
        def step(self, what: str, total: int | None = None) -> None:
            if what == "Grafana":
                together.wait(60)

    with ThreadPoolExecutor(2) as executor:
        made = [
            executor.submit(create_backup, source_of(platform), place, Together(), actor="cli")
            for _ in range(2)
        ]
        names = {one.result().name for one in made}

    found = read_catalogue(place)
    assert {one.name for one in found.backups} == names
    assert not found.unfinished
    for backup in found.backups:
        verify(place, backup, QuietSteps())


def test_retention_beside_a_backup_takes_nothing_from_it(
    platform: FilledPlatform, tmp_path: Path
) -> None:
    place = place_of(str(tmp_path / "backups"))
    create_backup(source_of(platform), place, QuietSteps(), actor="cli")
    later, pruned = datetime.now(UTC) + timedelta(hours=1), list[Pruned]()

    class Pruning(QuietSteps):
        def step(self, what: str, total: int | None = None) -> None:
            if what == "Grafana":
                pruned.append(prune(place, Policy(1, 1), now=later))

    # Nothing but the backup in the making needs the folders now.
    first = read_catalogue(place).backups[0]
    place.remove(first.name)
    backup = create_backup(source_of(platform), place, Pruning(), actor="cli")

    assert backup.name in pruned[0].postponed
    verify(place, backup, QuietSteps())


def test_a_folder_that_is_taken_away_while_a_backup_relies_on_it_is_copied_again(
    platform: FilledPlatform, tmp_path: Path
) -> None:
    place = place_of(str(tmp_path / "backups"))
    first = create_backup(source_of(platform), place, QuietSteps(), actor="cli")
    victim = next(one for one in first.folders if "v1" in one.wanted_by)

    class Taking(QuietSteps):
        def step(self, what: str, total: int | None = None) -> None:
            if "v1" in what:  # copied again, as it was damaged; only now the other goes
                for one in first.folders:
                    if one != victim:
                        place.remove(one.kept_at)

    (tmp_path / "backups" / victim.kept_at / "card.md").write_text("damaged")
    backup = create_backup(source_of(platform), place, Taking(), actor="cli")

    verify(place, backup, QuietSteps())


def test_a_folder_that_was_damaged_in_the_backups_is_healed_by_the_next(
    platform: FilledPlatform, tmp_path: Path
) -> None:
    place = place_of(str(tmp_path / "backups"))
    first = create_backup(source_of(platform), place, QuietSteps(), actor="cli")
    (tmp_path / "backups" / first.folders[0].kept_at / "model.onnx").write_bytes(b"rot")

    create_backup(source_of(platform), place, QuietSteps(), actor="cli")

    verify(place, first, QuietSteps())


_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def as_a_process(
    platform: FilledPlatform, place: Path, *, file_bytes: int | None = None
) -> "subprocess.Popen[str]":
    limit = ["-c", _LIMITED, str(file_bytes)] if file_bytes is not None else []
    return subprocess.Popen(
        [sys.executable, *limit, "-m", "sentops_cli", "backup", str(place)],
        env={
            **os.environ,
            "SENTOPS_DATABASE_URL": platform.database_url,
            "SENTOPS_STORE_URI": platform.store_uri,
            "SENTOPS_GRAFANA_DIR": str(platform.grafana),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_disk_that_is_full_is_named_and_keeps_no_half(
    platform: FilledPlatform, tmp_path: Path
) -> None:
    """A limit on the size of files fails like a full disk: some bytes are written, then no more."""
    place = tmp_path / "backups"
    process = as_a_process(platform, place, file_bytes=8_000)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == ExitCode.FAILED
    assert f"cannot be written to {place}: File too large" in complaint
    assert not list(place.glob("2*"))
    assert not json.loads((place / "latest.json").read_text())["ok"]


def test_a_stop_in_the_middle_leaves_nothing_behind(
    platform: FilledPlatform, tmp_path: Path
) -> None:
    """SIGTERM is what `docker stop` and systemd send. A locked table keeps it waiting until then."""
    place = tmp_path / "backups"

    async def hold(connection: Connection) -> "subprocess.Popen[str]":
        await connection.execute("BEGIN; LOCK TABLE examples IN ACCESS EXCLUSIVE MODE")
        started = as_a_process(platform, place)
        # Announced; from then on it waits for the lock, to count the rows.
        await eventually(lambda: list(place.glob("2*/started.json")), within=60)
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 128 + signal.SIGTERM
        return started

    process = in_database(platform.database_url, hold)
    process.communicate()
    assert not list(place.glob("2*"))
    assert (
        not (place / "latest.json").exists()
        or not json.loads((place / "latest.json").read_text())["ok"]
    )


def test_the_settings_of_compose_make_prune_and_restore(
    platform: FilledPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    place = tmp_path / "backups"
    old = place / "20200101T000000Z-abcd"
    old.mkdir(parents=True)
    for name, value in {
        "SENTOPS_DATABASE_URL": platform.database_url,
        "SENTOPS_STORE_URI": platform.store_uri,
        "SENTOPS_GRAFANA_DIR": str(platform.grafana),
        "SENTOPS_BACKUP_KEEP_DAILY": "7",
        "SENTOPS_BACKUP_KEEP_WEEKLY": "4",
    }.items():
        monkeypatch.setenv(name, value)

    assert run(["backup", str(place), "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert document["pruned"]["unfinished"] == [old.name]
    assert document["rows"]["predictions"] == 6
    assert document["complete"]
    assert run(["backups", str(place), "--json"]) == ExitCode.OK
    listed = json.loads(capsys.readouterr().out)["backups"]
    assert [one["name"] for one in listed] == [document["name"]]
    assert run(["restore", str(place), "latest", "--replace"]) == ExitCode.OK
    assert "docker compose up -d" in capsys.readouterr().out


# ---- the platform of `make up`


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def test_a_home_is_backed_up_whether_it_runs_or_not_and_moves_to_another(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    place, new = tmp_path / "backups", Home(tmp_path / "new-home")
    port = free_port()
    server = embedded(home, port, load_or_generate(home.secrets))
    server.start()
    try:
        in_database(server.url_of("postgres"), lambda _: server.create_database())
        in_database(server.url, lambda _: migrate_url(server.url))
        fill_platform(server.url, home.store.as_uri(), tmp_path)
        before = contents(server.url)
        state = PlatformState(
            supervisor=ProcessId.of(os.getpid()),
            started_at=datetime.now(UTC),
            programs=(ProgramState(name="postgres", port=port, phase=ProgramPhase.READY),),
        )
        write_state(home.state, state)
        assert run(["backup", str(place), "--home", str(home.root)]) == ExitCode.OK
        assert server.is_running()
        home.state.unlink()
        server.stop()
        assert run(["backup", str(place), "--home", str(home.root)]) == ExitCode.OK
        assert not server.is_running()
        assert len(list(place.glob(f"*/{MANIFEST}"))) == 2

        code = run(["restore", str(place), "--home", str(new.root)])

        assert code == ExitCode.OK
        assert "`sentops up`" in capsys.readouterr().out
        restored = embedded(new, free_port(), load_or_generate(new.secrets))
        restored.start()
        try:
            found = contents(restored.url)
        finally:
            restored.remove()
        assert found["predictions"] == before["predictions"]
        assert home.store.as_uri() not in "".join(found["model_versions"])
        assert len(list((new.store / "artifacts").iterdir())) == 2
    finally:
        server.remove()
