"""What the control plane counts; names are shared with the operator where the meaning is the same."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_core.domain.resources import RetrainOutcome


@dataclass(frozen=True)
class ConvergeMetrics:
    converges: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "ConvergeMetrics":
        return cls(
            converges=Counter(
                "sentops_converges_total",
                "Times a resource was brought a step nearer to its spec.",
                ("kind", "outcome"),
                registry=registry,
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


class MlflowFigures(Collector):
    """How far MLflow is behind; what is not known yet, or known by another replica, is absent."""

    def __init__(self) -> None:
        self.behind: Mapping[str, int] | None = None  # by kind
        self.succeeded_at: datetime | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        behind = GaugeMetricFamily(
            "sentops_mlflow_behind",
            "Training jobs, versions and aliases that MLflow does not know as they are.",
            labels=("kind",),
        )
        for kind, count in (self.behind or {}).items():
            behind.add_metric((kind,), count)
        succeeded = GaugeMetricFamily(
            "sentops_mlflow_last_success_timestamp_seconds",
            "When MLflow was last brought up to date without trouble.",
        )
        if self.succeeded_at is not None:
            succeeded.add_metric((), self.succeeded_at.timestamp())
        yield from (behind, succeeded)


class RetrainFigures(Collector):
    """When each policy was last decided on, by this replica; a policy that is gone is absent."""

    def __init__(self, decisions: Counter) -> None:
        self._decisions = decisions
        self.decided_at: dict[str, datetime] = {}

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "RetrainFigures":
        decisions = Counter(
            "sentops_retrain_decisions_total",
            "Looks at a retraining policy, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        for outcome in (*RetrainOutcome, "Failed"):
            decisions.labels(outcome)
        figures = cls(decisions)
        registry.register(figures)
        return figures

    def count(self, outcome: str, policy: str, now: datetime) -> None:
        self._decisions.labels(outcome).inc()
        self.decided_at[policy] = now

    def keep(self, policies: Collection[str]) -> None:
        for name in set(self.decided_at) - set(policies):
            del self.decided_at[name]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "sentops_retrain_last_decision_timestamp_seconds",
            "When a retraining policy was last decided on.",
            labels=("policy",),
        )
        for name, moment in self.decided_at.items():
            family.add_metric((name,), moment.timestamp())
        yield family
