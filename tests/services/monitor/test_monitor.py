"""The monitor as others see it: figures per version and window, and silence where nothing is known."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sentops_core.domain.quality import wilson_interval
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings
from tests.support.eventually import eventually
from tests.support.lifespan import started
from tests.support.postgres import a_free_port
from tests.support.rows import a_prediction, a_vote

pytestmark = pytest.mark.pg


@asynccontextmanager
async def monitor(database_url: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    fields = {"database_url": database_url, "refresh_seconds": 0.1, **settings}
    app = create_monitor(Settings.model_validate(fields))
    async with started(app) as manager:
        transport = httpx.ASGITransport(manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
            yield client


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200


async def metrics(client: httpx.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    found = (
        re.fullmatch(r"(sentops_(?:window|feedback|quality)\S*) (\S+)", line) for line in lines
    )
    return {match[1]: float(match[2]) for match in found if match}


async def store(pool: Pool, rows: list[PredictionRow], agreeing: int, disagreeing: int) -> None:
    votes = [a_vote(row, row.label, after=1) for row in rows[:agreeing]]
    votes += [a_vote(row, "negative", after=1) for row in rows[agreeing : agreeing + disagreeing]]
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).upsert_many(votes)


async def test_a_fresh_install_knows_nothing_and_shows_no_zero(database_url: str) -> None:
    """Defect 13 of the earlier systems: no data was 0, so it alerted at once."""
    async with monitor(database_url) as client:
        assert await eventually(lambda: is_ready(client))
        answer = (await client.get("/quality")).json()
        assert answer["versions"] == []
        shown = await metrics(client)
        assert set(shown) == {"sentops_quality_snapshot_timestamp_seconds"}


async def test_votes_become_figures_per_version_and_window(database_url: str, pool: Pool) -> None:
    """Defect 11: predict, feedback, and the metric moves."""
    now = datetime.now(UTC)
    recent = [a_prediction(now - timedelta(minutes=5), model_version="v2") for _ in range(10)]
    older = [a_prediction(now - timedelta(days=3), model_version="v1") for _ in range(4)]
    async with monitor(database_url) as client:
        assert await eventually(lambda: is_ready(client))
        await store(pool, recent, agreeing=6, disagreeing=2)
        await store(pool, older, agreeing=0, disagreeing=0)
        name = 'sentops_feedback_accuracy_ratio{language="all",version="v2",window="1h"}'

        async def has_both() -> dict[str, float] | None:
            shown = await metrics(client)
            both = (
                name in shown
                and 'sentops_window_predictions{language="all",version="v1",window="7d"}' in shown
            )
            return shown if both else None

        shown = await eventually(has_both)
        low, high = wilson_interval(6, 8)
        assert shown[name] == 0.75
        assert (
            shown['sentops_feedback_accuracy_low_ratio{language="all",version="v2",window="1h"}']
            == low
        )
        assert (
            shown['sentops_feedback_accuracy_high_ratio{language="all",version="v2",window="28d"}']
            == high
        )
        assert shown['sentops_feedback_votes{language="all",version="v2",window="24h"}'] == 8
        assert shown['sentops_window_predictions{language="all",version="v2",window="1h"}'] == 10
        assert shown['sentops_window_predictions{language="all",version="v1",window="7d"}'] == 4
        assert 'sentops_window_predictions{language="all",version="v1",window="24h"}' not in shown
        assert not [key for key in shown if "accuracy" in key and '"v1"' in key]

        report = {
            (one["model_version"], one["window"]): one
            for one in (await client.get("/quality")).json()["versions"]
        }
        assert report["v2", "1h"]["accuracy"] == {
            "value": 0.75,
            "low": low,
            "high": high,
            "votes": 8,
        }
        assert "accuracy" not in report["v1", "7d"]
        whole = report["v2", "1h"]
        assert whole["labels"]["positive"]["precision"] == {
            "value": 0.75,
            "low": low,
            "high": high,
        }
        assert "precision" not in whole["labels"]["negative"]  # never answered
        assert whole["labels"]["negative"]["recall"]["value"] == 0
        assert (whole["votes"], whole["feedback_rate"]) == (8, 0.8)
        assert "Too few votes" in whole["estimate_refused"]
        assert "estimated_accuracy" not in whole
        assert whole["languages"]["en"]["accuracy"] == whole["accuracy"]


async def test_without_a_database_the_monitor_says_so_and_figures_are_absent() -> None:
    url = f"postgresql://u:hidden-word@127.0.0.1:{a_free_port()}/prediction"
    async with monitor(url) as client:
        answer = await client.get("/quality")
        assert answer.status_code == 503
        assert answer.json()["code"] == "unavailable"
        assert "hidden-word" not in answer.text
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503
        assert await metrics(client) == {}

        async def counted() -> bool:
            text = (await client.get("/metrics")).text
            return 'sentops_monitor_failures_total{step="refresh"}' in text

        assert await eventually(counted)


@pytest.mark.parametrize(
    ("accident", "said"),
    [
        ("INSERT INTO schema_migrations VALUES (9000, 'later', 'x')", "upgrade the programs"),
        ("ALTER TABLE tallies_due RENAME TO gone", "the log says why"),
    ],
)
async def test_figures_go_stale_when_they_cannot_be_read_any_more(
    database_url: str, pool: Pool, accident: str, said: str
) -> None:
    await store(pool, [a_prediction(datetime.now(UTC))], agreeing=1, disagreeing=0)
    async with monitor(database_url, refresh_seconds=0.05) as client:
        assert await eventually(lambda: is_ready(client))
        await pool.execute(accident)

        async def unknown() -> bool:
            return not await metrics(client)

        assert await eventually(unknown)
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert said in ready.json()["detail"]


async def test_housekeeping_runs_by_itself(database_url: str, pool: Pool) -> None:
    old = datetime.now(UTC) - timedelta(days=400)
    await store(pool, [a_prediction(old)], agreeing=0, disagreeing=0)

    async def is_dropped() -> bool:
        return await pool.fetchval("SELECT count(*) FROM predictions") == 0

    async def months() -> int:
        found: int = await pool.fetchval(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'predictions'::regclass"
        )
        return found

    async with monitor(database_url, retention_days=30):
        assert await eventually(is_dropped)
        assert await months() == 3


def test_the_program_names_the_setting_it_lacks() -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SENTOPS_")}
    done = subprocess.run(
        [sys.executable, "-m", "sentops_monitor"],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SENTOPS_MONITOR_DATABASE_URL" in done.stderr


async def test_a_first_fill_goes_on_at_once_until_all_is_counted(
    database_url: str, pool: Pool
) -> None:
    """However long the pause between two looks is."""
    now = datetime.now(UTC)
    rows = [a_prediction(now - timedelta(minutes=20 * number)) for number in range(1500)]
    await store(pool, rows, agreeing=len(rows), disagreeing=0)
    name = 'sentops_window_predictions{language="all",version="sentiment-v1",window="28d"}'
    async with monitor(database_url, refresh_seconds=600) as client:

        async def all_counted() -> bool:
            return (await metrics(client)).get(name) == len(rows)

        assert await eventually(all_counted, within=60)
        text = (await client.get("/metrics")).text
        assert "sentops_monitor_tallies_due 0.0" in text
        rounds = re.search(r"sentops_monitor_round_seconds_count (\S+)", text)
        assert rounds is not None
        assert float(rounds[1]) > 1
