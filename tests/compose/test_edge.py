"""Caddy with the platform's own Caddyfile: what leads where, who a client is said to be, and who is waited for."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.compose.edge import BACKENDS, CADDYFILE, LOCAL, Backend, Edge, adapted, caddy, running
from tests.support.eventually import eventually

AWAY_SECONDS = 3  # longer than a container takes to be replaced where nothing else runs


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, Backend]]:
    with ExitStack() as stack:
        started = {name: Backend(name).start() for name in BACKENDS}
        for one in started.values():
            stack.callback(one.stop)
        yield started


@pytest.fixture(scope="module")
def edge(backends: dict[str, Backend], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running(tmp_path_factory.mktemp("edge"), backends) as edge:
        yield edge


@pytest_asyncio.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """As a browser that trusts Caddy's own authority."""

    async def answers() -> bool:
        try:
            context = edge.trusting()
        except OSError as error:
            raise AssertionError(f"no authority yet: {error}") from error
        async with httpx.AsyncClient(verify=context, trust_env=False) as probe:
            try:
                return (await probe.get(edge.url)).is_success
            except httpx.TransportError as error:
                raise AssertionError(repr(error)) from error

    await eventually(answers, within=30)
    async with httpx.AsyncClient(
        base_url=edge.url, verify=edge.trusting(), trust_env=False, timeout=30
    ) as client:
        yield client


@pytest.fixture
def away(backends: dict[str, Backend]) -> Iterator[Backend]:
    """Web, stopped."""
    web = backends["web"]
    web.stop()
    yield web
    web.stop()
    web.start()


# ---- the file


@pytest.mark.parametrize(
    "values",
    [LOCAL, {"DOMAIN": "sentiment.example.org", "ACME_OPTION": "email ops@example.org"}],
    ids=lambda values: values["DOMAIN"],
)
def test_caddy_takes_the_file_as_it_is_formatted(values: dict[str, str]) -> None:
    options = ("--config", CADDYFILE, "--adapter", "caddyfile")
    answer = caddy("validate", *options, **values)
    assert answer.returncode == 0, answer.stderr
    assert '"level":"warn"' not in answer.stderr
    assert caddy("fmt", CADDYFILE).stdout == CADDYFILE.read_text()


def test_a_domain_gets_a_certificate_and_the_authority_is_told_whom_to_write_to() -> None:
    content = adapted(DOMAIN="sentiment.example.org", ACME_OPTION="email ops@example.org")
    (server,) = [
        one for one in content["apps"]["http"]["servers"].values() if ":443" in one["listen"]
    ]
    assert server["routes"][0]["match"] == [{"host": ["sentiment.example.org"]}]
    (policy,) = content["apps"]["tls"]["automation"]["policies"]
    assert {one.get("email") for one in policy["issuers"]} == {"ops@example.org"}
    assert "ops@" not in json.dumps(adapted(DOMAIN="sentiment.example.org", ACME_OPTION=" "))


def test_only_the_machine_itself_can_change_what_caddy_does() -> None:
    assert adapted(**LOCAL)["admin"]["listen"].startswith("127.0.0.1:")


# ---- what leads where


@pytest.mark.parametrize(
    ("path", "program"),
    [
        ("/", "web"),
        ("/api/predict", "web"),
        ("/backofficex", "web"),
        ("/grafanax", "web"),
        ("/backoffice/index", "backoffice"),
        ("/backoffice/api/datasets?limit=2", "backoffice"),
        ("/grafana/", "grafana"),
        ("/grafana/d/abc?orgId=1", "grafana"),
    ],
)
async def test_a_path_leads_to_its_program_unchanged(
    client: httpx.AsyncClient, path: str, program: str
) -> None:
    seen = (await client.get(path)).json()
    assert (seen["program"], seen["path"]) == (program, path)


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/METRICS",
        "//metrics",
        "/%6detrics",
        "/./metrics",
        "/metrics?x=1",
        "/backoffice/metrics",
        "/backoffice//metrics",
        "/backoffice/../metrics",
    ],
)
async def test_metrics_stay_inside(
    client: httpx.AsyncClient, path: str, backends: dict[str, Backend]
) -> None:
    before = sum(len(one.asked) for one in backends.values())
    request = client.build_request("GET", client.base_url)
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await client.send(request)
    assert answer.status_code == 404
    assert sum(len(one.asked) for one in backends.values()) == before


@pytest.mark.parametrize(
    ("path", "place"), [("/backoffice", "/backoffice/index"), ("/grafana", "/grafana/")]
)
async def test_a_path_without_its_slash_leads_on(
    client: httpx.AsyncClient, path: str, place: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (302, place)


async def test_plain_http_leads_to_https(edge: Edge, client: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(trust_env=False) as plain:
        answer = await plain.get(
            f"http://127.0.0.1:{edge.http}/api/predict?x=1", headers={"host": "localhost"}
        )
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://localhost/api/predict?x=1"


async def test_a_certificate_of_its_own_is_trusted_through_its_authority_and_not_without(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/")
    assert "max-age=" in answer.headers["strict-transport-security"]
    assert "server" not in answer.headers
    async with httpx.AsyncClient(trust_env=False) as stranger:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await stranger.get(edge.url)


async def test_its_own_metrics_are_for_prometheus(edge: Edge, client: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(trust_env=False) as inside:
        answer = await inside.get(f"http://127.0.0.1:{edge.metrics}/metrics")
    assert "caddy_http_requests_total" in answer.text


# ---- who a client is said to be


async def test_a_program_is_told_who_asks_and_how_and_a_visitor_cannot_say_otherwise(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    forged = {
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "evil.example",
    }
    seen = (await client.get("/", headers=forged)).json()["headers"]
    assert seen["x-forwarded-for"] in {"127.0.0.1", "::1"}
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-host"] == seen["host"] == f"localhost:{edge.https}"


async def test_long_answers_are_compressed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/" + "x" * 2000, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["program"] == "web"


# ---- who is away


async def asked_while_away(client: httpx.AsyncClient, away: Backend, method: str) -> Any:
    """The answer to a request that came while the program was being replaced."""
    away.asked.clear()
    request = asyncio.create_task(client.request(method, "/api/predict", content="{}"))
    done, _ = await asyncio.wait({request}, timeout=AWAY_SECONDS)
    assert not done, request.result().status_code
    away.start()
    return await request


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_program_that_is_away_for_a_moment_delays_and_fails_nothing(
    client: httpx.AsyncClient, away: Backend, method: str
) -> None:
    answer = await asked_while_away(client, away, method)
    assert (answer.status_code, answer.json()["program"]) == (200, "web")
    assert away.asked == [f"{method} /api/predict"]


async def test_others_answer_while_one_is_away(client: httpx.AsyncClient, away: Backend) -> None:
    assert (await client.get("/backoffice/index")).json()["program"] == "backoffice"


async def test_what_a_program_may_have_done_is_never_asked_twice(
    client: httpx.AsyncClient, backends: dict[str, Backend]
) -> None:
    web = backends["web"]
    web.asked.clear()
    web.hang_up = True
    try:
        answer = await client.post("/api/feedback", content="{}")
    finally:
        web.hang_up = False
    assert answer.status_code == 502
    assert web.asked == ["POST /api/feedback"]
