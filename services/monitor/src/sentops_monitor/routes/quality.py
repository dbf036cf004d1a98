"""GET /quality: what /metrics says, for people and programs that read JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import Field

from sentops_core.domain.base import Body
from sentops_core.domain.errors import Unavailable
from sentops_core.domain.quality import Accuracy, ClassQuality
from sentops_core.domain.quality_figures import EVERY_LANGUAGE, QualityFigures
from sentops_monitor.deps import WatchDep
from sentops_monitor.round import Figures

router = APIRouter(tags=["quality"])


class Measured(Body):
    """`low` and `high` are the ends of the 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, measured: Accuracy | None) -> "Measured | None":
        if measured is None:
            return None
        return cls(value=measured.value, low=measured.low, high=measured.high)


class FeedbackAccuracy(Body):
    """`low` and `high` are the ends of the 95 % Wilson interval."""

    value: float
    low: float
    high: float
    votes: int

    @classmethod
    def of(cls, accuracy: Accuracy | None) -> "FeedbackAccuracy | None":
        if accuracy is None:
            return None
        return cls(
            value=accuracy.value, low=accuracy.low, high=accuracy.high, votes=accuracy.samples
        )


class LabelScores(Body):
    """Of `answered` votes on answers with the label and `meant` votes for it, `right` are both."""

    right: int
    answered: int
    meant: int
    precision: Measured | None = None
    recall: Measured | None = None

    @classmethod
    def of(cls, scores: ClassQuality) -> "LabelScores":
        return cls(
            right=scores.right,
            answered=scores.answered,
            meant=scores.meant,
            precision=Measured.of(scores.precision),
            recall=Measured.of(scores.recall),
        )


class QualityInLanguage(Body):
    """What is not known is absent: everything but the counts when nobody voted."""

    predictions: int
    votes: int
    feedback_rate: float = Field(description="Votes per prediction.")
    accuracy: FeedbackAccuracy | None = None
    macro_f1: Measured | None = None
    calibration_error: Measured | None = None
    labels: Mapping[str, LabelScores] = Field(default_factory=dict)
    estimated_accuracy: Measured | None = Field(
        default=None, description="Without votes on these answers, from how sure the model was."
    )
    estimate_refused: str | None = Field(
        default=None, description="Why there is no estimated accuracy."
    )

    @classmethod
    def fields_of(cls, figures: QualityFigures) -> dict[str, object]:
        return {
            "predictions": figures.answers,
            "votes": figures.votes,
            "feedback_rate": figures.feedback_rate,
            "accuracy": FeedbackAccuracy.of(figures.accuracy),
            "macro_f1": Measured.of(figures.macro_f1),
            "calibration_error": Measured.of(figures.calibration_error),
            "labels": {label: LabelScores.of(one) for label, one in figures.classes.items()},
            "estimated_accuracy": Measured.of(figures.estimated_accuracy),
            "estimate_refused": figures.estimate_refused,
        }


class Place(Body):
    model_version: str
    window: str


class Quality(QualityInLanguage, Place):
    """One version over one window, in all languages together; the commonest ones also apart."""

    largest_source_share: float | None = Field(
        default=None, description="Share of the votes by the client that gave most."
    )
    languages: Mapping[str, QualityInLanguage]

    @classmethod
    def of(cls, figures: QualityFigures, languages: Mapping[str, QualityFigures]) -> "Quality":
        return cls.model_validate(
            {
                **cls.fields_of(figures),
                "model_version": figures.model_version,
                "window": figures.window,
                "largest_source_share": figures.largest_source_share,
                "languages": {
                    language: QualityInLanguage.model_validate(cls.fields_of(one))
                    for language, one in languages.items()
                },
            }
        )


class QualityReport(Body):
    taken_at: datetime
    versions: tuple[Quality, ...]

    @classmethod
    def of(cls, found: Figures) -> "QualityReport":
        languages: dict[tuple[str, str], dict[str, QualityFigures]] = {}
        for one in found.qualities:
            apart = languages.setdefault((one.model_version, one.window), {})
            if one.language != EVERY_LANGUAGE:
                apart[one.language] = one
        versions = tuple(
            Quality.of(one, languages[one.model_version, one.window])
            for one in found.qualities
            if one.language == EVERY_LANGUAGE
        )
        return cls(taken_at=found.taken_at, versions=versions)


@router.get(
    "/quality",
    summary="What people's votes say of the answers, by version, window and language",
    response_model_exclude_none=True,
)
async def quality(watch: WatchDep) -> QualityReport:
    figures = watch.current(datetime.now(UTC))
    if figures is None:
        raise Unavailable(f"The quality is not known just now: {watch.trouble}")
    return QualityReport.of(figures)
