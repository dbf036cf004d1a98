"""What the monitor says of the quality of one version, in one window and language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sentops_core.domain.calibration import calibration_error_of
from sentops_core.domain.estimation import VoteHalves, estimate_of
from sentops_core.domain.intervals import macro_f1_of
from sentops_core.domain.quality import Accuracy, ClassQuality, accuracy_of, classes_of, right_of
from sentops_core.domain.tallies import AnswerTally, VoteTally

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "28d": timedelta(days=28),
}
EVERY_LANGUAGE = "all"
UNKNOWN_LANGUAGE = "unknown"


@dataclass(frozen=True)
class QualityFigures:
    """What is not known is None. `answers` is never 0: a version that answered nothing has no figures.

    `largest_source_share` is of every language's votes, so it is known for 'all' alone.
    """

    model_version: str
    window: str
    language: str
    answers: int
    votes: int
    accuracy: Accuracy | None = None
    macro_f1: Accuracy | None = None
    calibration_error: Accuracy | None = None
    classes: Mapping[str, ClassQuality] = field(default_factory=dict)
    estimated_accuracy: Accuracy | None = None
    estimate_refused: str | None = None
    largest_source_share: float | None = None

    @property
    def feedback_rate(self) -> float:
        """Votes per answer."""
        return self.votes / self.answers


def figures_of(
    model_version: str,
    window: str,
    language: str,
    answers: AnswerTally,
    votes: VoteTally,
    *,
    evidence: VoteHalves,
    largest_source_share: float | None = None,
) -> QualityFigures:
    """`evidence` is what the estimate is learnt from: votes of four weeks on this version, in this language."""
    estimate = estimate_of(answers, evidence)
    return QualityFigures(
        model_version=model_version,
        window=window,
        language=language,
        answers=answers.answers,
        votes=votes.votes,
        accuracy=accuracy_of(right_of(votes), votes.votes),
        macro_f1=macro_f1_of(votes.confusion),
        calibration_error=calibration_error_of(votes),
        classes=classes_of(votes),
        estimated_accuracy=estimate.accuracy,
        estimate_refused=estimate.refused,
        largest_source_share=largest_source_share,
    )
