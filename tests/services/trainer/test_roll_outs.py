"""Versions on a real model server: what people can do about them, and that something good keeps serving."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sentops_core.domain.errors import Conflict
from sentops_core.domain.resources import ArtifactRef, DesiredState, ModelVersion, Rollout
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from sentops_trainer.local.resources import Resources
from sentops_trainer.settings import LocalSettings
from tests.services.trainer.conftest import CONTROL, Trainer, a_service
from tests.support.artifacts import build_artifact
from tests.support.builders import a_model_version
from tests.support.eventually import eventually
from tests.support.serving import served

pytestmark = pytest.mark.pg

ON_HOLD: dict[str, object] = {
    "steps": [{"setWeight": 10}, {"analysis": True}],
    "progressDeadlineSeconds": 1,
}


@dataclass
class Machine:
    """A trainer beside a model server; `restart` gives it the same database and store, and an empty server."""

    settings: LocalSettings
    pool: Pool
    folder: Path
    trainer: Trainer = field(init=False)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        cache = self.folder / "model-cache"
        model = build_app(ModelSettings(control_token=SecretStr(CONTROL), cache_dir=cache))
        url = self._running.enter_context(served(model))
        settings = self.settings.model_copy(update={"model_url": url})
        service = a_service(settings, self.pool, self.folder)
        self.trainer = await self._running.enter_async_context(service)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        await self._running.aclose()

    async def register(self, number: int, rollout: dict[str, object] | None = None) -> None:
        artifact = build_artifact(self.folder / f"artifact-{number}", strength=2 + number / 10)
        version = a_model_version(
            number,
            artifact=ArtifactRef(storage_uri=artifact.uri, digest=artifact.digest, size_bytes=1),
            desired_state=DesiredState.CHAMPION,
            rollout=Rollout.model_validate(rollout or {}),
        )
        async with self.pool.acquire() as connection, connection.transaction():
            await Resources(connection).create_version(version, actor="test")

    def damage(self, number: int) -> None:
        model = self.folder / f"artifact-{number}" / "model.onnx"
        model.write_bytes(model.read_bytes()[:-10])

    async def act(self, name: str, action: str, **body: object) -> httpx.Response:
        return await self.trainer.client.post(f"/model-versions/{name}/{action}", json=body)

    async def reaches(self, name: str, phase: str) -> ModelVersion:
        async def look() -> ModelVersion:
            answer = await self.trainer.client.get(f"/model-versions/{name}")
            version = ModelVersion.model_validate(answer.json())
            assert version.status.phase == phase, version.status
            return version

        return await eventually(look)

    async def variants(self) -> dict[str, int]:
        routing = (await self.trainer.client.get("/routing")).json()
        return {one["modelVersion"]: one["weight"] for one in routing["variants"]}

    async def answers(self, name: str) -> None:
        async def look() -> Any:
            async with httpx.AsyncClient(base_url=self.trainer.settings.model_url) as client:
                answer = await client.post("/predict", json={"text": "ottimo"})
            assert answer.status_code == 200, answer.text
            assert answer.json()["model_version"] == name
            return True

        await eventually(look)


@pytest.fixture
async def machine(settings: LocalSettings, pool: Pool, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(settings, pool, tmp_path)
    await machine.start()
    try:
        yield machine
    finally:
        await machine.stop()


async def two_versions(machine: Machine) -> None:
    await machine.register(1)
    await machine.reaches("sentiment-v1", "Live")
    await machine.register(2)
    await machine.reaches("sentiment-v2", "Live")
    await machine.reaches("sentiment-v1", "Archived")


async def test_what_was_rolled_back_serves_on_when_its_predecessor_is_damaged(
    machine: Machine,
) -> None:
    await two_versions(machine)
    machine.damage(1)
    assert (await machine.act("sentiment-v2", "rollback")).status_code == 202
    await machine.reaches("sentiment-v1", "Quarantined")
    await machine.restart()
    await machine.answers("sentiment-v2")
    assert await machine.variants() == {"sentiment-v2": 100}
    assert (await machine.act("sentiment-v2", "promote")).status_code == 202
    await machine.reaches("sentiment-v2", "Live")


async def test_a_champion_found_damaged_is_quarantined_and_the_previous_one_serves(
    machine: Machine,
) -> None:
    await two_versions(machine)
    machine.damage(2)
    await machine.restart()
    await machine.reaches("sentiment-v1", "Live")
    await machine.reaches("sentiment-v2", "Quarantined")
    await machine.answers("sentiment-v1")
    assert (await machine.act("sentiment-v2", "promote")).status_code == 409


async def test_a_damaged_champion_is_no_measure_for_its_successor(machine: Machine) -> None:
    await machine.register(1)
    await machine.reaches("sentiment-v1", "Live")
    machine.damage(1)
    await machine.restart()
    await machine.reaches("sentiment-v1", "Quarantined")
    dataset = await machine.trainer.dataset()
    body = {"dataset_id": dataset, "base": "file:///nowhere", "method": "Linear", "name": "next"}
    assert (await machine.trainer.client.post("/train", json=body)).status_code == 202
    spec = machine.settings.runs_dir / "next" / "spec-1.json"
    await eventually(spec.exists)
    assert '"champion": null' in spec.read_text()


async def test_a_canary_on_hold_is_ended_by_promoting_it(machine: Machine) -> None:
    await machine.register(1)
    await machine.reaches("sentiment-v1", "Live")
    await machine.register(2, ON_HOLD)
    await machine.reaches("sentiment-v2", "Paused")
    assert await machine.variants() == {"sentiment-v1": 90, "sentiment-v2": 10}
    assert (await machine.act("sentiment-v2", "promote")).status_code == 202
    await machine.reaches("sentiment-v2", "Live")
    await machine.answers("sentiment-v2")
    assert await machine.variants() == {"sentiment-v2": 100}


async def test_a_canary_on_hold_is_taken_back_by_archiving_it(machine: Machine) -> None:
    await machine.register(1)
    await machine.reaches("sentiment-v1", "Live")
    await machine.register(2, ON_HOLD)
    await machine.reaches("sentiment-v2", "Paused")
    refused = await machine.act("sentiment-v2", "rollback")
    assert refused.status_code == 409
    assert "Archive it" in refused.json()["detail"]
    assert (await machine.act("sentiment-v2", "archive", reason="no")).status_code == 202
    await machine.reaches("sentiment-v2", "Archived")
    assert await machine.variants() == {"sentiment-v1": 100}
    await machine.register(3)
    await machine.reaches("sentiment-v3", "Live")


async def test_what_serves_cannot_be_archived(machine: Machine) -> None:
    await machine.register(1)
    await machine.reaches("sentiment-v1", "Live")
    assert (await machine.act("sentiment-v1", "archive")).status_code == 409
    await machine.answers("sentiment-v1")


async def test_an_archived_version_is_nothing_to_return_to(machine: Machine) -> None:
    await two_versions(machine)
    assert (await machine.act("sentiment-v1", "archive")).status_code == 202
    assert (await machine.act("sentiment-v2", "rollback")).status_code == 409
    await machine.answers("sentiment-v2")


async def test_a_status_seen_before_a_person_decided_is_not_saved_over_it(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await Resources(connection).create_version(a_model_version(1), actor="test")
    async with pool.acquire() as connection:
        seen = await ModelVersions(connection).get("sentiment-v1")
    async with pool.acquire() as connection, connection.transaction():
        await Resources(connection).promote(
            "sentiment-v1", actor="ada", reason="", force=False, clear_quarantine=False
        )
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(Conflict):
            await Resources(connection).save_version_status(
                seen.version, seen.version.status, seen=seen.updated_at, actor="sentops"
            )
