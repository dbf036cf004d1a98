"""The monitor's own figures for Prometheus; those of quality are in quality_metrics. What is unknown is absent, never 0."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_monitor.round import Figures

_ROUND_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True)
class MonitorMetrics:
    failures: Counter
    round_seconds: Histogram

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "MonitorMetrics":
        return cls(
            failures=Counter(
                "sentops_monitor_failures_total",
                "Rounds of the monitor that failed.",
                ("step",),
                registry=registry,
            ),
            round_seconds=Histogram(
                "sentops_monitor_round_seconds",
                "How long it took to count what was new and to work out all figures.",
                buckets=_ROUND_SECONDS,
                registry=registry,
            ),
        )


class RoundCollector(Collector):
    """When the figures were taken, how much is still to be counted, and who serves."""

    def __init__(self, figures: Callable[[], Figures | None]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        taken = GaugeMetricFamily(
            "sentops_quality_snapshot_timestamp_seconds", "When these figures were read."
        )
        due = GaugeMetricFamily(
            "sentops_monitor_tallies_due",
            "Tens of minutes of answers or votes that are still to be counted.",
        )
        serving = GaugeMetricFamily(
            "sentops_serving_since_timestamp_seconds",
            "Since when the version serves everybody.",
            labels=("version",),
        )
        vacant = GaugeMetricFamily(
            "sentops_no_champion_since_timestamp_seconds",
            "Since when a model that answered before has no version to answer with.",
        )
        previous = GaugeMetricFamily(
            "sentops_previous_champion_info",
            "The version that served before this one.",
            labels=("version",),
        )
        if figures := self._figures():
            taken.add_metric((), figures.taken_at.timestamp())
            due.add_metric((), figures.waiting)
            for champion in figures.champions.champions:
                if champion.since is not None:
                    serving.add_metric((champion.model_version,), champion.since.timestamp())
            if figures.champions.none_since is not None:
                vacant.add_metric((), figures.champions.none_since.timestamp())
            for version in figures.champions.previous:
                previous.add_metric((version,), 1)
        yield from (taken, due, serving, vacant, previous)
