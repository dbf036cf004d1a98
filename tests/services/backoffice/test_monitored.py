"""What the overview says of the monitor's figures: fresh ones, old ones, none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sentops_core.domain.drift import DriftFigures, Feature, FeatureDrift, Movement
from sentops_core.domain.quality import accuracy_of
from sentops_core.domain.quality_figures import QualityFigures
from sentops_core.domain.resources import Variant
from sentops_core.store.drift_figures import DriftTable
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection, Pool
from sentops_core.store.predictions import Predictions
from sentops_core.store.quality_figures import QualityTable
from sentops_core.store.routing import RoutingTable
from tests.services.backoffice.support import Browser
from tests.support.builders import a_digest, a_model_version
from tests.support.rows import a_prediction

pytestmark = pytest.mark.pg
INDEX = "/backoffice/index"
SECTION = '<section class="card" aria-labelledby="monitored">'


def figures(version: str, right: int, votes: int, window: str = "7d") -> QualityFigures:
    return QualityFigures(
        model_version=version,
        window=window,
        language="all",
        answers=400,
        votes=votes,
        accuracy=accuracy_of(right, votes),
        estimate_refused="Too few votes to try the estimate on.",
    )


def drifts(version: str, *, drifted: bool) -> DriftFigures:
    moved = Movement(0.31, 1e-9, 1e-8, drifted=True)
    steady = Movement(0.01, 0.4, 1.0, drifted=False)
    return DriftFigures(
        version,
        "24h",
        (
            FeatureDrift(Feature.LENGTH, 400, 1000, steady),
            FeatureDrift(Feature.WORDS, 400, 1000, moved if drifted else steady),
        ),
    )


async def serve(connection: Connection) -> None:
    """sentiment-v2 answers, v1 did before; somebody was answered."""
    variant = Variant(
        name="champion", url="http://model", model_version="sentiment-v2", digest=a_digest(), weight=100
    )  # fmt: skip
    for number in (1, 2):
        version = a_model_version(number)
        await ModelVersions(connection).create(version, created_by="anna", training_job=None)
    await RoutingTable(connection).save(
        "sentiment", [variant], champion="sentiment-v2", previous_champion="sentiment-v1"
    )
    row = a_prediction(datetime.now(UTC), "Ottimo", model_version="sentiment-v2")
    await Predictions(connection).copy_in([row])


async def measured(pool: Pool, *found: QualityFigures, age: timedelta = timedelta()) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await serve(connection)
        await QualityTable(connection).save(found, datetime.now(UTC) - age)


async def monitor_of(api: httpx.AsyncClient) -> tuple[dict[str, Any], list[str]]:
    answer = (await api.get("/backoffice/api/overview")).json()
    return answer["monitor"], [one["kind"] for one in answer["needs"]]


async def test_fresh_figures_are_said_with_their_interval_and_count_as_the_quality(
    api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    await measured(pool, figures("sentiment-v2", 180, 200))
    monitor, kinds = await monitor_of(api)
    assert monitor["fresh"] is True
    [window] = monitor["windows"]
    assert window["accuracy"]["value"] == 0.9
    assert window["accuracy"]["low"] < 0.9 < window["accuracy"]["high"]
    assert "estimated_accuracy" not in window
    assert window["estimate_refused"].startswith("Too few votes")
    assert kinds == []
    serving = (await api.get("/backoffice/api/overview")).json()["serving"]
    assert serving[0]["quality"]["votes"] == 200  # there is no row of a vote: it is the monitor's
    page = (await admin.client.get(INDEX)).text
    assert "90.0\N{NO-BREAK SPACE}% right" in page
    part = page.partition(SECTION)[2]
    assert part.count("not known") >= 3 * 3  # the other windows' measures
    assert "<b>0.0" not in part.partition("</table>")[0]


async def test_old_figures_are_no_figures_of_now(
    api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    await measured(pool, figures("sentiment-v2", 180, 200), age=timedelta(hours=3))
    monitor, kinds = await monitor_of(api)
    assert (monitor["fresh"], monitor["windows"]) == (False, [])
    assert kinds == ["figures_stale"]
    page = (await admin.client.get(INDEX)).text
    assert "3 hours ago" in page
    assert "Quality unknown" in page
    assert "90.0\N{NO-BREAK SPACE}% right" not in page


async def test_without_any_figures_the_monitor_is_asked_after(
    api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    monitor, kinds = await monitor_of(api)
    assert monitor == {"fresh": False, "windows": [], "drift": []}
    assert kinds == ["nothing_serves"]  # a fresh install misses no figures
    async with pool.acquire() as connection, connection.transaction():
        await serve(connection)
    assert (await monitor_of(api))[1] == ["figures_missing"]
    assert "Nothing has been measured yet" in (await admin.client.get(INDEX)).text


async def test_quality_that_is_surely_low_needs_somebody(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    await measured(pool, figures("sentiment-v2", 60, 120))
    assert (await monitor_of(api))[1] == ["quality_low"]


async def test_quality_surely_under_that_of_the_version_before_needs_somebody(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    before = figures("sentiment-v1", 950, 1000, window="28d")
    await measured(pool, figures("sentiment-v2", 160, 200), before)
    assert (await monitor_of(api))[1] == ["quality_worse"]


async def test_drift_needs_somebody_and_is_said_by_feature(
    api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    await measured(pool, figures("sentiment-v2", 180, 200))
    async with pool.acquire() as connection, connection.transaction():
        await DriftTable(connection).save([drifts("sentiment-v2", drifted=True)], datetime.now(UTC))
    monitor, kinds = await monitor_of(api)
    assert kinds == ["drifted"]
    assert {one["feature"]: one["drifted"] for one in monitor["drift"]} == {
        "length": False,
        "words": True,
    }
    page = (await admin.client.get(f"{INDEX}?window=24h&lang=it")).text
    assert "non è più ciò su cui è stata addestrata: Parole." in page
    assert "/backoffice/runbook#sentopsdrift" in page
    assert page.count(">non si sa</span>") == 4  # features that nothing can be said of
    assert "0,310" in page


async def test_a_window_that_there_is_not_is_the_usual_one(admin: Browser) -> None:
    assert (await admin.client.get(f"{INDEX}?window=2d")).status_code == 200
