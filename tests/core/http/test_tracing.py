"""One request across programs: the same trace in headers, logs, problems and metrics."""

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from sentops_core import trace_context
from sentops_core.domain.errors import NotFound
from sentops_core.http import create_app
from sentops_core.http.outgoing import CARRIES_TRACE
from sentops_core.process_metrics import new_registry
from sentops_core.telemetry import configure_logging

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"
AS_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def an_app(neighbour: httpx.ASGITransport | None = None) -> FastAPI:
    router = APIRouter()
    log = structlog.get_logger()

    @router.get("/context", summary="Where are we")
    async def context() -> dict[str, str]:
        found = trace_context.current()
        assert found is not None
        log.info("asked")
        return {"trace_id": found.trace_id, "span_id": found.span_id, "state": found.state}

    @router.get("/onwards", summary="Ask the neighbour")
    async def onwards() -> dict[str, object]:
        async with httpx.AsyncClient(
            transport=neighbour, base_url="http://neighbour", event_hooks=CARRIES_TRACE
        ) as client:
            answer = await client.get("/context")
        own = trace_context.current()
        assert own is not None
        return {"neighbour": answer.json(), "own": own.span_id}

    @router.get("/missing", summary="Nothing here")
    async def missing() -> None:
        raise NotFound("No such thing.")

    @router.get("/defect", summary="Broken")
    async def defect() -> None:
        raise RuntimeError("secret detail")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        yield {}

    return create_app("test", lifespan=lifespan, routers=[router], registry=new_registry("test"))


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(an_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a program logs, as the JSON lines that machines read."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    written = io.StringIO()
    configure_logging("test", to=logging.StreamHandler(written))
    yield written
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = before


def test_a_request_is_a_further_piece_of_what_its_caller_works_on(client: TestClient) -> None:
    headers = {"traceparent": VALID, "tracestate": "vendor=1"}
    found = client.get("/context", headers=headers).json()
    assert found["trace_id"] == TRACE
    assert found["span_id"] != SPAN
    assert found["state"] == "vendor=1"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
        [("traceparent", f"ff-{TRACE}-{SPAN}-01")],
        [("traceparent", "é".encode("latin-1"))],
        [("traceparent", VALID), ("traceparent", f"00-{TRACE[::-1]}-{SPAN}-01")],
    ],
)
def test_without_a_valid_header_a_new_trace_begins(
    client: TestClient, headers: list[tuple[str, str | bytes]]
) -> None:
    request = client.build_request(
        "GET", "/context", headers=[*headers, ("tracestate", "vendor=1")]
    )  # type: ignore[arg-type]
    found = client.send(request).json()
    assert re.fullmatch("[0-9a-f]{32}", found["trace_id"])
    assert found["trace_id"] not in {TRACE, TRACE[::-1], "0" * 32}
    assert found["state"] == ""


def test_two_lines_of_state_are_one_list(client: TestClient) -> None:
    headers = [("traceparent", VALID), ("tracestate", "a=1"), ("tracestate", "b=2")]
    assert (
        client.send(client.build_request("GET", "/context", headers=headers)).json()["state"]
        == "a=1,b=2"
    )


async def test_a_call_to_a_neighbour_carries_the_trace() -> None:
    app = an_app(httpx.ASGITransport(an_app()))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://own"
    ) as client:
        found = (await client.get("/onwards", headers={"traceparent": VALID})).json()
        assert found["neighbour"]["trace_id"] == TRACE
        assert found["neighbour"]["span_id"] not in {SPAN, found["own"]}
    assert trace_context.current() is None  # a request leaves nothing behind


async def test_requests_at_the_same_time_keep_their_traces_apart() -> None:
    app = an_app(httpx.ASGITransport(an_app()))
    wanted = [trace_context.new_trace() for _ in range(20)]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://own"
    ) as client:
        answers = await asyncio.gather(
            *(client.get("/onwards", headers={"traceparent": one.traceparent}) for one in wanted)
        )
    assert [one.json()["neighbour"]["trace_id"] for one in answers] == [
        one.trace_id for one in wanted
    ]


def test_a_problem_names_its_trace_so_that_it_can_be_quoted(client: TestClient) -> None:
    for path, status in (("/missing", 404), ("/nowhere", 404), ("/defect", 500)):
        answer = client.get(path, headers={"traceparent": VALID})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["trace_id"] == TRACE
    assert client.post("/missing", content=b"a" * 2_000_000).json()["trace_id"]


def test_each_log_line_of_a_request_names_its_trace(client: TestClient, lines: io.StringIO) -> None:
    found = client.get("/context", headers={"traceparent": VALID}).json()
    client.get("/defect", headers={"traceparent": VALID})
    logging.getLogger("a.library").warning("outside")
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    asked, failed, outside = (
        next(line for line in written if line["event"] == event)
        for event in ("asked", "request_failed", "outside")
    )
    assert (asked["trace_id"], asked["span_id"]) == (TRACE, found["span_id"])
    assert failed["trace_id"] == TRACE
    assert "trace_id" not in outside


def test_a_scraper_of_open_metrics_gets_exemplars_and_others_get_text(client: TestClient) -> None:
    client.get("/context", headers={"traceparent": VALID})
    text = client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert list(plain_text(text.text))
    assert TRACE not in text.text
    answer = client.get("/metrics", headers={"accept": AS_PROMETHEUS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    (durations,) = (
        family
        for family in openmetrics(answer.text)
        if family.name == "sentops_http_request_duration_seconds"
    )
    exemplars = [
        sample.exemplar
        for sample in durations.samples
        if sample.labels.get("route") == "/context" and sample.exemplar is not None
    ]
    assert [one.labels for one in exemplars] == [{"trace_id": TRACE}]


def test_methods_that_nobody_knows_are_one_series(client: TestClient) -> None:
    for method in ("BREW", "PROPFIND"):
        client.request(method, "/context")
    text = client.get("/metrics").text
    assert 'method="OTHER",route=' in text
    assert "BREW" not in text


def test_what_a_middleware_refuses_and_defects_are_counted(client: TestClient) -> None:
    client.get("/defect")
    client.post("/context", content=b"a" * 2_000_000)
    text = client.get("/metrics").text
    assert 'route="/defect",status="500"' in text
    assert 'status="413"' in text
