"""Versions take slots without a dropped request, and only verified ones."""

import asyncio
import gc
import os
import weakref
from collections import Counter
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry

from sentops_core.artifacts import publish_folder
from sentops_core.domain.artifact import CONFIG, GOLDEN, MANIFEST, MODEL, digest_of_manifest
from sentops_model_server import slots as slots_module
from sentops_model_server.metrics import ModelMetrics
from sentops_model_server.slots import SlotName, Slots, WantedVersion
from tests.services.model_server.conftest import AUTHORISED, ModelServer, StartServer
from tests.services.model_server.test_predict import assert_problem
from tests.support.artifacts import BuiltArtifact, build_artifact, seal_artifact
from tests.support.eventually import eventually


async def test_a_version_is_loaded_verified_and_served(
    server: ModelServer, artifact: BuiltArtifact
) -> None:
    answer = await server.put(artifact)

    assert answer.status_code == 200
    ready = {
        "model_version": "v1",
        "digest": artifact.digest,
        "state": "Ready",
        "message": "serving v1",
        "wanted_digest": artifact.digest,
    }
    assert answer.json() == ready
    empty = {
        "model_version": None,
        "digest": None,
        "state": "Empty",
        "message": "waiting for a version",
        "wanted_digest": None,
    }
    assert await server.slots() == {"champion": ready, "candidate": empty}
    assert (await server.client.get("/health/ready")).status_code == 200


async def test_the_same_digest_again_loads_nothing(
    serving: ModelServer, artifact: BuiltArtifact
) -> None:
    answer = await serving.put(artifact, version="v1-renamed")

    assert answer.json()["model_version"] == "v1-renamed"
    assert await serving.metric("sentops_model_load_seconds_count") == 1
    assert await serving.metric("sentops_model_serving{") == 1


async def test_a_candidate_is_promoted_without_loading_it_again(
    serving: ModelServer, other_artifact: BuiltArtifact
) -> None:
    await serving.put(other_artifact, version="v2", slot="candidate")

    assert (await serving.put(other_artifact, version="v2")).status_code == 200
    assert (await serving.client.delete("/slots/candidate", headers=AUTHORISED)).json()[
        "state"
    ] == "Empty"

    assert await serving.metric("sentops_model_load_seconds_count") == 2
    answer = await serving.client.post("/predict", json={"text": "good"})
    assert answer.json()["model_version"] == "v2"


async def test_unloading_an_empty_candidate_is_success_and_the_champion_cannot_be_unloaded(
    serving: ModelServer,
) -> None:
    for _ in range(2):
        assert (
            await serving.client.delete("/slots/candidate", headers=AUTHORISED)
        ).status_code == 200
    assert_problem(await serving.client.delete("/slots/champion", headers=AUTHORISED), 405)


def _damage_model(folder: Path) -> None:
    os.truncate(folder / MODEL, 200)


def _remove_golden(folder: Path) -> None:
    (folder / GOLDEN).unlink()


def _break_golden(folder: Path) -> None:
    (folder / GOLDEN).write_text(
        (folder / GOLDEN).read_text().replace('"positive"', '"negative"', 1)
    )
    seal_artifact(folder)


def _empty_golden(folder: Path) -> None:
    (folder / GOLDEN).write_text("")
    seal_artifact(folder)


def _swap_labels(folder: Path) -> None:
    (folder / CONFIG).write_text((folder / CONFIG).read_text().replace("neutral", "mixed"))
    seal_artifact(folder)


def _break_config(folder: Path) -> None:
    (folder / CONFIG).write_text("{broken")
    seal_artifact(folder)


