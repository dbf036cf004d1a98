"""traceparent and tracestate, as https://www.w3.org/TR/trace-context/ asks for."""

import re

import pytest

from sentops_core import trace_context
from sentops_core.trace_context import TraceContext, new_trace, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_header_is_read_and_written_as_it_was() -> None:
    found = parse(VALID)
    assert found == TraceContext(TRACE, SPAN, sampled=True)
    assert found.traceparent == VALID


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",  # no flags
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 ends after the flags
        f"00-{TRACE}-{SPAN}-0101",
        f"ff-{TRACE}-{SPAN}-01",  # a version that is forbidden
        f"0f{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",  # a digit elsewhere, not here
        f" {VALID}",
        f"{VALID}\n",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
    ],
)
def test_an_invalid_header_says_nothing(header: str) -> None:
    assert parse(header, "vendor=1") is None


@pytest.mark.parametrize("rest", ["", "-", "-what-the-future-will-be-like"])
def test_a_later_version_is_read_as_far_as_we_know_it(rest: str) -> None:
    found = parse(f"cc-{TRACE}-{SPAN}-01{rest}")
    assert found is not None
    assert found.traceparent == VALID  # and handed on in the version that we speak


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)]
)
def test_only_the_flag_that_we_know_is_handed_on(flags: str, sampled: bool) -> None:
    found = parse(f"00-{TRACE}-{SPAN}-{flags}")
    assert found is not None
    assert found.sampled is sampled
    assert found.traceparent.endswith("-01" if sampled else "-00")


def test_a_child_is_another_piece_of_the_same_whole() -> None:
    parent = TraceContext(TRACE, SPAN, sampled=True, state="vendor=1")
    child = parent.child()
    assert child._replace(span_id=SPAN) == parent
    assert child.span_id != SPAN


def test_new_traces_are_valid_and_differ() -> None:
    made = {new_trace() for _ in range(100)}
    assert len({one.trace_id for one in made}) == 100
    assert all(parse(one.traceparent) == one for one in made)
    assert not any(one.sampled for one in made)  # nobody records them


@pytest.mark.parametrize(
    ("state", "carried"),
    [
        ("vendor=1,other=t61rcWkgMzE", "vendor=1,other=t61rcWkgMzE"),
        ("", ""),
        ("v=" + "x" * 511, ""),
        ("vendor=1\r\nset-cookie: a", ""),
        ("vendor=é", ""),
    ],
)
def test_the_state_of_others_is_carried_unless_it_could_do_harm(state: str, carried: str) -> None:
    found = parse(VALID, state)
    assert found is not None
    assert found.state == carried


def test_calls_carry_the_current_piece_of_work_and_nothing_outside_of_one() -> None:
    headers: dict[str, str] = {}
    trace_context.carry(headers)
    assert headers == {}
    with trace_context.working_on(TraceContext(TRACE, SPAN, state="vendor=1")):
        trace_context.carry(headers)
        inner = new_trace()
        with trace_context.working_on(inner):
            assert trace_context.current() is inner
        assert trace_context.current() != inner
    assert headers == {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "vendor=1"}
    assert trace_context.current() is None
    assert re.fullmatch("[0-9a-f]{32}", new_trace().trace_id)
