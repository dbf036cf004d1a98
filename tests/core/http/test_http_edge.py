"""What every service does alike: problems, limits, health, metrics, tokens."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import SecretStr

from sentops_core.domain import errors
from sentops_core.domain.base import Body
from sentops_core.http import BearerTokens, create_app
from sentops_core.process_metrics import new_registry


class Asked(Body):
    text: str


def an_app() -> FastAPI:
    inner = APIRouter(prefix="/api")

    @inner.post("/echo/{number}", summary="Echo")
    async def echo(number: int, asked: Asked) -> Asked:
        return asked

    @inner.post("/fail/{name}", summary="Fail")
    async def fail(name: str) -> None:
        if name == "Bug":
            raise RuntimeError("secret detail")
        raise getattr(errors, name)("What to do.")

    @inner.get("/closed", summary="Closed", dependencies=[Depends(BearerTokens([SecretStr("t")]))])
    async def closed() -> str:
        return "in"

    outer = APIRouter(prefix="/nested")
    outer.include_router(inner)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        yield {"missing": "The database is away."}

    async def readiness(request: Request) -> str | None:
        return str(request.state.missing)

    return create_app(
        "test",
        lifespan=lifespan,
        routers=[outer],
        registry=new_registry("test"),
        readiness=readiness,
        max_body_bytes=1000,
    )


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(an_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("InvalidInput", 422),
        ("Unauthenticated", 401),
        ("Forbidden", 403),
        ("NotFound", 404),
        ("Conflict", 409),
        ("TooLarge", 413),
        ("UnsupportedFormat", 415),
        ("Overloaded", 429),
        ("Unavailable", 503),
        ("ArtifactError", 422),
    ],
)
def test_each_error_is_a_problem_with_its_status(
    client: TestClient, error: str, status: int
) -> None:
    answer = client.post(f"/nested/api/fail/{error}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == getattr(errors, error).code
    assert answer.json()["detail"] == "What to do."
    assert ("retry-after" in answer.headers) == (status in {429, 503})


def test_a_bug_is_a_500_without_its_detail(client: TestClient) -> None:
    answer = client.post("/nested/api/fail/Bug")
    assert answer.status_code == 500
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        ('{"text": "a"}', "application/json", 200),
        ('{"text": "a", "x": 1}', "application/json", 422),
        ("{}", "application/json", 422),
        ('{"text": 1}', "application/json", 422),
        ('{"text": "a"', "application/json", 400),
        ("text=a", "text/plain", 415),
        ('{"text": "%s"}' % ("a" * 2000), "application/json", 413),
    ],
)
def test_bodies_are_checked(
    client: TestClient, content: str, content_type: str, status: int
) -> None:
    answer = client.post(
        "/nested/api/echo/1", content=content, headers={"content-type": content_type}
    )
    assert answer.status_code == status, answer.text


def test_a_body_of_unsaid_length_is_bounded_too(client: TestClient) -> None:
    chunks = (b"a" * 500 for _ in range(5))
    headers = {"content-type": "application/json"}
    assert client.post("/nested/api/echo/1", content=chunks, headers=headers).status_code == 413


def test_a_wrong_token_and_none_are_refused(client: TestClient) -> None:
    for headers in ({}, {"authorization": "Bearer no"}, {"authorization": "Basic dDp0"}):
        answer = client.get("/nested/api/closed", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/nested/api/closed", headers={"authorization": "Bearer t"}).text == '"in"'


def test_health_says_what_is_missing(client: TestClient) -> None:
    assert client.get("/health/live").status_code == 200
    for path in ("/health", "/health/ready"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "database" in answer.json()["detail"]


def test_metrics_count_by_the_whole_route_template(client: TestClient) -> None:
    client.post("/nested/api/echo/7", json={"text": "a"})
    client.get("/wp-login.php")
    text = client.get("/metrics").text
    assert 'method="POST",route="/nested/api/echo/{number}",status="200"' in text
    assert 'route="unmatched",status="404"' in text
    assert "wp-login" not in text