def _break_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{broken")


def _seal_garbage_as_model(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"garbage")
    seal_artifact(folder)


@pytest.mark.parametrize(
    "damage",
    [
        _damage_model,
        _remove_golden,
        _break_golden,
        _empty_golden,
        _swap_labels,
        _break_config,
        _break_manifest,
        _seal_garbage_as_model,
    ],
)
async def test_a_bad_artifact_never_serves_and_the_champion_keeps_serving(
    serving: ModelServer, artifact: BuiltArtifact, tmp_path: Path, damage
) -> None:
    folder = build_artifact(tmp_path / "bad", strength=1.5).folder
    damage(folder)
    bad = BuiltArtifact(folder, digest_of_manifest((folder / MANIFEST).read_bytes()))

    assert_problem(await serving.put(bad, version="v2"), 422, "artifact_invalid")

    champion = (await serving.slots())["champion"]
    assert (champion["state"], champion["model_version"], champion["digest"]) == (
        "Failed",
        "v1",
        artifact.digest,
    )
    assert champion["wanted_digest"] == bad.digest
    assert "v2 was not loaded" in champion["message"]
    assert "v1 keeps serving" in champion["message"]
    assert (await serving.client.get("/health/ready")).status_code == 200
    answer = await serving.client.post("/predict", json={"text": "good"})
    assert answer.json()["model_version"] == "v1"
    assert (await serving.put(artifact)).json()["state"] == "Ready"


async def test_another_digest_than_the_wanted_one_never_serves(
    server: ModelServer, artifact: BuiltArtifact
) -> None:
    claimed = BuiltArtifact(artifact.folder, "sha256:" + "1" * 64)
    assert_problem(await server.put(claimed), 422, "artifact_invalid")
    assert (await server.client.get("/health/ready")).status_code == 503


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "md5:1"},
        {"storage_uri": "somewhere"},
        {"storage_uri": "hf://org/name"},
        {"model_version": ""},
        {"unknown": 1},
    ],
    ids=str,
)
async def test_a_wish_that_cannot_be_met_is_refused(
    serving: ModelServer, artifact: BuiltArtifact, change: dict[str, object]
) -> None:
    wanted = {
        "storage_uri": artifact.uri,
        "digest": "sha256:" + "0" * 64,
        "model_version": "v2",
    } | change
    answer = await serving.client.put("/slots/champion", json=wanted, headers=AUTHORISED)
    assert_problem(answer, 422, "invalid_input")
    assert (await serving.client.post("/predict", json={"text": "good"})).json()[
        "model_version"
    ] == "v1"


async def test_only_the_control_token_changes_slots(
    start_server: StartServer, server: ModelServer, artifact: BuiltArtifact
) -> None:
    wanted = {"storage_uri": artifact.uri, "digest": artifact.digest, "model_version": "v1"}
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}):
        assert_problem(
            await server.client.put("/slots/champion", json=wanted, headers=headers), 401
        )
        assert_problem(await server.client.delete("/slots/candidate", headers=headers), 401)
    without_token = await start_server(control_token=None)
    assert_problem(await without_token.put(artifact), 403, "forbidden")
    assert (await without_token.slots())["champion"]["state"] == "Empty"


async def test_no_request_fails_while_versions_change(
    serving: ModelServer, artifact: BuiltArtifact, other_artifact: BuiltArtifact
) -> None:
    answers: Counter[tuple[int, str, str]] = Counter()
    swapping = True

    async def ask() -> None:
        while swapping:
            answer = await serving.client.post("/predict", json={"texts": ["good", "bad"]})
            first, second = answer.json()["predictions"]
            assert first["digest"] == second["digest"]  # one request, one version
            answers[answer.status_code, first["model_version"], first["digest"]] += 1

    clients = [asyncio.create_task(ask()) for _ in range(4)]
    for number in range(20):
        changed = await serving.put(
            (other_artifact, artifact)[number % 2], version=f"v{number % 2 + 2}"
        )
        assert changed.status_code == 200
    swapping = False
    await asyncio.gather(*clients)

    assert {status for status, _, _ in answers} == {200}
    digests = {version: digest for _, version, digest in answers}
    assert digests["v2"] == other_artifact.digest
    assert digests["v3"] == artifact.digest


