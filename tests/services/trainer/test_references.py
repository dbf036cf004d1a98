"""What versions were trained on gets from their artefacts to the database, and nobody waits for it."""

import shutil
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sentops_core.artifacts import publish_folder
from sentops_core.domain.artifact import REFERENCE
from sentops_core.domain.errors import Unavailable
from sentops_core.domain.reference import ReferenceProfile
from sentops_core.domain.resources import ArtifactRef
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.version_references import VersionReferences
from sentops_trainer import references
from sentops_trainer.references import ReferenceLoop, reading_references
from tests.services.trainer.machines import OneMachine, Platform, a_cluster, started
from tests.support.artifacts import build_artifact
from tests.support.builders import a_model_version
from tests.support.drift_texts import reference_of, some_texts
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg

PROFILE = reference_of(some_texts(100, "en", seed=1), some_texts(60, "en", seed=2))


def published(folder: Path, number: int, store: str, reference: str | None) -> ArtifactRef:
    """An artefact with this as its reference.json."""

    def bring(partial: Path) -> None:
        if reference is not None:
            (partial / REFERENCE).write_text(reference)

    built = build_artifact(folder / str(number), strength=number, before_sealing=bring)
    return ArtifactRef.model_validate(publish_folder(built.folder, store).model_dump())


async def registered(
    pool: Pool, store: str, folder: Path, number: int, reference: str | None
) -> ArtifactRef:
    artifact = published(folder, number, store, reference)
    version = a_model_version(number, artifact=artifact)
    async with transaction(pool) as connection:
        await ModelVersions(connection).create(version, created_by="test")
    return artifact


async def known(pool: Pool) -> dict[str, ReferenceProfile | None]:
    async with transaction(pool) as connection:
        table = VersionReferences(connection)
        return {
            name: await table.profile(name, digest)
            for name, digest in (await table.digests()).items()
        }


async def test_each_artefact_is_looked_into_once(pool: Pool, tmp_path: Path) -> None:
    store = (tmp_path / "store").as_uri()
    await registered(pool, store, tmp_path, 1, PROFILE.model_dump_json())
    await registered(pool, store, tmp_path, 2, None)  # made elsewhere
    await registered(pool, store, tmp_path, 3, '{"format": "sentops-reference/9"}')
    loop = ReferenceLoop(pool)
    await loop.round()
    read = {"sentiment-v1": PROFILE, "sentiment-v2": None, "sentiment-v3": None}
    assert await known(pool) == read
    shutil.rmtree(tmp_path / "store")
    await loop.round()
    assert await known(pool) == read


@pytest.mark.s3
async def test_from_a_bucket_as_from_a_disk(pool: Pool, tmp_path: Path, s3_root: str) -> None:
    await registered(pool, s3_root, tmp_path, 1, PROFILE.model_dump_json())
    await ReferenceLoop(pool).round()
    assert await known(pool) == {"sentiment-v1": PROFILE}


async def test_a_damaged_artefact_holds_up_no_other_and_is_read_once_it_is_mended(
    pool: Pool, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    damaged = await registered(pool, store.as_uri(), tmp_path, 1, PROFILE.model_dump_json())
    await registered(pool, store.as_uri(), tmp_path, 2, PROFILE.model_dump_json())
    file = Path(damaged.storage_uri.removeprefix("file://")) / REFERENCE
    content = file.read_bytes()
    file.write_bytes(content.replace(b"sentops", b"SENTOPS"))
    loop = ReferenceLoop(pool, every=timedelta(milliseconds=1))
    with capture_logs() as lines:
        await loop.round()
        await loop.round()
        assert await known(pool) == {"sentiment-v2": PROFILE}
    said = [line for line in lines if line["event"] == "reference_not_readable"]
    assert [line["model_version"] for line in said] == ["sentiment-v1"]  # once, however often tried

    file.write_bytes(content)
    await eventually(lambda: _again(loop, pool, {"sentiment-v1": PROFILE, "sentiment-v2": PROFILE}))


async def _again(loop: ReferenceLoop, pool: Pool, wanted: dict[str, ReferenceProfile]) -> bool:
    await loop.round()
    return await known(pool) == wanted


async def test_what_cannot_be_read_is_not_asked_for_all_the_time(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = await registered(pool, (tmp_path / "store").as_uri(), tmp_path, 1, None)
    shutil.rmtree(artifact.storage_uri.removeprefix("file://"))
    asked = []
    read = references.read_reference
    monkeypatch.setattr(
        references, "read_reference", lambda version: asked.append(version) or read(version)
    )
    loop = ReferenceLoop(pool, every=timedelta(hours=1))
    for _ in range(3):
        await loop.round()
    assert len(asked) == 1
    assert await known(pool) == {}


async def test_a_store_that_is_away_is_waited_for(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that is not mounted says nothing of what lies on it."""
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(tmp_path / "mounts"))
    claim, away = tmp_path / "mounts" / "models", tmp_path / "mounts" / "away"
    claim.mkdir(parents=True)
    await registered(pool, "pvc://models/store", tmp_path, 1, PROFILE.model_dump_json())
    claim.rename(away)
    with pytest.raises(Unavailable):
        await ReferenceLoop(pool).round()
    with capture_logs() as lines:
        async with reading_references(pool, every=timedelta(milliseconds=10)):
            await eventually(lambda: _said(lines, "reading_references_waits"))
            away.rename(claim)
            await eventually(lambda: _all_known(pool))
    assert await known(pool) == {"sentiment-v1": PROFILE}
    assert len([line for line in lines if line["event"] == "reading_references_waits"]) == 1


@pytest.mark.parametrize("substrate", ["local", "kubernetes"])
async def test_the_trainer_does_it_wherever_it_runs(
    substrate: str, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(tmp_path / "mounts"))
    (tmp_path / "mounts" / "models").mkdir(parents=True)
    artifact = published(tmp_path, 1, "pvc://models/store", PROFILE.model_dump_json())
    async with AsyncExitStack() as running:
        platform: Platform
        if substrate == "local":
            machine = OneMachine(pool, folder=tmp_path, database_url=database_url)
            platform = await running.enter_async_context(started(machine))
        else:
            cluster = a_cluster(pool, database_url, tmp_path, monkeypatch)
            platform = await running.enter_async_context(cluster)
        await platform.store(a_model_version(1, artifact=artifact))
        await eventually(lambda: _all_known(pool))
        assert await known(pool) == {"sentiment-v1": PROFILE}
        # Where its artefact cannot be read, a version serves all the same.
        await platform.register(2)
        await platform.reaches("sentiment-v2", "Live")


def _said(lines: list[dict[str, object]], event: str) -> bool:
    return event in {line["event"] for line in lines}


async def _all_known(pool: Pool) -> bool:
    return bool(await known(pool))
