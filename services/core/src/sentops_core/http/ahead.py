"""Requests answered ahead of the app: the body, which the app may get again as if nobody had read it, and the answer."""

from collections.abc import Awaitable, Sequence

from fastapi import Request, Response
from starlette.types import Message, Receive, Scope, Send

from sentops_core.domain.errors import PlatformError
from sentops_core.http.errors import on_platform_error, on_unexpected


async def read_ahead(receive: Receive) -> list[Message]:
    """All messages of the body; the last one may say that the client has left."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def content_of(messages: list[Message]) -> bytes:
    if len(messages) == 1:
        body: bytes = messages[0].get("body", b"")
        return body
    return b"".join(message.get("body", b"") for message in messages)


def again(messages: list[Message], receive: Receive) -> Receive:
    """As if nobody had read these messages yet."""
    left = iter(messages)

    async def replayed() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return replayed


async def answer_ahead(
    scope: Scope,
    receive: Receive,
    send: Send,
    body: Awaitable[bytes | None],
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Send the JSON, or the refusal that the app would send for the same error; None: nobody is there to read it."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    try:
        content = await body
    except PlatformError as error:
        refusal = await on_platform_error(Request(scope), error)
        await refusal(scope, receive, send_with_headers)
        return
    except Exception as error:
        broken = await on_unexpected(Request(scope), error)
        await broken(scope, receive, send)
        raise  # as Starlette does, so that the server may log it as well
    if content is None:
        await Response(status_code=499)(scope, receive, send)  # for our own request metrics
        return
    start = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": [*start, *headers]})
    await send({"type": "http.response.body", "body": content})
