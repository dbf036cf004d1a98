"""GET /drift: how far each version's texts and answers have moved from its training."""

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import Field

from sentops_core.domain.base import Body
from sentops_core.domain.drift import DriftFigures, Feature, FeatureDrift
from sentops_core.domain.errors import Unavailable
from sentops_monitor.deps import WatchDep
from sentops_monitor.round import Figures

router = APIRouter(tags=["drift"])


class FeatureReport(Body):
    """One feature; what is not known is absent, and `unknown` says why."""

    feature: Feature
    samples: int = Field(description="Texts of the window that were looked at.")
    reference_samples: int = Field(description="Texts of the training to compare with.")
    distance: float | None = Field(
        default=None,
        description="Jensen-Shannon, 0 to 1, beyond what chance makes of as many texts.",
    )
    p_value: float | None = Field(default=None, description="Of a chi-square test.")
    adjusted_p_value: float | None = Field(
        default=None, description="By Holm, for all features that could be looked at together."
    )
    drifted: bool | None = None
    unknown: str | None = None

    @classmethod
    def of(cls, drift: FeatureDrift) -> "FeatureReport":
        movement = drift.movement
        return cls(
            feature=drift.feature,
            samples=drift.samples,
            reference_samples=drift.reference_samples,
            distance=movement.distance if movement else None,
            p_value=movement.p_value if movement else None,
            adjusted_p_value=movement.adjusted_p_value if movement else None,
            drifted=movement.drifted if movement else None,
            unknown=drift.unknown,
        )


class Drift(Body):
    """One version over one window; without features where there is nothing to compare with."""

    model_version: str
    window: str
    features: tuple[FeatureReport, ...]
    unknown: str | None = None

    @classmethod
    def of(cls, figures: DriftFigures) -> "Drift":
        return cls(
            model_version=figures.model_version,
            window=figures.window,
            features=tuple(FeatureReport.of(one) for one in figures.features),
            unknown=figures.unknown,
        )


class DriftReport(Body):
    taken_at: datetime
    versions: tuple[Drift, ...]

    @classmethod
    def of(cls, found: Figures) -> "DriftReport":
        return cls(taken_at=found.taken_at, versions=tuple(Drift.of(one) for one in found.drifts))


@router.get(
    "/drift",
    summary="How far texts and answers have moved from the training, by version and window",
    response_model_exclude_none=True,
)
async def drift(watch: WatchDep) -> DriftReport:
    figures = watch.current(datetime.now(UTC))
    if figures is None:
        raise Unavailable(f"The drift is not known just now: {watch.trouble}")
    return DriftReport.of(figures)
