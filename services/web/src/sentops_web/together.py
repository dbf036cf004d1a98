"""Texts asked for one by one travel in one call when they have to wait anyway.

While `_CALLS` calls to a server are under way, who comes waits for one of them to end, or until a whole call's worth
waits, which goes at once: more servers behind one address all get their share. Nothing is delayed to be joined. The
model server takes the texts apart again and scores each alone, so an answer is the same in company. Long texts go by
themselves: short ones would have to wait for them.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

A = TypeVar("A")

_CALLS = 3  # enough that a model server with a worker per core never waits for us
_TEXTS = 8  # in one call
_LONG = 1000  # characters


class Spoiled(Exception):
    """The server refused the call for what is in it, so one text may have spoiled it for the others."""


@dataclass(eq=False)
class _Waiting(Generic[A]):
    text: str
    answer: "asyncio.Future[A]"
    context: contextvars.Context  # whose trace the call is made in


@dataclass(eq=False)
class Together(Generic[A]):
    """In front of one server: `ask` answers texts in order, or raises what is then everybody's."""

    ask: Callable[[Sequence[str]], Awaitable[Sequence[A]]]
    under_way: int = 0
    _waiting: deque[_Waiting[A]] = field(default_factory=deque)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def idle(self) -> bool:
        return not self.under_way and not self._waiting

    async def one(self, text: str, *, seconds: float) -> A:
        """The answer for this text; TimeoutError when it did not come in time."""
        if self.under_way < _CALLS or len(text) > _LONG:
            return await self._at_once(text)
        loop = asyncio.get_running_loop()
        waiting = _Waiting[A](text, loop.create_future(), contextvars.copy_context())
        self._waiting.append(waiting)
        if len(self._waiting) >= _TEXTS:
            self._send()
        timer = loop.call_later(seconds, _too_late, waiting.answer)
        try:
            return await waiting.answer
        finally:
            timer.cancel()

    async def _at_once(self, text: str) -> A:
        self.under_way += 1
        try:
            (answer,) = await self.ask([text])
        finally:
            self._ended()
        return answer

    def _ended(self) -> None:
        self.under_way -= 1
        while self._waiting and self.under_way < _CALLS:
            self._send()

    def _send(self) -> None:
        group = self._next_group()
        if group:
            self.under_way += 1
            task = group[0].context.run(asyncio.create_task, self._call(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_group(self) -> list[_Waiting[A]]:
        """Those who still wait, at most a call's worth; who has left is forgotten."""
        group: list[_Waiting[A]] = []
        while self._waiting and len(group) < _TEXTS:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                group.append(waiting)
        return group

    async def _call(self, group: list[_Waiting[A]]) -> None:
        task = asyncio.current_task()

        def nobody_waits(_: "asyncio.Future[A]") -> None:
            if task is not None and all(one.answer.done() for one in group):
                task.cancel()

        for one in group:
            one.answer.add_done_callback(nobody_waits)
        try:
            await self._answer(group)
        except asyncio.CancelledError:
            if not all(one.answer.done() for one in group):
                raise
        finally:
            for one in group:
                one.answer.remove_done_callback(nobody_waits)
            self._ended()

    async def _answer(self, group: list[_Waiting[A]]) -> None:
        try:
            answers = await self.ask([one.text for one in group])
        except Spoiled as error:
            if len(group) == 1:
                _settle(group[0], error)
                return
            for one in group:
                await self._answer([one])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs who wait
            for one in group:
                _settle(one, error)
        else:
            for one, answer in zip(group, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)


def _settle(waiting: _Waiting[A], error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


def _too_late(answer: "asyncio.Future[A]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
