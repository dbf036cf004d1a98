"""What people's votes say about each version, over several windows, as one snapshot of the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sentops_core.domain.quality import Accuracy, accuracy_of
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import Predictions

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "28d": timedelta(days=28),
}


@dataclass(frozen=True)
class VersionQuality:
    """One version over one window of predictions; `accuracy` is None when nobody voted on them."""

    model_version: str
    window: str
    predictions: int
    accuracy: Accuracy | None


@dataclass(frozen=True)
class Snapshot:
    """Versions that answered nothing in a window are absent from it."""

    taken_at: datetime
    qualities: tuple[VersionQuality, ...]


async def take_snapshot(connection: Connection, now: datetime) -> Snapshot:
    found: list[VersionQuality] = []
    for window, length in WINDOWS.items():
        since = now - length
        votes = {one.model_version: one for one in await Feedback(connection).by_version(since)}
        for count in await Predictions(connection).count_by_version(since):
            voted = votes.get(count.model_version)
            found.append(
                VersionQuality(
                    model_version=count.model_version,
                    window=window,
                    predictions=count.predictions,
                    accuracy=accuracy_of(voted.right, voted.votes) if voted else None,
                )
            )
    return Snapshot(now, tuple(found))
