"""The way ahead of FastAPI gives the answers that FastAPI gives, and leaves to it what is not ordinary."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from sentops_web.records import prediction_of
from tests.services.web.conftest import StartWeb, Web
from tests.services.web.fakes import FakeModel

JSON = {"content-type": "application/json"}


@pytest.fixture
async def slowly(web: Web) -> AsyncIterator[httpx.AsyncClient]:
    """The same web asked so that FastAPI answers: by a body whose length nobody says."""
    inner = web.client._transport
    assert isinstance(inner, httpx.ASGITransport)

    async def without_length(scope: Scope, receive: Receive, send: Send) -> None:
        kept = [one for one in scope["headers"] if one[0] != b"content-length"]
        await inner.app(dict(scope) | {"headers": kept}, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(without_length), base_url="http://web"
    ) as client:
        yield client


ASKED: list[tuple[object, dict[str, str]]] = [
    ({"text": "ottimo prodotto"}, {"x-client-id": "one-person"}),
    ({"text": "ottimo prodotto"}, {}),
    (
        {"text": "it broke \N{GRINNING FACE}"},
        {"sec-fetch-site": "same-origin", "origin": "http://web"},
    ),
    ({"text": "  "}, {}),
    ({"text": "a" * 10_001}, {}),
    ({"text": "a"}, {"x-client-id": "me"}),
    ({"text": 7}, {}),
    ({"text": "a", "more": 1}, {}),
    ([], {}),
    ({"text": "a"}, {"sec-fetch-site": "cross-site"}),
    ({"text": "a"}, {"origin": "http://elsewhere"}),
    ({"text": "a"}, {"content-type": "application/json-seq"}),
]


@pytest.mark.parametrize(("body", "headers"), ASKED)
async def test_both_ways_answer_the_same(
    web: Web, slowly: httpx.AsyncClient, body: object, headers: dict[str, str]
) -> None:
    del web.client.headers["x-client-id"]
    quick, slow = [
        await client.post("/api/predict", json=body, headers=JSON | headers)
        for client in (web.client, slowly)
    ]
    assert quick.status_code == slow.status_code
    assert set(quick.headers.items()) == set(slow.headers.items())
    assert without_what_differs(quick.json()) == without_what_differs(slow.json())
    assert list(quick.json()) == list(slow.json())
    rows = [prediction_of(one.record) for one in await web.parts.spool.oldest(2)]
    assert len(rows) == (2 if quick.status_code == 200 else 0)
    assert len({row.client for row in rows}) <= 1
    told = web.value(
        "sentops_http_requests_total",
        method="POST",
        route="/api/predict",
        status=str(quick.status_code),
    )
    assert told == 2 or quick.status_code == 403  # the guard stands before any route


def without_what_differs(body: dict[str, object]) -> dict[str, object]:
    return {
        name: value for name, value in body.items() if name not in {"prediction_id", "trace_id"}
    }


async def test_a_page_is_known_by_its_cookie(web: Web) -> None:
    cookie = web.parts.signer.new_cookie()
    del web.client.headers["x-client-id"]
    headers = {"cookie": f"other=1; sentops_client={cookie}"}
    answer = await web.client.post("/api/predict", json={"text": "great"}, headers=headers)
    assert answer.status_code == 200
    [entry] = await web.parts.spool.oldest(1)
    assert entry.record.client == f"web-{cookie.split('.')[0]}"


async def test_the_path_of_an_answer_is_told_and_kept(web: Web, model: FakeModel) -> None:
    model.path = "fast"
    assert (await web.predict("great"))["path"] == "fast"
    [entry] = await web.parts.spool.oldest(1)
    assert prediction_of(entry.record).path == "fast"


async def test_who_leaves_is_not_waited_for(start_web: StartWeb, model: FakeModel) -> None:
    model.delay = 0.5
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with start_web() as web:
        transport = web.client._transport
        assert isinstance(transport, httpx.ASGITransport)
        body = b'{"text": "great"}'
        messages: Iterator[Message] = iter(
            [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
        )

        async def receive() -> Message:
            return next(messages)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/predict",
            "raw_path": b"/api/predict",
            "query_string": b"",
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ],
            "client": ("127.0.0.1", 1),
        }
        await transport.app(scope, receive, send)
        assert web.parts.spool.state().rows == 0
    assert sent[0]["status"] == 499
