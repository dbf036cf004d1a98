"""What the operator counts."""

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB
from sentops_operator.object_cache import ObjectCache
from sentops_operator.work_queue import WorkQueue


@dataclass(frozen=True)
class OperatorMetrics:
    converges: Counter
    converge_seconds: Histogram
    api_calls: Counter
    apply_to_job_seconds: Histogram
    is_leader: Gauge

    @classmethod
    def on(
        cls, registry: CollectorRegistry, cache: ObjectCache, queue: WorkQueue
    ) -> "OperatorMetrics":
        registry.register(_Resources(cache))
        depth = Gauge(
            "sentops_operator_queue_depth", "Keys that wait for a worker.", registry=registry
        )
        depth.set_function(lambda: queue.depth)
        return cls(
            converges=Counter(
                "sentops_operator_converges_total",
                "Times a TrainingJob or a model was brought a step nearer to its spec.",
                ("kind", "outcome"),
                registry=registry,
            ),
            converge_seconds=Histogram(
                "sentops_operator_converge_seconds",
                "How long one converge took.",
                ("kind",),
                registry=registry,
            ),
            api_calls=Counter(
                "sentops_operator_api_calls_total",
                "Calls of the Kubernetes API; code 0: no answer.",
                ("verb", "resource", "code"),
                registry=registry,
            ),
            apply_to_job_seconds=Histogram(
                "sentops_operator_apply_to_job_seconds",
                "From the first sight of a TrainingJob to the creation of its first Job.",
                buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
                registry=registry,
            ),
            is_leader=Gauge(
                "sentops_operator_is_leader", "1 on the replica that converges.", registry=registry
            ),
        )

    def count_call(self, verb: str, resource: str, status: int) -> None:
        self.api_calls.labels(verb, resource, str(status)).inc()


class _Resources(Collector):
    """Custom resources by phase, counted when asked for."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for kind, name in (
            (TRAINING_JOB, "sentops_operator_training_jobs"),
            (MODEL_VERSION, "sentops_operator_model_versions"),
        ):
            family = GaugeMetricFamily(name, f"{kind.name}s of the cluster.", labels=["phase"])
            statuses = (found.get("status") or {} for found in self._cache.all_of(kind))
            phases = Tally(status.get("phase", "Pending") for status in statuses)
            for phase, count in sorted(phases.items()):
                family.add_metric([phase], count)
            yield family
