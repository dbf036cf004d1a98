"""GET /quality: what /metrics says, for people and programs that read JSON."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from sentops_core.domain.base import Body
from sentops_core.domain.errors import Unavailable
from sentops_core.domain.quality import Accuracy
from sentops_monitor.quality import Snapshot, VersionQuality
from sentops_monitor.watch import Watch

router = APIRouter(tags=["quality"])


def _watch(request: Request) -> Watch:
    watch: Watch = request.state.watch
    return watch


class FeedbackAccuracy(Body):
    """`low` and `high` are the ends of the 95 % Wilson interval."""

    value: float
    low: float
    high: float
    votes: int

    @classmethod
    def of(cls, accuracy: Accuracy) -> "FeedbackAccuracy":
        return cls(
            value=accuracy.value, low=accuracy.low, high=accuracy.high, votes=accuracy.samples
        )


class Quality(Body):
    """One version over one window; `accuracy` is absent when nobody voted."""

    model_version: str
    window: str
    predictions: int
    accuracy: FeedbackAccuracy | None = None

    @classmethod
    def of(cls, quality: VersionQuality) -> "Quality":
        return cls(
            model_version=quality.model_version,
            window=quality.window,
            predictions=quality.predictions,
            accuracy=FeedbackAccuracy.of(quality.accuracy) if quality.accuracy else None,
        )


class QualityReport(Body):
    taken_at: datetime
    versions: tuple[Quality, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "QualityReport":
        versions = tuple(Quality.of(one) for one in snapshot.qualities)
        return cls(taken_at=snapshot.taken_at, versions=versions)


@router.get(
    "/quality",
    summary="Agreement of people's votes, by version and window",
    response_model_exclude_none=True,
)
async def quality(watch: Annotated[Watch, Depends(_watch)]) -> QualityReport:
    snapshot = watch.current(datetime.now(UTC))
    if snapshot is None:
        raise Unavailable(f"The quality is not known just now: {watch.trouble}")
    return QualityReport.of(snapshot)
