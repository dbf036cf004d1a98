"""Figures of drift by the hour."""

from datetime import datetime, timedelta

import pytest

from sentops_core.domain.drift import DriftFigures, Feature, FeatureDrift, Movement
from sentops_core.store.drift_figures import DriftTable
from sentops_core.store.pool import Connection
from tests.support.rows import NOW

pytestmark = pytest.mark.pg
HOUR = timedelta(hours=1)


def seen(feature: Feature, distance: float = 0.3, *, drifted: bool = True) -> FeatureDrift:
    return FeatureDrift(feature, 500, 900, Movement(distance, 1e-9, 6e-9, drifted))


def figures(
    *features: FeatureDrift, version: str = "sentiment-v1", window: str = "24h"
) -> DriftFigures:
    return DriftFigures(version, window, features)


@pytest.fixture
def table(connection: Connection) -> DriftTable:
    return DriftTable(connection)


async def test_what_is_stored_is_read_back(table: DriftTable) -> None:
    stored = figures(seen(Feature.LABELS, drifted=False), seen(Feature.WORDS))
    await table.save([stored], NOW)
    (found,) = await table.latest(NOW - timedelta(minutes=5))
    assert (found.figures, found.taken_at, found.hour) == (stored, NOW, NOW)
    assert found.drifted == ("words",)


async def test_what_is_not_known_is_not_written(table: DriftTable) -> None:
    unknown = FeatureDrift(Feature.LENGTH, 3, 900, None, "3 texts are too few to say.")
    await table.save([figures(unknown), DriftFigures("sentiment-v2", "1h", (), "no profile")], NOW)
    assert await table.latest(NOW - timedelta(minutes=5)) == []


async def test_of_an_hour_the_newest_round_stays(table: DriftTable) -> None:
    for minutes, distance in ((0, 0.2), (30, 0.3), (10, 0.1)):
        await table.save([figures(seen(Feature.WORDS, distance))], NOW + timedelta(minutes=minutes))
    (found,) = await table.course("sentiment-v1", "24h", since=NOW)
    (feature,) = found.figures.features
    assert feature.movement is not None
    assert feature.movement.distance == 0.3


async def test_what_the_newest_round_could_not_tell_is_not_in_its_hour(
    table: DriftTable,
) -> None:
    """Whoever reads the hour must not take for known what was so a while ago."""
    before = NOW - timedelta(minutes=5)
    await table.save([figures(seen(Feature.WORDS))], before)
    await table.save([figures(seen(Feature.WORDS), seen(Feature.LABELS))], NOW)
    later = NOW + timedelta(minutes=20)
    await table.save([figures(seen(Feature.LABELS))], later)
    earlier_hour, found = await table.course("sentiment-v1", "24h", since=before - HOUR)
    assert (found.drifted, found.taken_at) == (("labels",), later)
    assert earlier_hour.drifted == ("words",)
    await table.save([], later + timedelta(minutes=1))
    assert await table.course("sentiment-v1", "24h", since=NOW) == []


async def test_the_course_is_of_one_version_and_window_by_the_hour(table: DriftTable) -> None:
    hours = [NOW + timedelta(hours=hour) for hour in range(3)]
    for hour in hours:
        await table.save(
            [
                figures(seen(Feature.WORDS)),
                figures(seen(Feature.WORDS), window="7d"),
                figures(seen(Feature.WORDS), version="sentiment-v2"),
            ],
            hour,
        )
    assert [one.hour for one in await table.course("sentiment-v1", "24h", since=hours[1])] == (
        hours[1:]
    )


@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=59)])
async def test_the_newest_round_leaves_out_versions_that_were_gone_by_then(
    table: DriftTable, late: timedelta
) -> None:
    earlier: datetime = NOW + late
    await table.save([figures(seen(Feature.WORDS), version="sentiment-v0")], earlier)
    newest = earlier + timedelta(minutes=2)
    await table.save([figures(seen(Feature.WORDS))], newest)
    found = await table.latest(earlier - timedelta(minutes=5))
    assert [one.figures.model_version for one in found] == ["sentiment-v1"]
    assert await table.latest(newest + timedelta(seconds=1)) == []
