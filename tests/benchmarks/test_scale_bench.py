"""The bench of growth: that it makes what it says, that each of its operations works, and that it counts rightly."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.support import growth
from benchmarks.support.at_scale import OPERATIONS, place
from benchmarks.support.growth import grow, months_of
from sentops_core.store.pool import open_connection


def test_a_platform_is_a_year_older_with_each_ten_times_as_many_answers() -> None:
    assert [months_of(10**power) for power in (3, 4, 5, 6, 7)] == [1, 1, 12, 24, 36]


def test_growth_is_the_median_of_what_each_round_saw() -> None:
    small, grown = scale.Samples([10, 100, 10], [1, 1, 1]), scale.Samples([12, 130, 90], [2, 2, 2])
    found = scale.figures(OPERATIONS[0], small, grown)
    assert found["growth"] == 1.3
    assert found["growth_from_to"] == [1.2, 9.0]


def test_a_folder_of_an_earlier_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    state = scale.State.of(tmp_path)
    state.filled = 10_000
    state.keep()
    assert scale.State.of(tmp_path) == state
    assert scale.needed_gb([10_000], state) < scale.needed_gb([10_000, 1_000_000], state)


@pytest.mark.pg
async def test_every_operation_works_on_a_small_platform(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "DATASET_ROWS", 200)
    now = datetime.now(UTC)
    connection = await open_connection(database_url)
    await grow(connection, 0, 3000, now=now, say=lambda _: None)
    assert await connection.fetchval("SELECT count(*) FROM predictions") == 3000
    assert await connection.fetchval("SELECT count(*) FROM predictions WHERE shadow") == 30
    assert 60 < await connection.fetchval("SELECT count(*) FROM feedback") < 200
    await connection.close()
    async with place(database_url, now) as at:
        for operation in OPERATIONS:
            if operation.before is not None:
                await operation.before(at)
            await operation.work(at)
