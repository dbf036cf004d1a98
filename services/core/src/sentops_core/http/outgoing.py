"""Calls from one of our programs to another."""

from collections.abc import Awaitable, Callable

import httpx

from sentops_core import trace_context

# For httpx.AsyncClient(event_hooks=...): each call names the piece of work that makes it.
CARRIES_TRACE: dict[str, list[Callable[[httpx.Request], Awaitable[None]]]]


async def _carry(request: httpx.Request) -> None:
    trace_context.carry(request.headers)


CARRIES_TRACE = {"request": [_carry]}
