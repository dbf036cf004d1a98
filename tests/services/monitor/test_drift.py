"""The monitor says of each version and window whether it drifts, from the rows alone."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from scipy.stats import chi2_contingency
from sklearn.feature_extraction.text import CountVectorizer

from sentops_core.domain.drift import holm
from sentops_core.domain.reference import ReferenceProfile
from sentops_core.store.drift_figures import DriftTable
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.version_references import VersionReferences
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings
from tests.support.builders import a_digest, a_model_version
from tests.support.drift_texts import LABELS, Answered, reference_of, some_texts
from tests.support.eventually import eventually
from tests.support.lifespan import started
from tests.support.postgres import a_free_port
from tests.support.rows import a_prediction

pytestmark = pytest.mark.pg

TRAINING, HELD_OUT = some_texts(900, "en", seed=1), some_texts(300, "en", seed=2)
REFERENCE = reference_of(TRAINING, HELD_OUT)
VERSION = "sentiment-v1"
Report = dict[str, Any]


@asynccontextmanager
async def monitor(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = {"database_url": database_url, "refresh_seconds": 0.1}
    app = create_monitor(Settings.model_validate(settings))
    async with started(app) as manager:
        transport = httpx.ASGITransport(manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
            yield client


async def register(pool: Pool, reference: ReferenceProfile | None) -> None:
    async with transaction(pool) as connection:
        version = a_model_version(1, digest=a_digest("a"))
        await ModelVersions(connection).create(version, created_by="test")
        await VersionReferences(connection).keep(VERSION, a_digest("a"), reference)


async def answer(
    pool: Pool, answers: Sequence[Answered], ago: timedelta = timedelta(minutes=5)
) -> None:
    moment = datetime.now(UTC) - ago
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in([row_of(one, moment) for one in answers])


def row_of(one: Answered, moment: datetime) -> PredictionRow:
    scores = {label: one.score if label == one.label else 0.0 for label in LABELS}
    return a_prediction(
        moment,
        one.text,
        label=one.label,
        score=one.score,
        scores=scores,
        language=one.language,
        model_version=VERSION,
    )


async def drift_in(
    client: httpx.AsyncClient, window: str, until: Callable[[Report], bool]
) -> Report:
    """Of the one version, once it is so; the features by name."""

    async def look() -> Report | None:
        reply = await client.get("/drift")
        if reply.status_code != 200:
            return None
        for one in reply.json()["versions"]:
            if one["model_version"] == VERSION and one["window"] == window:
                found = {**one, "features": {each["feature"]: each for each in one["features"]}}
                return found if until(found) else None
        return None

    return await eventually(look)


def counted(samples: int) -> Callable[[Report], bool]:
    def is_so(found: Report) -> bool:
        features = found["features"]
        return (
            bool(features)
            and features["labels"]["samples"] == samples
            and "distance" in features["unseen_words"]
        )

    return is_so


async def metrics(client: httpx.AsyncClient) -> dict[tuple[str, str, str], float]:
    """Of drift, by name, window and feature."""
    found = re.findall(
        r'^(sentops_drift_\w+)\{feature="(\w+)",version="sentiment-v1",window="(\w+)"\} (\S+)$',
        (await client.get("/metrics")).text,
        re.MULTILINE,
    )
    return {(name, window, feature): float(value) for name, feature, window, value in found}


async def test_a_shifted_stream_is_said_to_have_drifted_with_its_figures(
    database_url: str, pool: Pool
) -> None:
    """Quiet for days, then Italian messages: the last hour shows it, and its figures are scipy's on the same rows."""
    await register(pool, REFERENCE)
    for part in range(10):
        quiet = timedelta(days=2, minutes=10 * part)
        await answer(pool, some_texts(100, "en", seed=100 + part), quiet)
    shifted = some_texts(70, "it", seed=4, words=(3, 12)) + some_texts(30, "en", seed=4)
    await answer(pool, shifted)
    async with monitor(database_url) as client:
        hour = (await drift_in(client, "1h", counted(100)))["features"]
        week = (await drift_in(client, "7d", counted(1100)))["features"]
        shown = await metrics(client)

    expected = expected_p_values(shifted)
    for feature in ("language", "labels", "unseen_words"):
        assert hour[feature]["p_value"] == pytest.approx(expected[feature], rel=1e-6), feature
    in_order = [hour[feature]["p_value"] for feature in hour]
    assert [hour[feature]["adjusted_p_value"] for feature in hour] == holm(in_order)
    assert {feature for feature in hour if hour[feature]["drifted"]} == {
        "length",
        "language",
        "words",
        "unseen_words",
    }
    assert week["words"]["distance"] < hour["words"]["distance"] / 3
    assert not week["words"]["drifted"]  # 70 of 1,100 texts are too few to matter
    assert hour["length"]["reference_samples"] == 900
    assert hour["labels"]["reference_samples"] == 300
    for feature, one in hour.items():
        assert shown["sentops_drift_distance_ratio", "1h", feature] == one["distance"]
        assert shown["sentops_drift_detected", "1h", feature] == one["drifted"]
        assert shown["sentops_drift_samples", "1h", feature] == one["samples"] == 100

    async with transaction(pool) as connection:
        stored = await DriftTable(connection).latest(datetime.now(UTC) - timedelta(minutes=5))
    (stored_hour,) = [one for one in stored if one.figures.window == "1h"]
    assert set(stored_hour.drifted) == {"length", "language", "words", "unseen_words"}
    assert {one.figures.window for one in stored} == {"1h", "24h", "7d", "28d"}


