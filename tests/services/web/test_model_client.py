"""Asking a model server while its pods come and go."""

import asyncio

import httpx
import pytest

from sentops_web.model_client import ModelClient, ModelUnavailable
from tests.services.web.fakes import FakeModel, a_variant


async def a_server_that_drops(connections: int, model_url: str) -> tuple[asyncio.Server, str]:
    """The first connections end without an answer, as those of a pod that goes; the others reach the model."""
    target = httpx.URL(model_url)
    left = connections

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        request = await reader.read(65_536)
        if left:
            left -= 1
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(target.host, target.port)
        far_writer.write(request)
        while content := await far_reader.read(65_536):
            writer.write(content)
        writer.close()
        far_writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("dropped", "answered"), [(0, True), (1, True), (2, False)])
async def test_a_broken_connection_is_tried_once_more(
    model: FakeModel, model_url: str, dropped: int, answered: bool
) -> None:
    server, url = await a_server_that_drops(dropped, model_url)
    async with server, httpx.AsyncClient(headers={"connection": "close"}) as http:
        client = ModelClient(http, timeout_seconds=5)
        if answered:
            [answer] = await client.ask(a_variant(url), ["great"])
            assert answer.label == "positive"
        else:
            with pytest.raises(ModelUnavailable):
                await client.ask(a_variant(url), ["great"])
    assert len(model.asked) == (1 if answered else 0)


async def test_a_slow_model_is_not_asked_twice(model: FakeModel, model_url: str) -> None:
    model.delay = 0.5
    async with httpx.AsyncClient() as http:
        with pytest.raises(ModelUnavailable):
            await ModelClient(http, timeout_seconds=0.05).ask(a_variant(model_url), ["great"])
    assert len(model.asked) <= 1


async def test_a_server_that_is_gone_is_given_up_long_before_a_slow_one() -> None:
    allowed: list[dict[str, float]] = []

    def swallow(request: httpx.Request) -> httpx.Response:
        allowed.append(request.extensions["timeout"])
        raise httpx.ConnectTimeout("nobody takes the connection")

    async with httpx.AsyncClient(transport=httpx.MockTransport(swallow)) as http:
        with pytest.raises(ModelUnavailable):
            await ModelClient(http, timeout_seconds=30).ask(a_variant("http://gone"), ["great"])
    [seconds] = allowed  # and is not asked again
    assert (seconds["connect"], seconds["read"]) == (2.0, 30)
