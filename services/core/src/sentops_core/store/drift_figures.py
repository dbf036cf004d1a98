"""The figures of drift as the monitor last saw them in each hour: written by it, read by everybody else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import asyncpg

from sentops_core.domain.drift import DriftFigures, Feature, FeatureDrift, Movement
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class SeenDrift:
    """Figures, the hour they stand for, and when they were worked out. Features that nothing can be said of are absent."""

    hour: datetime
    taken_at: datetime
    figures: DriftFigures

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(
            one.feature.value
            for one in self.figures.features
            if one.movement is not None and one.movement.drifted
        )


_SAVE = """
INSERT INTO drift_figures
       (model_version, time_window, feature, hour, taken_at, samples, reference_samples, distance, p_value,
        adjusted_p_value, drifted)
VALUES ($1, $2, $3, date_trunc('hour', $4::timestamptz, 'UTC'), $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (model_version, time_window, feature, hour) DO UPDATE
       SET taken_at = EXCLUDED.taken_at, samples = EXCLUDED.samples, reference_samples = EXCLUDED.reference_samples,
           distance = EXCLUDED.distance, p_value = EXCLUDED.p_value, adjusted_p_value = EXCLUDED.adjusted_p_value,
           drifted = EXCLUDED.drifted
     WHERE drift_figures.taken_at <= EXCLUDED.taken_at
"""
# What an earlier round of the hour could tell and this one cannot is not known any more.
_FORGET = """
DELETE FROM drift_figures
 WHERE hour = date_trunc('hour', $1::timestamptz, 'UTC') AND taken_at < $1
"""
_LATEST = """
SELECT *
  FROM drift_figures
 WHERE hour >= date_trunc('hour', $1::timestamptz, 'UTC') AND taken_at >= $1
   AND taken_at = (SELECT max(taken_at) FROM drift_figures WHERE hour >= date_trunc('hour', $1::timestamptz, 'UTC'))
 ORDER BY model_version, time_window, hour, feature
"""
_COURSE = """
SELECT *
  FROM drift_figures
 WHERE model_version = $1 AND time_window = $2 AND hour >= $3
 ORDER BY model_version, time_window, hour, feature
"""


class DriftTable:
    """The drift_figures table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def save(self, figures: Sequence[DriftFigures], taken_at: datetime) -> None:
        """All that a round found; of each hour the last round's figures stay. What is not known is not written."""
        await self._connection.execute(_FORGET, taken_at)
        await self._connection.executemany(
            _SAVE,
            [
                (
                    one.model_version,
                    one.window,
                    feature.feature.value,
                    taken_at,
                    feature.samples,
                    feature.reference_samples,
                    feature.movement.distance,
                    feature.movement.p_value,
                    feature.movement.adjusted_p_value,
                    feature.movement.drifted,
                )
                for one in figures
                for feature in one.features
                if feature.movement is not None
            ],
        )

    async def latest(self, not_before: datetime) -> list[SeenDrift]:
        """Everything that the newest round found; empty if that was before this moment, for then nothing is known."""
        return _seen(await self._connection.fetch(_LATEST, not_before))

    async def course(self, model_version: str, window: str, *, since: datetime) -> list[SeenDrift]:
        """One version's figures hour by hour, older than 40 days day by day; hours without figures are absent."""
        return _seen(await self._connection.fetch(_COURSE, model_version, window, since))


def _seen(rows: Iterable[asyncpg.Record]) -> list[SeenDrift]:
    def together(row: asyncpg.Record) -> tuple[str, str, datetime]:
        return row["model_version"], row["time_window"], row["hour"]

    found = []
    for (model_version, window, hour), group in groupby(rows, together):
        features = list(group)
        found.append(
            SeenDrift(
                hour=hour,
                taken_at=features[0]["taken_at"],
                figures=DriftFigures(
                    model_version, window, tuple(_feature(row) for row in features)
                ),
            )
        )
    return found


def _feature(row: asyncpg.Record) -> FeatureDrift:
    return FeatureDrift(
        feature=Feature(row["feature"]),
        samples=row["samples"],
        reference_samples=row["reference_samples"],
        movement=Movement(
            distance=row["distance"],
            p_value=row["p_value"],
            adjusted_p_value=row["adjusted_p_value"],
            drifted=row["drifted"],
        ),
    )
