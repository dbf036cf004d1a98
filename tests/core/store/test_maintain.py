"""Housekeeping: months ahead, retention from the environment, and a reader that is in the way."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from sentops_core.domain.errors import InvalidInput
from sentops_core.store.maintain import Maintenance, maintain, retention_of
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.tokens import Role
from sentops_core.store.users import Sessions, Users
from tests.support.rows import NOW, a_prediction


def test_no_retention_keeps_everything() -> None:
    assert retention_of(None) is None
    assert retention_of("") is None
    assert retention_of("90") == timedelta(days=90)


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "a year", "99999999"])
def test_a_retention_that_is_no_number_of_days_is_refused(days: str) -> None:
    with pytest.raises(InvalidInput, match="whole days"):
        retention_of(days)


@pytest.mark.pg
async def test_what_is_due_is_done_once(connection: Connection) -> None:
    await Predictions(connection).copy_in([a_prediction(NOW - timedelta(days=100))])
    await Users(connection).create("anna", "hash", Role.VIEWER)
    await Sessions(connection).start("anna", expires_at=NOW - timedelta(minutes=1))

    kept = await maintain(connection, now=NOW, limit=None)
    assert kept.dropped == ()
    assert kept.made == ("predictions_2026_11", "predictions_2026_12", "predictions_2027_01")
    assert kept.sessions == 1

    done = await maintain(connection, now=NOW, limit=timedelta(days=30))
    assert done == Maintenance(dropped=("predictions_2026_08",))
    assert await maintain(connection, now=NOW, limit=timedelta(days=30)) == Maintenance()


@pytest.mark.pg
async def test_a_month_that_somebody_reads_is_dropped_another_time(database_url: str) -> None:
    ours, reader = await open_connection(database_url), await open_connection(database_url)
    async with ours.transaction():
        await Predictions(ours).copy_in([a_prediction(NOW - timedelta(days=100))])
    async with reader.transaction():
        await reader.fetch("SELECT id FROM predictions")
        blocked = await maintain(ours, now=NOW, limit=timedelta(days=30))
    assert blocked.postponed
    later = await maintain(ours, now=NOW, limit=timedelta(days=30))
    assert later.dropped == ("predictions_2026_08",)
    for one in (ours, reader):
        await one.close()


@pytest.mark.pg
async def test_the_command_reads_its_retention_from_the_environment(database_url: str) -> None:
    connection = await open_connection(database_url)
    old = datetime.now(UTC) - timedelta(days=400)
    async with connection.transaction():
        await Predictions(connection).copy_in([a_prediction(old)])
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "sentops_core.store.maintain"],
        env=os.environ | {"SENTOPS_DATABASE_URL": database_url, "SENTOPS_RETENTION_DAYS": "30"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"predictions_{old:%Y_%m}" in done.stderr
    assert await connection.fetchval("SELECT count(*) FROM predictions") == 0
    await connection.close()
