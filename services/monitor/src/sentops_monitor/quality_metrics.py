"""The figures of quality for Prometheus, by version, window and language. What is unknown is absent, never 0."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_core.domain.quality import Accuracy
from sentops_core.domain.quality_figures import EVERY_LANGUAGE, QualityFigures

_LABELS = ("version", "window", "language")
_MEASURES = {  # by what a QualityFigures calls it
    "accuracy": ("sentops_feedback_accuracy", "Share of the window's votes that agree, "),
    "macro_f1": ("sentops_quality_macro_f1", "Mean F1 over the labels that people meant, "),
    "estimated_accuracy": (
        "sentops_estimated_accuracy",
        "Share of answers that are right, estimated from confidence without votes on them, ",
    ),
}
_SHARES_OF_CLASSES = {
    "precision": "Share of the votes on answers with the label that mean it too, ",
    "recall": "Share of the votes for the label whose answer had it, ",
}
_ENDS = {
    "": "the value itself.",
    "_low": "lower end of its 95 % interval.",
    "_high": "upper end of its 95 % interval.",
}


class QualityCollector(Collector):
    """Reads the figures when somebody scrapes, so a version that is gone takes its series along."""

    def __init__(self, qualities: Callable[[], Sequence[QualityFigures]]) -> None:
        self._qualities = qualities

    def collect(self) -> Iterator[GaugeMetricFamily]:
        qualities = self._qualities()
        yield from _counts(qualities)
        for field, (name, documentation) in _MEASURES.items():
            family = _Measured(name, documentation, _LABELS)
            for one in qualities:
                family.add(_labels(one), getattr(one, field))
            yield from family.families
        for field, documentation in _SHARES_OF_CLASSES.items():
            family = _Measured(f"sentops_quality_class_{field}", documentation, (*_LABELS, "label"))
            for one in qualities:
                for label, scores in one.classes.items():
                    family.add((*_labels(one), label), getattr(scores, field))
            yield from family.families


class _Measured:
    """A value and the ends of its interval, as three gauges."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.families = [
            GaugeMetricFamily(f"{name}{end}_ratio", documentation + said, labels=labels)
            for end, said in _ENDS.items()
        ]

    def add(self, labels: Sequence[str], measured: Accuracy | None) -> None:
        if measured is not None:
            values = (measured.value, measured.low, measured.high)
            for family, value in zip(self.families, values, strict=True):
                family.add_metric(labels, value)


def _counts(qualities: Sequence[QualityFigures]) -> Iterator[GaugeMetricFamily]:
    answers = GaugeMetricFamily(
        "sentops_window_predictions",
        "Texts that the version answered in the window.",
        labels=_LABELS,
    )
    votes = GaugeMetricFamily(
        "sentops_feedback_votes", "Votes on the predictions of the window.", labels=_LABELS
    )
    rate = GaugeMetricFamily(
        "sentops_feedback_rate_ratio", "Votes per prediction of the window.", labels=_LABELS
    )
    calibration = GaugeMetricFamily(
        "sentops_quality_calibration_error_ratio",
        "Expected calibration error: how far confidence is from agreement, over ten bins.",
        labels=_LABELS,
    )
    share = GaugeMetricFamily(
        "sentops_feedback_largest_source_share_ratio",
        "Share of the window's votes that came from the one client who gave most.",
        labels=("version", "window"),
    )
    for one in qualities:
        answers.add_metric(_labels(one), one.answers)
        rate.add_metric(_labels(one), one.feedback_rate)
        if one.votes:
            votes.add_metric(_labels(one), one.votes)
        if one.calibration_error is not None:
            calibration.add_metric(_labels(one), one.calibration_error.value)
        if one.language == EVERY_LANGUAGE and one.largest_source_share is not None:
            share.add_metric((one.model_version, one.window), one.largest_source_share)
    yield from (answers, votes, rate, calibration, share)


def _labels(figures: QualityFigures) -> tuple[str, str, str]:
    return figures.model_version, figures.window, figures.language