async def test_changes_at_the_same_time_are_made_one_after_another(
    server: ModelServer, artifact: BuiltArtifact, other_artifact: BuiltArtifact
) -> None:
    wishes = [
        server.put((artifact, other_artifact)[number % 2], version=f"v{number}")
        for number in range(6)
    ]
    changes = await asyncio.gather(*wishes)

    assert [change.status_code for change in changes] == [200] * 6
    assert [change.json()["model_version"] for change in changes] == [
        f"v{number}" for number in range(6)
    ]
    assert await server.metric("sentops_model_serving{") == 1


async def test_the_old_model_is_drained_then_let_go(
    artifact: BuiltArtifact, other_artifact: BuiltArtifact, tmp_path: Path
) -> None:
    slots = Slots(tmp_path, ModelMetrics.on(CollectorRegistry()))
    await slots.put(SlotName.CHAMPION, wanted(artifact, "v1"))
    using = slots.serving(SlotName.CHAMPION).model
    unloaded = weakref.ref(using.scorer)
    gc.disable()  # reference counting alone must free it
    try:
        with using:
            change = asyncio.create_task(slots.put(SlotName.CHAMPION, wanted(other_artifact, "v2")))
            await eventually(lambda: slots.status(SlotName.CHAMPION).model_version == "v2")
            assert not change.done()  # a request still uses v1
        del using
        await change
        assert unloaded() is None
    finally:
        gc.enable()


async def test_a_client_that_never_ends_cannot_hold_a_change_up_for_ever(
    artifact: BuiltArtifact,
    other_artifact: BuiltArtifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots_module, "_DRAIN_SECONDS", 0.01)
    slots = Slots(tmp_path, ModelMetrics.on(CollectorRegistry()))
    await slots.put(SlotName.CHAMPION, wanted(artifact, "v1"))
    with slots.serving(SlotName.CHAMPION).model:
        status = await slots.put(SlotName.CHAMPION, wanted(other_artifact, "v2"))
    assert status.model_version == "v2"


def wanted(artifact: BuiltArtifact, version: str) -> WantedVersion:
    return WantedVersion(storage_uri=artifact.uri, digest=artifact.digest, model_version=version)


async def test_memory_comes_back_over_fifty_swaps(tmp_path: Path) -> None:
    artifacts = [
        build_artifact(tmp_path / name, strength=strength, hidden=512, layers=10)
        for name, strength in (("a", 1.0), ("b", 2.0))
    ]
    size = (artifacts[0].folder / MODEL).stat().st_size
    assert size > 10_000_000
    slots = Slots(tmp_path / "cache", ModelMetrics.on(CollectorRegistry()))
    process = psutil.Process()

    async def swap(times: int) -> int:
        for number in range(times):
            await slots.put(SlotName.CHAMPION, wanted(artifacts[number % 2], f"v{number}"))
        return process.memory_info().rss

    before = await swap(6)
    assert await swap(50) - before < 5 * size


@pytest.mark.s3
async def test_a_version_is_served_from_s3(
    server: ModelServer, artifact: BuiltArtifact, s3_root: str
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    put = {
        "storage_uri": published.storage_uri,
        "digest": published.digest,
        "model_version": "v1",
    }
    answer = await server.client.put("/slots/champion", json=put, headers=AUTHORISED)
    assert answer.status_code == 200, answer.text
    assert (await server.client.post("/predict", json={"text": "good"})).json()[
        "label"
    ] == "positive"


async def test_a_store_that_is_away_is_503_and_worth_another_try(
    serving: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    put = {"storage_uri": "s3://b/a", "digest": "sha256:" + "0" * 64, "model_version": "v2"}
    answer = await serving.client.put("/slots/champion", json=put, headers=AUTHORISED)
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]
    champion = (await serving.slots())["champion"]
    assert (champion["state"], champion["model_version"]) == ("Ready", "v1")  # nothing against v2
    assert "v2 was not loaded: the S3 store cannot be used" in champion["message"]
