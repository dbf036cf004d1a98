"""A job from submission to a serving version, with real runs; and what happens when things break on the way."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentops_core.domain.reference import ReferenceProfile
from sentops_core.store.pool import transaction
from sentops_core.store.version_references import VersionReferences
from tests.services.trainer.conftest import Trainer, a_service
from tests.support.eventually import eventually

pytestmark = [pytest.mark.pg, pytest.mark.torch]

LENIENT = {
    "minSamples": 1,
    "metrics": [{"name": "macro_f1", "min": "0", "maxDropVsChampion": "1"}],
}


async def train(trainer: Trainer, base: Path, **request: object) -> str:
    """Without a fast path, which takes seconds, unless the request asks for one."""
    body = {"base": f"file://{base}", "gate": LENIENT, "fast_path": "Off", **request}
    answer = await trainer.client.post("/train", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["name"])


async def job_in(trainer: Trainer, name: str, *phases: str, within: float = 90) -> Any:
    async def look() -> Any:
        job = (await trainer.client.get(f"/training-jobs/{name}")).json()
        phase = job["status"]["phase"]
        log = (await trainer.client.get(f"/training-jobs/{name}/log")).text[-1500:]
        assert phase in phases, f"{phase}: {job['status'].get('conditions')}\n{log}"
        return job

    return await eventually(look, within=within, every=0.1)


async def version_in(trainer: Trainer, name: str, phase: str, within: float = 30) -> Any:
    async def look() -> Any:
        answer = await trainer.client.get(f"/model-versions/{name}")
        assert answer.status_code == 200, answer.text
        version = answer.json()
        assert version["status"]["phase"] == phase, version["status"]
        return version

    return await eventually(look, within=within, every=0.05)


async def serving(trainer: Trainer) -> str | None:
    routing = (await trainer.client.get("/routing")).json()
    return routing["variants"][0]["modelVersion"] if routing["variants"] else None


async def test_a_job_ends_as_a_version_that_serves(trainer: Trainer, tiny_base: Path) -> None:
    await trainer.dataset()
    name = await train(trainer, tiny_base, method="Linear", fast_path="Forced")
    job = await job_in(trainer, name, "Succeeded")
    assert job["status"]["modelVersionRef"]["name"] == "sentiment-v1"
    assert job["status"]["gateResult"]["verdict"] == "Pass"
    assert job["status"]["fastPath"]["used"], job["status"]["fastPath"]
    await version_in(trainer, "sentiment-v1", "Live")
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{trainer.settings.model_url}/predict", json={"text": "il prodotto era bello ottimo"}
        )
    assert answer.json()["model_version"] == "sentiment-v1"
    assert answer.json()["path"] in {"full", "fast"}
    assert (trainer.settings.runs_dir / name).is_dir(), "its time to live is a day"
    reasons = [
        event["reason"]
        for event in (await trainer.client.get(f"/training-jobs/{name}/events")).json()
    ]
    assert reasons[0] == "Created"
    assert "GatePassed" in reasons

    async def trained_on() -> ReferenceProfile | None:
        async with transaction(trainer.pool) as connection:
            table = VersionReferences(connection)
            digests = await table.digests()
            return await table.profile("sentiment-v1", digests.get("sentiment-v1", ""))

    profile = await eventually(trained_on)
    assert profile.texts + profile.held_out.texts == 180


async def test_a_killed_run_goes_on_and_the_job_succeeds(trainer: Trainer, tiny_base: Path) -> None:
    await trainer.dataset()
    name = await train(
        trainer, tiny_base, method="FineTune", hyperparameters={"epochs": 8, "batchSize": 8}
    )
    checkpoint = trainer.settings.runs_dir / name
    await eventually(lambda: list(checkpoint.rglob("checkpoint-*")), within=60)
    job = await job_in(trainer, name, "Running")
    os.kill(int(job["status"]["jobName"]), signal.SIGKILL)
    job = await job_in(trainer, name, "Succeeded")
    assert job["status"]["attempt"] == 2
    assert job["status"]["failed"] == 1


async def test_a_suspended_job_stops_and_a_resumed_one_goes_on(
    trainer: Trainer, tiny_base: Path
) -> None:
    await trainer.dataset()
    name = await train(
        trainer, tiny_base, method="FineTune", hyperparameters={"epochs": 8, "batchSize": 8}
    )
    await job_in(trainer, name, "Running")
    await trainer.client.post(f"/training-jobs/{name}/suspend")
    job = await job_in(trainer, name, "Suspended")
    pid = int(job["status"]["jobName"])
    await eventually(lambda: not Path(f"/proc/{pid}/cmdline").exists(), within=60)
    await trainer.client.post(f"/training-jobs/{name}/resume")
    job = await job_in(trainer, name, "Succeeded")
    assert job["status"]["failed"] == 0


async def test_a_restarted_service_finds_its_run_again(
    settings: Any, pool: Any, tmp_path: Path, tiny_base: Path
) -> None:
    async with a_service(settings, pool, tmp_path) as service:
        await service.dataset()
        name = await train(service, tiny_base, method="FineTune", hyperparameters={"epochs": 6})
        first = await job_in(service, name, "Running")
    async with a_service(settings, pool, tmp_path) as service:
        job = await job_in(service, name, "Succeeded")
        assert job["status"]["attempt"] == 1, "no second run was started"
        assert job["status"]["jobName"] == first["status"]["jobName"]
        await version_in(service, "sentiment-v1", "Live")


async def test_a_base_model_that_does_not_exist_fails_the_job_at_once(trainer: Trainer) -> None:
    await trainer.dataset()
    name = await train(trainer, Path("/nowhere/at/all"), method="Linear")
    job = await job_in(trainer, name, "Failed")
    assert job["status"]["attempt"] == 1
    failed = next(one for one in job["status"]["conditions"] if one["type"] == "Failed")
    assert failed["reason"] == "BaseModelUnavailable"


async def test_a_gate_that_says_no_keeps_the_champion(trainer: Trainer, tiny_base: Path) -> None:
    await trainer.dataset()
    await job_in(trainer, await train(trainer, tiny_base, method="Linear"), "Succeeded")
    await version_in(trainer, "sentiment-v1", "Live")
    strict = {
        "minSamples": 1,
        "metrics": [{"name": "macro_f1", "min": "1", "maxDropVsChampion": "0"}],
    }
    # Whatever the model says of it, one of the two is wrong.
    must_pass = [{"text": "bello", "label": label} for label in ("negative", "positive")]
    name = await train(trainer, tiny_base, method="Linear", gate={**strict, "mustPass": must_pass})
    job = await job_in(trainer, name, "Rejected")
    assert job["status"]["gateResult"]["verdict"] == "Fail"
    assert job["status"]["gateResult"]["championVersion"] == "sentiment-v1"
    await version_in(trainer, "sentiment-v2", "Pending")
    refused = await trainer.client.post("/model-versions/sentiment-v2/promote")
    assert refused.status_code == 409
    assert "verdict" in refused.text
    assert await serving(trainer) == "sentiment-v1"
    forced = {"force": True, "reason": "the example is wrong"}
    assert (
        await trainer.client.post("/model-versions/sentiment-v2/promote", json=forced)
    ).status_code == 202
    await version_in(trainer, "sentiment-v2", "Live")
    await version_in(trainer, "sentiment-v1", "Archived")
    back = await trainer.client.post("/model-versions/sentiment-v2/rollback", json={"reason": "no"})
    assert back.json()["metadata"]["name"] == "sentiment-v1"
    await version_in(trainer, "sentiment-v1", "Live")
    await version_in(trainer, "sentiment-v2", "RolledBack")
    again = await trainer.client.post("/model-versions/sentiment-v1/rollback")
    assert again.status_code == 409


async def test_a_manual_promotion_waits_for_an_approval(trainer: Trainer, tiny_base: Path) -> None:
    await trainer.dataset()
    name = await train(trainer, tiny_base, method="Linear", promotion={"mode": "Manual"})
    await job_in(trainer, name, "Succeeded")
    await version_in(trainer, "sentiment-v1", "Pending")
    assert await serving(trainer) is None
    answer = await trainer.client.post(
        "/model-versions/sentiment-v1/approve", headers={"x-sentops-actor": "ada"}
    )
    assert answer.json()["spec"]["approval"]["by"] == "ada"
    await version_in(trainer, "sentiment-v1", "Live")


async def test_a_damaged_artefact_never_serves_and_the_champion_goes_on(
    trainer: Trainer, tiny_base: Path
) -> None:
    await trainer.dataset()
    await job_in(trainer, await train(trainer, tiny_base, method="Linear"), "Succeeded")
    await version_in(trainer, "sentiment-v1", "Live")
    name = await train(trainer, tiny_base, method="Linear", promotion={"mode": "Manual"})
    await job_in(trainer, name, "Succeeded")
    version = await version_in(trainer, "sentiment-v2", "Pending")
    folder = Path(version["spec"]["artifact"]["storageUri"].removeprefix("file://"))
    model = folder / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes()[:-100])
    await trainer.client.post("/model-versions/sentiment-v2/approve")
    version = await version_in(trainer, "sentiment-v2", "Quarantined")
    verified = next(
        one for one in version["status"]["conditions"] if one["type"] == "ArtifactVerified"
    )
    assert verified["status"] == "False"
    assert "model.onnx" in verified["message"]
    assert await serving(trainer) == "sentiment-v1"
    refused = await trainer.client.post("/model-versions/sentiment-v2/promote")
    assert refused.status_code == 409
    assert "quarantined" in refused.text
    await version_in(trainer, "sentiment-v1", "Live")


async def test_what_a_run_left_goes_after_its_time_to_live_and_the_version_stays(
    trainer: Trainer, tiny_base: Path
) -> None:
    await trainer.dataset()
    first = await train(trainer, tiny_base, method="Linear")
    job = await job_in(trainer, first, "Succeeded")
    short_lived = {**job["spec"], "ttlSecondsAfterFinished": 0}
    manifest = {"metadata": {"name": "short-lived"}, "spec": short_lived}
    assert (await trainer.client.post("/train", json=manifest)).status_code == 202
    await job_in(trainer, "short-lived", "Succeeded", "Rejected")
    await eventually(lambda: not (trainer.settings.runs_dir / "short-lived").exists())
    assert (trainer.settings.runs_dir / first).is_dir()
    assert (await trainer.client.get("/model-versions/sentiment-v2")).status_code == 200
    assert (await trainer.client.get("/training-jobs/short-lived")).status_code == 200


async def test_only_one_run_computes_at_a_time(trainer: Trainer, tiny_base: Path) -> None:
    await trainer.dataset()
    names = [
        await train(trainer, tiny_base, method="Linear", hyperparameters={"seed": seed})
        for seed in (1, 2)
    ]
    await job_in(trainer, names[1], "Queued", within=20)
    for name in names:
        await job_in(trainer, name, "Succeeded", "Rejected")
