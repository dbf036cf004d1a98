"""Backups in a bucket of a real S3 server, of a platform on a disk and of one whose store is a bucket too."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sentops_cli.__main__ import run
from sentops_cli.backups.catalogue import read_catalogue
from sentops_cli.backups.create import Source, create_backup
from sentops_cli.backups.manifest import MANIFEST
from sentops_cli.backups.place import place_of
from sentops_cli.backups.retention import Policy, prune
from sentops_cli.outcome import ExitCode
from sentops_core.artifacts import fetch_artifact
from sentops_core.domain.artifact import MODEL
from sentops_core.domain.errors import Unavailable
from sentops_core.store.model_versions import ModelVersions
from tests.services.cli.quiet_steps import QuietSteps
from tests.support.cable import a_cable
from tests.support.filled_platform import (
    FilledPlatform,
    contents,
    dashboards,
    fill_platform,
    in_database,
)
from tests.support.postgres import copied_database
from tests.support.seaweedfs import S3Server, s3_client

pytestmark = [pytest.mark.pg, pytest.mark.s3]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SENTOPS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def other_database_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    yield from copied_database(postgres_server, postgres_template)


def back_up(platform: FilledPlatform, place: str) -> int:
    return run(
        [
            *("backup", place, "--database-url", platform.database_url),
            *("--store-uri", platform.store_uri, "--grafana-dir", str(platform.grafana)),
        ]
    )


@pytest.mark.parametrize("store_in_bucket", [False, True])
def test_a_backup_in_a_bucket_is_restored(
    database_url: str, other_database_url: str, s3_root: str, tmp_path: Path, store_in_bucket: bool
) -> None:
    old = f"{s3_root}/store" if store_in_bucket else (tmp_path / "store").as_uri()
    new = f"{s3_root}/new-store" if store_in_bucket else (tmp_path / "new-store").as_uri()
    platform = fill_platform(database_url, old, tmp_path)
    before, place = contents(database_url), f"{s3_root}/backups"
    assert back_up(platform, place) == ExitCode.OK
    assert run(["backups", place]) == ExitCode.OK

    grafana = tmp_path / "new-grafana"
    grafana.mkdir()
    code = run(
        [
            *("restore", place, "latest", "--database-url", other_database_url),
            *("--store-uri", new, "--grafana-dir", str(grafana)),
        ]
    )

    assert code == ExitCode.OK
    found = contents(other_database_url)
    assert found["predictions"] == before["predictions"]
    assert found["model_versions"] == [row.replace(old, new) for row in before["model_versions"]]
    assert dashboards(grafana) == ["made by hand"]
    version = in_database(
        other_database_url, lambda one: ModelVersions(one).get("sentiment-v2")
    ).version
    artifact = version.spec.artifact
    assert artifact.storage_uri.startswith(new)
    assert (fetch_artifact(artifact.storage_uri, artifact.digest, tmp_path) / MODEL).is_file()


def test_a_changed_object_is_refused(
    database_url: str, s3_root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = fill_platform(database_url, (tmp_path / "store").as_uri(), tmp_path)
    back_up(platform, s3_root)
    client = s3_client()
    path = f"{s3_root}/store/{platform.served.rpartition('/')[2]}/{MODEL}"
    content = bytearray(client.cat_file(path))
    content[100] ^= 1
    client.pipe_file(path, bytes(content))

    assert run(["restore", s3_root, "--only-check"]) == ExitCode.REFUSED
    assert f"{MODEL} was changed" in capsys.readouterr().err


def test_retention_removes_what_no_kept_backup_needs(
    database_url: str, s3_root: str, tmp_path: Path
) -> None:
    platform = fill_platform(database_url, (tmp_path / "store").as_uri(), tmp_path)
    back_up(platform, s3_root)
    in_database(database_url, lambda one: one.execute(_FORGET_THE_FIRST_VERSION))
    back_up(platform, s3_root)
    place = place_of(s3_root)
    kept = read_catalogue(place).backups[-1]

    pruned = prune(place, Policy(1, 0), now=datetime.now(UTC) + timedelta(days=2))

    assert len(pruned.backups) == 1
    assert pruned.folders == 1
    assert [one.name for one in read_catalogue(place).backups] == [kept.name]
    assert run(["restore", s3_root, "--only-check"]) == ExitCode.OK


_FORGET_THE_FIRST_VERSION = """
UPDATE routing SET previous_champion = NULL;
DELETE FROM model_versions WHERE name = 'sentiment-v1'
"""


def test_what_compose_passes_on_empty_is_as_good_as_unset(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.setenv(name, "")
    assert run(["backups", s3_root]) == ExitCode.OK


async def test_a_bucket_that_goes_away_leaves_no_backup_that_looks_whole(
    database_url: str, s3_server: S3Server, s3_root: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    platform = await asyncio.to_thread(
        fill_platform, database_url, (tmp_path / "store").as_uri(), tmp_path
    )
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    loop, server = asyncio.get_running_loop(), urlsplit(s3_server.endpoint)
    async with a_cable("127.0.0.1", server.port or 0) as (port, cut):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

        class Cutting(QuietSteps):
            def step(self, what: str, total: int | None = None) -> None:
                if what == "Grafana":
                    asyncio.run_coroutine_threadsafe(cut(), loop).result()

        with pytest.raises(Unavailable):
            await asyncio.to_thread(
                create_backup,
                Source(database_url, platform.store_uri, platform.grafana),
                place_of(s3_root),
                Cutting(),
                actor="cli:test",
            )
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    left = await asyncio.to_thread(s3_client().find, s3_root)
    assert left  # so the cable was cut half way
    assert not [one for one in left if one.endswith(MANIFEST)]
    assert (await asyncio.to_thread(read_catalogue, place_of(s3_root))).backups == ()
