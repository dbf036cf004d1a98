"""A request's body read ahead of the app, which may get it again as if nobody had."""

from starlette.types import Message, Receive


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
