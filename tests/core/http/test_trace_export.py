"""Traces reach a collector by OTLP when the standard variables name one, and cost nothing when they do not."""

import gzip
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sentops_core import trace_context
from sentops_core.http import create_app, export
from sentops_core.http.outgoing import CARRIES_TRACE
from sentops_core.process_metrics import new_registry
from sentops_core.trace_context import TraceContext
from tests.support.lifespan import started

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collector:
    """Takes OTLP over HTTP and keeps what it was sent."""

    url: str = ""
    paths: set[str] = field(default_factory=set)
    headers: list[str | None] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    def spans(self, service: str = "sentops-test") -> dict[str, Span]:
        """By name."""
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            if attributes(resource.resource)["service.name"] == service
            for scope in resource.scope_spans
            for span in scope.spans
        }


def attributes(holder: Any) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in holder.attributes
    }


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    seen = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            seen.paths.add(self.path)
            seen.headers.append(self.headers["x-tenant"])
            seen.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.url)
    yield seen
    server.shutdown()
    server.server_close()


def an_app(title: str, neighbour: httpx.ASGITransport | None = None) -> FastAPI:
    router = APIRouter()

    @router.get("/things/{number}", summary="One thing")
    async def thing(number: int) -> dict[str, str]:
        found = trace_context.current()
        assert found is not None
        if neighbour is not None:
            async with httpx.AsyncClient(
                transport=neighbour, base_url="http://neighbour", event_hooks=CARRIES_TRACE
            ) as client:
                await client.get("/things/2")
        return {"trace_id": found.trace_id, "span_id": found.span_id, "state": found.state}

    @router.get("/defect", summary="Broken")
    async def defect() -> None:
        raise RuntimeError("secret detail")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        yield {}

    return create_app(title, lifespan=lifespan, routers=[router], registry=new_registry("test"))


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """What it recorded has been sent when the block ends."""
    async with started(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://own") as client:
            yield client


async def test_a_request_is_a_span_of_its_callers_trace(collector: Collector) -> None:
    caller = TraceContext(TRACE, SPAN, sampled=True, state="vendor=1")
    async with running(an_app("Sentops test")) as client:
        headers = {"traceparent": caller.traceparent, "tracestate": caller.state}
        found = (await client.get("/things/1", headers=headers)).json()
    (span,) = collector.spans().values()
    assert collector.paths == {"/v1/traces"}
    assert (span.name, span.kind) == ("GET /things/{number}", Span.SPAN_KIND_SERVER)
    assert span.trace_id.hex() == found["trace_id"] == TRACE
    assert span.parent_span_id.hex() == SPAN
    assert span.span_id.hex() == found["span_id"]  # the one that the log lines name
    assert found["state"] == span.trace_state == "vendor=1"
    assert (
        attributes(span).items()
        >= {
            "http.request.method": "GET",
            "http.route": "/things/{number}",
            "http.response.status_code": 200,
        }.items()
    )
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


async def test_two_programs_make_one_trace(collector: Collector) -> None:
    neighbour = an_app("Sentops neighbour")
    async with (
        running(neighbour),
        running(an_app("Sentops test", httpx.ASGITransport(neighbour))) as client,
    ):
        await client.get("/things/1")
    (own,) = collector.spans().values()
    (other,) = collector.spans("sentops-neighbour").values()
    assert own.parent_span_id == b""
    assert other.trace_id == own.trace_id
    assert other.parent_span_id == own.span_id


async def test_a_defect_is_an_error_and_a_missing_page_is_none(collector: Collector) -> None:
    async with running(an_app("Sentops test")) as client:
        await client.get("/defect")
        await client.get("/nowhere")
    spans = collector.spans()
    assert spans["GET /defect"].status.code == Status.STATUS_CODE_ERROR
    assert spans["GET"].status.code == Status.STATUS_CODE_UNSET
    assert "secret" not in str(collector.requests)


async def test_what_people_search_for_stays_here(collector: Collector) -> None:
    async with running(an_app("Sentops test")) as client:
        await client.get("/things/1?q=a+secret+of+mine")
    (span,) = collector.spans().values()
    assert attributes(span)["url.query"] == "REDACTED"
    assert "secret" not in str(collector.requests)


async def test_probes_and_scrapes_are_not_told(collector: Collector) -> None:
    async with running(an_app("Sentops test")) as client:
        for path in ("/health", "/health/live", "/metrics"):
            assert (await client.get(path)).status_code == 200
    assert collector.requests == []


async def test_the_standard_variables_are_heeded(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    async with running(an_app("Sentops test")) as client:
        await client.get("/things/1")
    assert list(collector.spans("mine")) == ["GET /things/{number}"]
    assert collector.headers == ["a"]


async def test_what_a_sampler_leaves_out_has_a_trace_all_the_same(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with running(an_app("Sentops test")) as client:
        found = (await client.get("/things/1")).json()
    assert collector.requests == []
    assert int(found["trace_id"], 16) > 0


async def test_a_collector_that_is_away_costs_requests_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("sentops_core.http.otlp._LAST_WORDS_SECONDS", 0.1)
    async with running(an_app("Sentops test")) as client:
        assert (await client.get("/things/1")).status_code == 200


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_exported_unless_it_is_wanted(environment: dict[str, str]) -> None:
    assert export.export_from("sentops-test", environment) is None


def test_without_the_extra_the_program_runs_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "sentops_core.http.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}
    assert export.export_from("sentops-test", wanted) is None
    assert "sentops-core[otel]" in capsys.readouterr().out


def test_off_it_is_not_even_imported() -> None:
    code = "import sys, sentops_web.app; print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
