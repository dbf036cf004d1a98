"""Wait for something that another task or process does, without sleeping longer than needed."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    probe: Callable[[], T | Awaitable[T]], *, within: float = 10.0, every: float = 0.02
) -> T:
    """The probe's first true answer; None, False and AssertionErrors are tried again until time is up."""
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        try:
            answer = probe()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"still {answer!r} after {within} s")
        await asyncio.sleep(every)
