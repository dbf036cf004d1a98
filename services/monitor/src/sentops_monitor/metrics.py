"""The monitor's figures for Prometheus. What is unknown is absent, never 0."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_monitor.quality import Snapshot

_LABELS = ("version", "window")


@dataclass(frozen=True)
class MonitorMetrics:
    failures: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "MonitorMetrics":
        return cls(
            failures=Counter(
                "sentops_monitor_failures_total",
                "Rounds of the monitor that failed.",
                ("step",),
                registry=registry,
            )
        )


class QualityCollector(Collector):
    """Reads the snapshot when somebody scrapes, so a version that is gone takes its series along."""

    def __init__(self, snapshot: Callable[[], Snapshot | None]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[GaugeMetricFamily]:
        snapshot = self._snapshot()
        predictions = _family(
            "sentops_window_predictions", "Texts that the version answered in the window."
        )
        votes = _family("sentops_feedback_votes", "Votes on the predictions of the window.")
        accuracy = _family(
            "sentops_feedback_accuracy_ratio", "Share of those votes that agree with the answer."
        )
        low = _family(
            "sentops_feedback_accuracy_low_ratio",
            "Lower end of the accuracy's 95 % Wilson interval.",
        )
        high = _family(
            "sentops_feedback_accuracy_high_ratio",
            "Upper end of the accuracy's 95 % Wilson interval.",
        )
        for one in snapshot.qualities if snapshot else ():
            labels = (one.model_version, one.window)
            predictions.add_metric(labels, one.predictions)
            if one.accuracy is not None:
                votes.add_metric(labels, one.accuracy.samples)
                accuracy.add_metric(labels, one.accuracy.value)
                low.add_metric(labels, one.accuracy.low)
                high.add_metric(labels, one.accuracy.high)
        taken = GaugeMetricFamily(
            "sentops_quality_snapshot_timestamp_seconds", "When these figures were read."
        )
        if snapshot:
            taken.add_metric((), snapshot.taken_at.timestamp())
        yield from (predictions, votes, accuracy, low, high, taken)


def _family(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=_LABELS)
