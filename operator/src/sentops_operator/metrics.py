"""What the operator counts."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True)
class OperatorMetrics:
    converges: Counter
    converge_seconds: Histogram
    queue_depth: Gauge
    api_calls: Counter
    apply_to_job_seconds: Histogram
    training_jobs: Gauge
    model_versions: Gauge
    is_leader: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "OperatorMetrics":
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
            queue_depth=Gauge(
                "sentops_operator_queue_depth",
                "Keys that wait for a worker.",
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
            training_jobs=Gauge(
                "sentops_operator_training_jobs", "TrainingJobs.", ("phase",), registry=registry
            ),
            model_versions=Gauge(
                "sentops_operator_model_versions", "ModelVersions.", ("phase",), registry=registry
            ),
            is_leader=Gauge(
                "sentops_operator_is_leader", "1 on the replica that converges.", registry=registry
            ),
        )

    def count_call(self, verb: str, resource: str, status: int) -> None:
        self.api_calls.labels(verb, resource, str(status)).inc()
