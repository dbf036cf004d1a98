"""Asking a model server while its pods come and go."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from sentops_web.model_client import ModelClient, ModelUnavailable
from tests.services.web.fakes import FakeModel, a_variant
from tests.support.eventually import eventually


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
    async with server, a_client() as client:
        if answered:
            [answer] = await client.ask(a_variant(url), ["great"])
            assert answer.label == "positive"
        else:
            with pytest.raises(ModelUnavailable):
                await client.ask(a_variant(url), ["great"])
    assert len(model.asked) == (1 if answered else 0)


async def test_a_slow_model_is_not_asked_twice(model: FakeModel, model_url: str) -> None:
    model.delay = 0.5
    async with a_client(timeout_seconds=0.05) as client:
        with pytest.raises(ModelUnavailable):
            await client.ask(a_variant(model_url), ["great"])
    assert len(model.asked) <= 1


async def test_a_server_that_is_gone_is_given_up_long_before_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full backlog of a listening socket swallows what comes, as the address of a Service without pods does."""
    monkeypatch.setattr("sentops_web.model_client._CONNECT_SECONDS", 0.05)
    with socket.socket() as deaf, contextlib.ExitStack() as fillers:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        async with a_client(timeout_seconds=30) as client, asyncio.timeout(5):
            with pytest.raises(ModelUnavailable):
                await client.ask(a_variant(f"http://127.0.0.1:{deaf.getsockname()[1]}"), ["great"])


async def test_an_address_that_is_none_is_unavailable() -> None:
    async with a_client() as client:
        for url in ("nonsense", "ftp://127.0.0.1"):
            with pytest.raises(ModelUnavailable):
                await client.ask(a_variant(url), ["great"])


async def test_texts_that_have_to_wait_go_together_and_each_gets_its_own_answer(
    model: FakeModel, model_url: str
) -> None:
    model.delay = 0.05
    texts = ["great", "awful", "a chair", "love it", "hate it", "it broke", "ok", "lovely", "x"] * 3
    async with a_client() as client:
        variant = a_variant(model_url)
        answers = await asyncio.gather(*(client.ask(variant, [text]) for text in texts))
    assert [one.label for [one] in answers] == [model.answer(text)["label"] for text in texts]
    assert len(model.asked) < len(texts)
    assert max(map(len, model.asked)) == 8


async def test_one_text_that_is_refused_does_not_spoil_the_others(
    model: FakeModel, model_url: str
) -> None:
    model.delay = 0.02
    model.refuses = "poison"
    texts = [*["great"] * 6, "poison", *["awful"] * 3]
    async with a_client() as client:
        variant = a_variant(model_url)
        answers = await asyncio.gather(
            *(client.ask(variant, [text]) for text in texts), return_exceptions=True
        )
    assert isinstance(answers.pop(6), ModelUnavailable)
    assert not any(isinstance(one, BaseException) for one in answers)


async def test_who_leaves_while_waiting_is_not_asked_for(model: FakeModel, model_url: str) -> None:
    model.delay = 0.1
    async with a_client() as client:
        variant = a_variant(model_url)
        staying = [asyncio.create_task(client.ask(variant, ["great"])) for _ in range(3)]
        await eventually(lambda: len(model.asked) == 3)
        leaving = asyncio.create_task(client.ask(variant, ["gone"]))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(*staying)
    assert ["gone"] not in model.asked


async def test_connections_are_kept_and_an_abandoned_answer_is_nobody_elses(
    model: FakeModel, model_url: str
) -> None:
    async with a_client() as client:
        variant = a_variant(model_url)
        [first] = await client.ask(variant, ["great"])
        model.delay = 0.2
        abandoned = asyncio.create_task(client.ask(variant, ["great"]))
        await eventually(lambda: len(model.asked) == 2)
        abandoned.cancel()
        model.delay = 0
        [second] = await client.ask(variant, ["awful"])
    assert (first.label, second.label) == ("positive", "negative")


@contextlib.asynccontextmanager
async def a_client(timeout_seconds: float = 5) -> AsyncIterator[ModelClient]:
    client = ModelClient(timeout_seconds=timeout_seconds)
    try:
        yield client
    finally:
        client.close()
