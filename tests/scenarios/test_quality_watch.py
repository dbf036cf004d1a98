"""A model gets worse, and nobody looks: the platform notices, says so, trains, judges, switches, and calms down.

People start to write about other things in other words, and correct most of the answers. From then on no person does
anything: the monitor's figures move, drift is flagged, a mail says that the quality is too low, the policy starts a
training on what people said, the gate compares, the better version goes live, and a second mail says that it is over.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from tests.scenarios.alert_watch import AlertWatch, alert_watch
from tests.scenarios.platform import Platform
from tests.support.alertmanager import needs_alertmanager
from tests.support.prometheus import needs_prometheus
from tests.support.reviews import some_reviews, to_csv
from tests.support.tiny_base import build_tiny_base

pytestmark = [
    pytest.mark.pg,
    pytest.mark.torch,
    pytest.mark.timeout(600),
    needs_prometheus,
    needs_alertmanager,
]

GATE = {
    "minSamples": 30,
    "metrics": [{"name": "macro_f1", "min": "0.5", "maxDropVsChampion": "0.01"}],
}
LABELS = ("negative", "neutral", "positive")
# What the first version knows as words that say nothing.
SHIFTED_WORDS = {
    "negative": ("box", "arrived"),
    "neutral": ("the", "was"),
    "positive": ("il", "prodotto"),
}
ANSWERS = 360
VOTES = 300


@pytest.fixture
def trainer_settings() -> dict[str, str]:
    return {"RETRAIN_SECONDS": "0.5"}


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def watch(platform: Platform) -> Iterator[AlertWatch]:
    with alert_watch(platform) as watching:
        yield watching


def policy(base: Path) -> dict[str, Any]:
    """Train on what people said when fewer than seven in ten agree; whatever else triggers is left out."""
    return {
        "modelName": "sentiment",
        "triggers": {"quality": {"floor": "0.7", "window": "1h", "minVotes": 200}},
        "guards": {"cooldownSeconds": 0, "maxPerDay": 1, "minNewLabels": 100},
        "template": {
            "baseModel": {"storageUri": f"file://{base}"},
            "trainer": {"method": "Linear"},
            "fastPath": "Off",
            "gate": GATE,
        },
    }


def shifted_texts(count: int, *, seed: int) -> list[tuple[str, str]]:
    """(text, what its writer means): longer than the reviews, and without any word that meant something there."""
    chance = random.Random(seed)
    syllables = ("kra", "zul", "wex", "yob", "quen", "jhi", "hob", "vlad")
    texts = []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        words = [word for word in SHIFTED_WORDS[label] for _ in range(6)]
        words += ["".join(chance.choices(syllables, k=4)) for _ in range(8)]
        chance.shuffle(words)
        texts.append((" ".join(words), label))
    return texts


async def ask_and_correct(platform: Platform, texts: list[tuple[str, str]], votes: int) -> None:
    """Each text is asked by another person, who says what they meant; the last ones say nothing."""
    async with httpx.AsyncClient(base_url=platform.web.url, timeout=30) as client:
        for number, (text, meant) in enumerate(texts):
            headers = {"x-client-id": f"person-{number}"}
            answer = await client.post("/api/predict", json={"text": text}, headers=headers)
            answer.raise_for_status()
            if number < votes:
                vote = {"prediction_id": answer.json()["prediction_id"], "feedback": meant}
                said = await client.post("/api/feedback", json=vote, headers=headers)
                assert said.status_code == 201, said.text


async def votes_of(platform: Platform, version: str) -> tuple[list[str], list[str]]:
    """(what people meant, what was answered), read from the tables without any of the monitor's code."""
    connection = await asyncpg.connect(platform.database_url)
    try:
        rows = await connection.fetch(
            """
            SELECT f.label AS meant, p.label AS answered
              FROM feedback f JOIN predictions p ON p.id = f.prediction_id
             WHERE p.model_version = $1
            """,
            version,
        )
    finally:
        await connection.close()
    return [row["meant"] for row in rows], [row["answered"] for row in rows]


