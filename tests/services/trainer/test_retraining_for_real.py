"""Corrections in, a better version live: nobody asks for the training."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentops_core.store.audit import Audit
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import Predictions
from sentops_trainer.settings import LocalSettings
from tests.services.trainer.conftest import Trainer, a_service
from tests.services.trainer.test_lifecycle import LENIENT, job_in, version_in
from tests.support.eventually import eventually
from tests.support.reviews import some_reviews
from tests.support.rows import a_prediction, a_vote

pytestmark = [pytest.mark.pg, pytest.mark.torch]


async def correct(pool: Pool, count: int) -> None:
    async with transaction(pool) as connection:
        for text, label in some_reviews(count, seed=23):
            answer = a_prediction(datetime.now(UTC), text)
            await Predictions(connection).copy_in([answer])
            await Feedback(connection).upsert_many([a_vote(answer, label, after=0)])


async def started_by(service: Trainer, policy: str) -> str:
    async def look() -> str:
        status = (await service.client.get(f"/retrain-policies/{policy}")).json()["status"]
        assert "lastTrainingJob" in status, status.get("lastDecision")
        return str(status["lastTrainingJob"])

    return await eventually(look, within=60)


async def test_corrections_end_as_a_version_that_serves_without_a_human_step(
    settings: LocalSettings, pool: Pool, tmp_path: Path, tiny_base: Path
) -> None:
    often = settings.model_copy(update={"retrain_seconds": 0.5})
    policy: dict[str, Any] = {
        "modelName": "sentiment",
        "triggers": {"newLabels": {"min": 30}},
        "guards": {"minNewLabels": 30},
        "template": {
            "baseModel": {"storageUri": f"file://{tiny_base}"},
            "trainer": {"method": "Linear"},
            "gate": LENIENT,
        },
    }
    async with a_service(often, pool, tmp_path) as service:
        await service.dataset()
        headers = {"x-sentops-actor": "ada"}
        answer = await service.client.put(
            "/retrain-policies/by-labels", json={"spec": policy}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        await correct(pool, 36)
        name = await started_by(service, "by-labels")
        job = await job_in(service, name, "Succeeded")
        assert job["metadata"]["labels"] == {"sentops.dev/retrain-policy": "by-labels"}
        assert job["status"]["gateResult"]["verdict"] == "Pass"
        version = job["status"]["modelVersionRef"]["name"]
        await version_in(service, version, "Live")
        async with transaction(pool) as connection:
            [created, _] = reversed(await Audit(connection).newest(subject=name))
            dataset = (await Audit(connection).newest(subject="v2"))[0]
        assert (created.actor, created.action) == ("policy:by-labels", "training_job.created")
        assert (dataset.actor, dataset.evidence["added"]) == ("policy:by-labels", 36)
        decision = (await service.client.get("/retrain-policies/by-labels")).json()["status"]
        assert decision["trainingsToday"] == 1
        assert len((await service.client.get("/training-jobs")).json()) == 1
