"""The figures of drift for Prometheus, by version, window and feature. What is unknown is absent, never 0."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_core.domain.drift import DriftFigures


class DriftCollector(Collector):
    """Reads the figures when somebody scrapes, so a version that is gone takes its series along."""

    def __init__(self, drifts: Callable[[], Sequence[DriftFigures]]) -> None:
        self._drifts = drifts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        distance = _family(
            "sentops_drift_distance_ratio",
            "Jensen-Shannon distance from the training, beyond what chance makes of as many texts.",
        )
        detected = _family(
            "sentops_drift_detected",
            "1 where the feature has moved from the training, far enough and not by chance.",
        )
        samples = _family("sentops_drift_samples", "Texts of the window that were looked at.")
        for figures in self._drifts():
            for one in figures.features:
                labels = (figures.model_version, figures.window, one.feature.value)
                samples.add_metric(labels, one.samples)
                if one.movement is not None:
                    distance.add_metric(labels, one.movement.distance)
                    detected.add_metric(labels, one.movement.drifted)
        yield from (distance, detected, samples)


def _family(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=("version", "window", "feature"))