async def window_of(platform: Platform, path: str, version: str) -> dict[str, Any]:
    """What the monitor says there of the version's last day."""
    report = await platform.get(platform.monitor, path)
    found: dict[str, Any] = next(
        one
        for one in report["versions"]
        if (one["model_version"], one["window"]) == (version, "24h")
    )
    return found


def drifted(report: dict[str, Any]) -> set[str]:
    return {one["feature"] for one in report["features"] if one.get("drifted")}


def assert_equals_scikit_learn(seen: dict[str, Any], meant: list[str], answered: list[str]) -> None:
    assert seen["accuracy"]["value"] == pytest.approx(accuracy_score(meant, answered))
    assert seen["macro_f1"]["value"] == pytest.approx(
        f1_score(meant, answered, labels=LABELS, average="macro", zero_division=0)
    )
    precisions = precision_score(meant, answered, labels=LABELS, average=None, zero_division=np.nan)
    recalls = recall_score(meant, answered, labels=LABELS, average=None, zero_division=np.nan)
    given = Counter(answered)
    for label, precision, recall in zip(LABELS, precisions, recalls, strict=True):
        scores = seen["labels"][label]
        assert scores["answered"] == given[label]
        assert scores["recall"]["value"] == pytest.approx(recall)
        if given[label]:
            assert scores["precision"]["value"] == pytest.approx(precision)
        else:
            assert "precision" not in scores, "of no answer nothing is known"


async def test_a_worse_model_is_noticed_and_replaced_without_a_person(
    platform: Platform, tiny_base: Path, watch: AlertWatch
) -> None:
    await platform.upload("reviews.csv", to_csv(some_reviews(600)))
    first = await platform.train(
        tiny_base, dataset_id="v1", method="Linear", fast_path="Off", gate=GATE
    )
    await platform.finished(first)
    await platform.live("sentiment-v1")
    await platform.served("sentiment-v1")
    await platform.put(
        platform.trainer, "/retrain-policies/on-quality", {"spec": policy(tiny_base)}
    )
    await watch.sees("sentops_serving_since_timestamp_seconds")
    assert not watch.firing() & {"SentopsQualityLow", "SentopsDrift"}

    await ask_and_correct(platform, shifted_texts(ANSWERS, seed=1), VOTES)

    meant, answered = await platform.until(
        lambda: votes_of(platform, "sentiment-v1"), lambda rows: len(rows[0]) == VOTES, 60
    )
    seen = await platform.until(
        lambda: window_of(platform, "/quality", "sentiment-v1"),
        lambda one: one["votes"] == VOTES and one["predictions"] == ANSWERS + 1,
        60,
    )
    assert_equals_scikit_learn(seen, meant, answered)
    drift = await platform.until(
        lambda: window_of(platform, "/drift", "sentiment-v1"),
        lambda one: {"length", "words"} <= drifted(one),
        60,
    )
    assert drifted(drift)
    await watch.mail("FIRING", "SentopsQualityLow")

    # The policy has started a training by now, on what people said; the gate compares; the better one goes live.
    await platform.live("sentiment-v2", 180)
    version = await platform.version("sentiment-v2")
    job = await platform.job(version["spec"]["trainingJobRef"]["name"])
    assert job["metadata"]["labels"]["sentops.dev/retrain-policy"] == "on-quality"
    assert job["status"]["gateResult"]["verdict"] == "Pass"
    assert job["status"]["gateResult"]["championVersion"] == "sentiment-v1"
    decided = await platform.get(platform.trainer, "/retrain-policies/on-quality")
    assert decided["status"]["lastTrainingJob"] == job["metadata"]["name"]
    audit = await platform.get(platform.backoffice, "/backoffice/api/audit")
    lines = audit if isinstance(audit, list) else audit["lines"]
    assert any(line["actor"] == "policy:on-quality" for line in lines)

    # Better, for those who write like this; and nobody is told that it is bad any more.
    await platform.served("sentiment-v2")
    later = shifted_texts(60, seed=2)
    right = 0
    for text, means in later:
        right += (await platform.predict(text))["label"] == means
    assert right >= 50
    await watch.mail("RESOLVED", "SentopsQualityLow")
