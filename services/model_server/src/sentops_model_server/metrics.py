"""What the model server measures: waiting, computing and loading apart."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sentops_core.inference import Scored

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LOAD_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class ModelMetrics:
    queue_wait: Histogram
    inference: Histogram
    request_texts: Histogram
    queued_texts: Gauge
    refused_texts: Counter
    dropped_texts: Counter
    late_texts: Counter
    truncated_texts: Counter
    predictions: Counter
    cache_hits: Counter
    cache_misses: Counter
    cache_entries: Gauge
    cache_bytes: Gauge
    slot_changes: Counter
    load: Histogram
    serving: Gauge
    # Asking a metric for the series of certain labels costs more than the dictionary.
    _answered: dict[tuple[str, str, str], Counter] = field(default_factory=dict)

    def count_answer(self, slot: str, answer: Scored) -> None:
        labels = slot, answer.label, answer.path
        series = self._answered.get(labels)
        if series is None:
            series = self._answered[labels] = self.predictions.labels(*labels)
        series.inc()
        if answer.truncated:
            self.truncated_texts.inc()

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "ModelMetrics":
        return cls(
            queue_wait=Histogram(
                "sentops_model_queue_wait_seconds",
                "Time a text waited for a free worker.",
                buckets=_SECONDS,
                registry=registry,
            ),
            inference=Histogram(
                "sentops_model_inference_seconds",
                "Time to tokenise and score one text.",
                buckets=_SECONDS,
                registry=registry,
            ),
            request_texts=Histogram(
                "sentops_model_request_texts",
                "Texts per request.",
                buckets=_TEXTS,
                registry=registry,
            ),
            queued_texts=Gauge(
                "sentops_model_queued_texts", "Texts waiting for a worker.", registry=registry
            ),
            refused_texts=Counter(
                "sentops_model_refused_texts_total",
                "Texts answered with 429 because the queue was full.",
                registry=registry,
            ),
            dropped_texts=Counter(
                "sentops_model_dropped_texts_total",
                "Texts not scored because their client had left.",
                registry=registry,
            ),
            late_texts=Counter(
                "sentops_model_late_texts_total",
                "Texts not scored for lack of time: refused at once, or dropped when it had passed.",
                ("outcome",),
                registry=registry,
            ),
            truncated_texts=Counter(
                "sentops_model_truncated_texts_total",
                "Texts longer than the model reads.",
                registry=registry,
            ),
            predictions=Counter(
                "sentops_model_predictions_total",
                "Texts answered.",
                ("slot", "label", "path"),
                registry=registry,
            ),
            cache_hits=Counter(
                "sentops_model_answer_cache_hits_total",
                "Texts answered from the answer cache.",
                registry=registry,
            ),
            cache_misses=Counter(
                "sentops_model_answer_cache_misses_total",
                "Texts that the answer cache did not know.",
                registry=registry,
            ),
            cache_entries=Gauge(
                "sentops_model_answer_cache_entries", "Answers kept.", registry=registry
            ),
            cache_bytes=Gauge(
                "sentops_model_answer_cache_bytes",
                "Memory of the answers kept, about.",
                registry=registry,
            ),
            slot_changes=Counter(
                "sentops_model_slot_changes_total",
                "Attempts to load a version into a slot.",
                ("slot", "outcome"),
                registry=registry,
            ),
            load=Histogram(
                "sentops_model_load_seconds",
                "Time to fetch, load and verify an artefact.",
                buckets=_LOAD_SECONDS,
                registry=registry,
            ),
            serving=Gauge(
                "sentops_model_serving",
                "1 for each version that a slot serves.",
                ("slot", "model_version", "digest"),
                registry=registry,
            ),
        )
