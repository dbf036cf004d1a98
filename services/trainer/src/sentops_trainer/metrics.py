"""What the control plane counts; names are shared with the operator where the meaning is the same."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class ConvergeMetrics:
    converges: Counter
    training_jobs: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "ConvergeMetrics":
        return cls(
            converges=Counter(
                "sentops_converges_total",
                "Times a resource was brought a step nearer to its spec.",
                ("kind", "outcome"),
                registry=registry,
            ),
            training_jobs=Gauge(
                "sentops_training_jobs", "Open training jobs.", ("phase",), registry=registry
            ),
        )


@dataclass(frozen=True)
class MirrorMetrics:
    rounds: Counter
    last_round: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "MirrorMetrics":
        return cls(
            rounds=Counter(
                "sentops_mirror_rounds_total",
                "Times the custom resources were written into the tables.",
                ("outcome",),
                registry=registry,
            ),
            last_round=Gauge(
                "sentops_mirror_last_round_timestamp_seconds",
                "When the custom resources were last looked at without trouble.",
                registry=registry,
            ),
        )
