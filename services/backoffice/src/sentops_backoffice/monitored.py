"""What the monitor says of the version that serves, as the overview shows it. What it does not say is unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sentops_core.domain.drift import Feature, FeatureDrift
from sentops_core.domain.quality import Accuracy
from sentops_core.domain.quality_figures import EVERY_LANGUAGE, WINDOWS, QualityFigures
from sentops_core.domain.retrain import FRESH_FOR
from sentops_core.store.drift_figures import DriftTable
from sentops_core.store.pool import Connection
from sentops_core.store.quality_figures import QualityTable
from sentops_core.store.shown_figures import Point, ShownFigures

DAY, WEEK = "24h", "7d"
# How far back the course of a window is shown, and in which steps.
_COURSES = {
    "1h": (timedelta(hours=24), timedelta(hours=1)),
    "24h": (timedelta(days=7), timedelta(hours=3)),
    "7d": (timedelta(days=28), timedelta(days=1)),
    "28d": (timedelta(days=28), timedelta(days=1)),
}


@dataclass(frozen=True)
class Drifts:
    """Of one window, by feature; features that nothing can be said of are absent."""

    features: Mapping[Feature, FeatureDrift] = field(default_factory=dict)

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(
            name.value
            for name, one in self.features.items()
            if one.movement and one.movement.drifted
        )


@dataclass(frozen=True)
class Course:
    """Of the champion and the version before it, at the same `hours`."""

    hours: tuple[datetime, ...]
    champion: Mapping[datetime, Point]
    previous: Mapping[datetime, Point]


@dataclass(frozen=True)
class Monitored:
    """`taken_at` is of the newest figures, however old; `qualities` and `drifts` are of fresh ones alone.

    `mix` and `mix_before` count answers by label: over the chosen window, and for the held-out texts of the training.
    """

    taken_at: datetime | None
    fresh: bool
    champion: str | None
    previous: str | None
    window: str
    qualities: Mapping[tuple[str, str], QualityFigures]
    drifts: Mapping[str, Drifts]
    course: Course
    mix: Mapping[str, int]
    mix_before: Mapping[str, int]

    def quality(self, window: str, version: str | None = None) -> QualityFigures | None:
        """The champion's, if no other is named."""
        return self.qualities.get((version or self.champion or "", window))

    def accuracies(self, version: str | None = None) -> dict[str, Accuracy]:
        """By window, where it is known."""
        found = {window: self.quality(window, version) for window in WINDOWS}
        return {window: one.accuracy for window, one in found.items() if one and one.accuracy}


async def monitored(
    connection: Connection,
    *,
    champion: str | None,
    previous: str | None,
    window: str = WEEK,
    now: datetime,
) -> Monitored:
    shown = ShownFigures(connection)
    taken_at = await shown.taken_at()
    not_before = now - FRESH_FOR
    fresh = taken_at is not None and taken_at >= not_before
    seen = await QualityTable(connection).latest(not_before) if fresh else []
    drifts = await DriftTable(connection).latest(not_before) if fresh else []
    versions = [one for one in (champion, previous) if one is not None]
    hours = hours_of(window, now)
    points = await shown.course(versions, window, hours)
    return Monitored(
        taken_at=taken_at,
        fresh=fresh,
        champion=champion,
        previous=previous,
        window=window,
        qualities={
            (one.figures.model_version, one.figures.window): one.figures
            for one in seen
            if one.figures.language == EVERY_LANGUAGE
        },
        drifts={
            one.figures.window: Drifts({each.feature: each for each in one.figures.features})
            for one in drifts
            if one.figures.model_version == champion
        },
        course=Course(hours, _of(points, champion), _of(points, previous)),
        mix=await shown.labels_since(champion, now - WINDOWS[window]) if champion else {},
        mix_before=await shown.labels_of_held_out(champion) if champion else {},
    )


def hours_of(window: str, now: datetime) -> tuple[datetime, ...]:
    """Oldest first; the last one is the hour that runs."""
    length, step = _COURSES[window]
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return tuple(last - step * number for number in range(length // step, -1, -1))


def _of(points: Sequence[Point], version: str | None) -> dict[datetime, Point]:
    return {one.hour: one for one in points if one.model_version == version}
