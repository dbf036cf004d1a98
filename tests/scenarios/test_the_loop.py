"""Predict, correct, build, train, judge, roll out, roll back, look up: with real programs and real training."""

from pathlib import Path

import pytest

from tests.scenarios.platform import Platform
from tests.support.reviews import some_reviews, to_csv
from tests.support.tiny_base import build_tiny_base

pytestmark = [pytest.mark.pg, pytest.mark.torch]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_base(tmp_path_factory.mktemp("base"))


async def test_a_correction_trains_a_version_that_serves_and_can_be_rolled_back(
    platform: Platform, tiny_base: Path
) -> None:
    created = await platform.upload("reviews.csv", to_csv(some_reviews()))
    assert created["version"] == "v1" or created["version"]["name"] == "v1"

    first = await platform.train(tiny_base, dataset_id="v1", method="Linear")
    job = await platform.finished(first)
    assert job["status"]["phase"] == "Succeeded", job
    await platform.live("sentiment-v1")
    prediction = await platform.served("sentiment-v1")
    assert set(prediction["scores"]) == {"negative", "neutral", "positive"}

    voted = {
        "prediction_id": prediction["prediction_id"],
        "feedback": "negative",
        "note": "ironico",
    }
    await platform.post(platform.web, "/api/feedback", voted, expect=201)
    built = await platform.until(
        lambda: platform.post(platform.backoffice, "/backoffice/api/datasets/from-feedback", {}),
        lambda answer: "version" in answer,
        20,
    )
    assert "v2" in str(built["version"])

    second = await platform.train(tiny_base, method="FineTune", hyperparameters={"epochs": 3})
    job = await platform.finished(second)
    assert job["status"]["phase"] == "Succeeded", job
    assert job["status"]["gateResult"]["championVersion"] == "sentiment-v1"
    version = await platform.live("sentiment-v2")
    first_version = await platform.version("sentiment-v1")
    assert version["spec"]["artifact"]["digest"] != first_version["spec"]["artifact"]["digest"]
    later = await platform.served("sentiment-v2")

    lineage = await platform.get(
        platform.backoffice, f"/backoffice/api/lineage/{later['prediction_id']}"
    )
    assert "bello" in str(lineage), "the corrected text is among the training rows"

    await platform.post(
        platform.trainer, "/model-versions/sentiment-v2/rollback", {"reason": "worse"}
    )
    await platform.served("sentiment-v1")
    back = await platform.version("sentiment-v2")
    assert back["status"]["phase"] == "RolledBack"
    assert back["spec"]["desiredState"] == "Champion", "a rollback never edits the spec"
