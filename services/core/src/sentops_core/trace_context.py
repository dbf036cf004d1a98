"""W3C Trace Context: which request a piece of work belongs to, across programs, logs and metrics.

Parsing and making cost about a microsecond, since every request pays for it; https://www.w3.org/TR/trace-context/
"""

import os
import random
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import NamedTuple

SAMPLED = 0x01
_VERSION_00 = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# Of a version we do not know, what comes after a further dash is not ours to judge.
_LATER_VERSION = re.compile(
    "(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_LONGEST_STATE = 512  # characters; what the specification asks everybody to carry at least
_STATE = re.compile("[\x20-\x7e\t]*")


class TraceContext(NamedTuple):
    """One piece of work, `span_id`, of a whole, `trace_id`. `state` is what other vendors want carried along."""

    trace_id: str
    span_id: str
    sampled: bool = False  # somebody records this trace
    state: str = ""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def child(self) -> "TraceContext":
        """A further piece of the same whole."""
        return TraceContext(self.trace_id, _span_id(), self.sampled, self.state)


def new_trace() -> TraceContext:
    return TraceContext(f"{random.getrandbits(128) or 1:032x}", _span_id())


def of_environment() -> TraceContext:
    """For a program that is one piece of work: of the trace that its starter named in TRACEPARENT, else of its own."""
    caller = parse(os.environ.get("TRACEPARENT", ""), os.environ.get("TRACESTATE", ""))
    return caller.child() if caller is not None else new_trace()


def parse(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """The caller's piece of work; None for a header that says nothing valid, whose tracestate counts for nothing."""
    found = _VERSION_00.fullmatch(traceparent) or _LATER_VERSION.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    carried = len(tracestate) <= _LONGEST_STATE and _STATE.fullmatch(tracestate) is not None
    return TraceContext(
        trace_id, span_id, bool(int(flags, 16) & SAMPLED), tracestate if carried else ""
    )


_current: ContextVar[TraceContext | None] = ContextVar("sentops_trace", default=None)


def current() -> TraceContext | None:
    """What is being worked on here; threads that a pool started do not know."""
    return _current.get()


@contextmanager
def working_on(context: TraceContext) -> Iterator[TraceContext]:
    """Logs, problems and calls to other programs inside the block belong to this piece of work."""
    token = begin(context)
    try:
        yield context
    finally:
        end(token)


def begin(context: TraceContext) -> Token[TraceContext | None]:
    """`working_on` for where each microsecond counts; give the token back to `end`."""
    return _current.set(context)


def end(token: Token[TraceContext | None]) -> None:
    _current.reset(token)


def carry(headers: MutableMapping[str, str]) -> None:
    """Name the current piece of work in the headers of a call that it makes."""
    context = _current.get()
    if context is not None:
        headers["traceparent"] = context.traceparent
        if context.state:
            headers["tracestate"] = context.state


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
