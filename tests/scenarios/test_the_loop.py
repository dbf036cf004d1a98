"""Predict, correct, build, train, judge, roll out, roll back, look up: with real programs and real training.

Earlier systems of this kind had a feedback loop that was silently broken; this walks all of it. The defects
that need no whole platform are proven where they live: artefact and reloaded metrics (trainer_run), numbers
past ten (store), frozen held-out rows and messy texts (datasets), concurrent votes (store, spool), gate (domain).
"""

from pathlib import Path

import httpx
import pytest

from tests.scenarios.platform import Platform
from tests.support.reviews import some_reviews, to_csv
from tests.support.tiny_base import build_tiny_base

pytestmark = [pytest.mark.pg, pytest.mark.torch, pytest.mark.timeout(400)]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_base(tmp_path_factory.mktemp("base"))


async def metrics_of(platform: Platform) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{platform.monitor.url}/metrics")).text


async def test_a_correction_trains_a_version_that_serves_and_can_be_rolled_back(
    platform: Platform, tiny_base: Path
) -> None:
    # Nothing is live: an error that says so, never a made-up answer; and no quality, rather than zero.
    nothing = await platform.post(platform.web, "/api/predict", {"text": "bello"}, expect=503)
    assert nothing["code"] == "no_model"
    assert "sentops_feedback_accuracy_ratio{" not in await metrics_of(platform)

    await platform.upload("reviews.csv", to_csv(some_reviews(60)))
    first = await platform.train(tiny_base, dataset_id="v1", method="Linear")
    job = await platform.finished(first)
    assert job["status"]["phase"] == "Succeeded", job
    await platform.live("sentiment-v1")
    prediction = await platform.served("sentiment-v1", "bello davvero")
    assert set(prediction["scores"]) == {"negative", "neutral", "positive"}
    seen = await platform.get(platform.web, f"/api/predictions/{prediction['prediction_id']}")
    assert seen["label"] == prediction["label"]

    # A correction moves the metric of the version that gave the answer.
    wrong = next(label for label in prediction["scores"] if label != prediction["label"])
    vote = {"prediction_id": prediction["prediction_id"], "feedback": wrong, "note": "ironico"}
    await platform.post(platform.web, "/api/feedback", vote, expect=201)
    moved = 'sentops_feedback_accuracy_ratio{language="all",version="sentiment-v1"'
    await platform.until(lambda: metrics_of(platform), lambda text: moved in text, 30)
    forged = {**vote, "prediction_id": prediction["prediction_id"][:-4] + "0000"}
    await platform.post(platform.web, "/api/feedback", forged, expect=404)

    # The corrected label is in the next dataset, and trains the next version.
    await platform.post(platform.backoffice, "/backoffice/api/datasets/from-feedback", {})
    await platform.upload("more.csv", to_csv(some_reviews(500, seed=2)))
    second = await platform.train(tiny_base, method="Linear")
    job = await platform.finished(second)
    assert job["status"]["phase"] == "Succeeded", job
    assert job["status"]["gateResult"]["championVersion"] == "sentiment-v1"
    version = await platform.live("sentiment-v2")
    first_version = await platform.version("sentiment-v1")
    assert version["spec"]["artifact"]["digest"] != first_version["spec"]["artifact"]["digest"]
    later = await platform.served("sentiment-v2")
    address = f"/backoffice/api/lineage/{later['prediction_id']}"
    lineage = await platform.until(  # once web's spool has reached the database
        lambda: platform.get(platform.backoffice, address), bool, 20
    )
    assert second in str(lineage)
    assert "v3" in str(lineage)

    # A model server that is killed gets its champion back.
    platform.model.kill()
    platform.model.start()
    await platform.served("sentiment-v2")

    await platform.post(
        platform.trainer, "/model-versions/sentiment-v2/rollback", {"reason": "worse"}
    )
    await platform.served("sentiment-v1")
    back = await platform.version("sentiment-v2")
    assert back["status"]["phase"] == "RolledBack"
    assert back["spec"]["desiredState"] == "Champion", "a rollback never edits the spec"
    actions = {line["action"] for line in await audit_of(platform)}
    assert {"training_job.created", "model_version.live", "model_version.rolled_back"} <= actions
    assert any(action.startswith("dataset") for action in actions)


async def audit_of(platform: Platform) -> list[dict[str, str]]:
    answer = await platform.get(platform.backoffice, "/backoffice/api/audit")
    return answer if isinstance(answer, list) else answer["lines"]
