"""Whether requests are sent to a collector of traces: as the standard OTEL_* variables say, and not by default.

Off, FastAPI's own telemetry is too, and nothing but the interfaces that FastAPI needs is imported of OpenTelemetry.
"""

import os
from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any, Protocol

import structlog
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider

from sentops_core.trace_context import TraceContext

log = structlog.get_logger()

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# Asked every few seconds by orchestrators and scrapers: they would bury what people did.
_NOT_TOLD = ("/health", "/metrics")


class Export(Protocol):
    """Spans on their way to a collector."""

    provider: TracerProvider

    def current(self) -> TraceContext | None: ...
    def close(self) -> None: ...


def export_from(service: str, environment: Mapping[str, str] = os.environ) -> Export | None:
    """None when no traces are wanted, or when OpenTelemetry's SDK is not installed, which is said."""
    if not _wanted(environment):
        return None
    try:
        found: Export = import_module("sentops_core.http.otlp").Otlp(service)
    except ModuleNotFoundError as error:
        log.warning("traces_not_exported", missing=error.name, remedy="install sentops-core[otel]")
        return None
    return found


def telemetry(export: Export | None) -> TelemetryConfig:
    """For FastAPI: spans of requests, if anything. Prometheus has the metrics, and our logs what failed and why."""
    return {
        "tracing": export is not None,
        "tracer_provider": export.provider if export is not None else None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": _is_not_told,
    }


def _is_not_told(scope: MutableMapping[str, Any]) -> bool:
    path: str = scope["path"]
    return path.startswith(_NOT_TOLD)


def _wanted(environment: Mapping[str, str]) -> bool:
    """Somebody says where to, and nobody turns it off again."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    by_otlp = environment.get("OTEL_TRACES_EXPORTER", "") in {"otlp", ""}
    return by_otlp and not disabled and any(environment.get(name) for name in _ENDPOINTS)
