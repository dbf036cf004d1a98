"""What web counts besides the requests that every service counts."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class WebMetrics:
    predictions: Counter
    fallbacks: Counter
    shadows: Counter
    votes: Counter
    rate_limited: Counter
    spool_rows: Gauge
    spool_bytes: Gauge
    spool_filled: Gauge
    spool_oldest_age: Gauge
    spool_refusals: Counter
    database_rows: Counter
    database_failures: Counter
    database_refused_rows: Counter
    routing_revision: Gauge
    routing_age: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "WebMetrics":
        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=registry)

        return cls(
            predictions=counter(
                "sentops_web_predictions_total",
                "Texts answered and recorded.",
                ("variant", "model_version", "label"),
            ),
            fallbacks=counter(
                "sentops_web_fallbacks_total",
                "Requests that a failing candidate left to the champion.",
            ),
            shadows=counter(
                "sentops_web_shadow_texts_total",
                "Texts shown to a shadow, by what became of them.",
                ("outcome",),
            ),
            votes=counter(
                "sentops_web_votes_total",
                "Votes recorded, by whether they agree with the answer ('unknown': answer not at hand).",
                ("agreement",),
            ),
            rate_limited=counter(
                "sentops_web_rate_limited_total", "Requests refused because one client asked a lot."
            ),
            spool_rows=gauge("sentops_web_spool_rows", "Rows on disk, not yet in the database."),
            spool_bytes=gauge("sentops_web_spool_bytes", "Their size."),
            spool_filled=gauge(
                "sentops_web_spool_filled_ratio",
                "Share of the room for them in use, in rows or bytes, whichever ends first.",
            ),
            spool_oldest_age=gauge(
                "sentops_web_spool_oldest_age_seconds",
                "How long the oldest of them waits; 0 when none does.",
            ),
            spool_refusals=counter(
                "sentops_web_spool_refusals_total", "Requests refused because the spool was full."
            ),
            database_rows=counter(
                "sentops_web_database_rows_total", "Rows moved to the database.", ("kind",)
            ),
            database_failures=counter(
                "sentops_web_database_failures_total", "Moves that failed and will be tried again."
            ),
            database_refused_rows=counter(
                "sentops_web_database_refused_rows_total",
                "Rows that the database will never take; kept aside in the spool.",
            ),
            routing_revision=gauge(
                "sentops_web_routing_revision", "Revision of the routing in use."
            ),
            routing_age=gauge(
                "sentops_web_routing_age_seconds",
                "Since the trainer last confirmed the routing; NaN when it never did.",
            ),
        )