def expected_p_values(answers: Sequence[Answered]) -> dict[str, float]:
    """From the texts themselves, by scikit-learn and scipy."""
    known = CountVectorizer(binary=True, token_pattern=r"[^\W_]+", min_df=2)
    known.fit([one.text for one in TRAINING])

    def words(texts: Sequence[Answered]) -> tuple[int, int]:
        every = CountVectorizer(binary=True, token_pattern=r"[^\W_]+")
        total = every.fit_transform([one.text for one in texts]).sum()
        seen = known.transform([one.text for one in texts]).sum()
        return int(total - seen), int(seen)

    def table(now: Counter[str], before: Counter[str]) -> list[list[int]]:
        names = sorted(now.keys() | before.keys())
        return [[side[name] for name in names] for side in (now, before)]

    tables = {
        "labels": table(
            Counter(one.label for one in answers), Counter(one.label for one in HELD_OUT)
        ),
        "language": table(
            Counter(str(one.language) for one in answers),
            Counter(str(one.language) for one in TRAINING),
        ),
        "unseen_words": [list(words(answers)), list(words(HELD_OUT))],
    }
    spread = REFERENCE.held_out.unseen_spread
    found = {}
    for feature, counts in tables.items():
        result = chi2_contingency(counts, correction=False)
        found[feature] = float(result.pvalue)
        if feature == "unseen_words":
            from scipy.stats import chi2

            found[feature] = float(chi2.sf(result.statistic / spread, result.dof))
    return found


async def test_the_same_kind_of_texts_has_not_drifted(database_url: str, pool: Pool) -> None:
    await register(pool, REFERENCE)
    await answer(pool, some_texts(400, "en", seed=5))
    async with monitor(database_url) as client:
        found = await drift_in(client, "24h", counted(400))
        shown = await metrics(client)
    assert not [feature for feature in found["features"].values() if feature["drifted"]]
    assert {value for (name, _, _), value in shown.items() if name.endswith("detected")} == {0}


async def test_a_reference_that_comes_late_is_used_for_what_was_answered_before(
    database_url: str, pool: Pool
) -> None:
    await answer(pool, some_texts(150, "it", seed=6))
    async with monitor(database_url) as client:
        before = await drift_in(client, "1h", lambda found: True)
        assert before["features"] == {}
        assert "has not been read from its artefact yet" in before["unknown"]
        assert await metrics(client) == {}
        await register(pool, REFERENCE)
        after = await drift_in(client, "1h", counted(150))
    assert "unknown" not in after
    assert after["features"]["unseen_words"]["drifted"]


async def test_a_version_that_answers_later_has_all_its_words_looked_up(
    database_url: str, pool: Pool
) -> None:
    await register(pool, REFERENCE)
    async with monitor(database_url) as client:
        assert await eventually(lambda: is_ready(client))
        for _ in range(2):
            await answer(pool, some_texts(100, "en", seed=7))
        found = await drift_in(client, "28d", counted(200))
    assert found["features"]["unseen_words"]["samples"] == 100  # of each ten minutes as many


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200


async def test_a_version_without_a_reference_answers_and_says_why_nothing_is_known(
    database_url: str, pool: Pool
) -> None:
    await register(pool, None)
    await answer(pool, some_texts(150, "it", seed=8))
    async with monitor(database_url) as client:
        found = await drift_in(client, "1h", lambda found: "reference.json" in found["unknown"])
        assert found["features"] == {}
        assert await metrics(client) == {}


async def test_too_few_texts_are_counted_and_nothing_is_said_of_them(
    database_url: str, pool: Pool
) -> None:
    await register(pool, REFERENCE)
    await answer(pool, some_texts(7, "it", seed=9))
    async with monitor(database_url) as client:
        found = await drift_in(client, "1h", lambda found: bool(found["features"]))
        shown = await metrics(client)
    for feature in found["features"].values():
        assert feature["unknown"] == "7 texts are too few to say: it takes 100."
        assert not {"distance", "p_value", "drifted"} & feature.keys()
    assert {name for name, _, _ in shown} == {"sentops_drift_samples"}
    async with transaction(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM drift_figures") == 0


async def test_without_a_database_there_is_no_drift_to_show() -> None:
    async with monitor(f"postgresql://u:p@127.0.0.1:{a_free_port()}/prediction") as client:
        reply = await client.get("/drift")
        assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
        assert await metrics(client) == {}
