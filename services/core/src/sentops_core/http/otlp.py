"""OpenTelemetry's side of requests: FastAPI makes the spans, this sends them by OTLP over HTTP.

Needs the extra `otel`; `export.py` decides whether.
"""

import os
import threading
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sentops_core.trace_context import TraceContext

_LAST_WORDS_SECONDS = 5.0


class _NoWordsOfPeople(SpanProcessor):
    """What somebody searched for is nobody's business where traces are kept."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the interface
        if span.attributes is not None and "url.query" in span.attributes:
            span.set_attribute("url.query", "REDACTED")


class Otlp:
    """Endpoint, headers, sampler, batches and resource attributes: by OpenTelemetry's own variables."""

    def __init__(self, service: str) -> None:
        attributes = {SERVICE_VERSION: version("sentops-core")}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            attributes[SERVICE_NAME] = service
        self.provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self.provider.add_span_processor(_NoWordsOfPeople())
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def current(self) -> TraceContext | None:
        """The span that is made here, by the names that logs and calls give it."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None
        return TraceContext(
            f"{found.trace_id:032x}",
            f"{found.span_id:016x}",
            sampled=found.trace_flags.sampled,
            state=found.trace_state.to_header(),
        )

    def close(self) -> None:
        """Send what is left; a collector that is away holds nobody up for long."""
        last_words = threading.Thread(target=self.provider.shutdown, daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS_SECONDS)
