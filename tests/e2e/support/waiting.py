"""Wait for what a cluster does, without sleeping longer than needed."""

import json
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NeverAgain(Exception):
    """What is waited for cannot come any more: waiting ends at once."""


def until(
    look: Callable[[], T], good: Callable[[T], object] = bool, *, seconds: float, every: float = 1
) -> T:
    """The first look that is good; an AssertionError is looked at again until time is up."""
    deadline = time.monotonic() + seconds
    while True:
        seen: object
        try:
            seen = found = look()
            if good(found):
                return found
        except NeverAgain as error:
            raise AssertionError(str(error)) from error
        except AssertionError as error:
            seen = str(error)
        if time.monotonic() > deadline:
            shown = seen if isinstance(seen, str) else json.dumps(seen, indent=1, default=str)
            raise AssertionError(f"not within {seconds:g} s; last seen: {shown[-4000:]}")
        time.sleep(every)


def holds(look: Callable[[], T], good: Callable[[T], object], *, seconds: float) -> None:
    """It is so now, and stays so for this long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        assert good(seen), f"it stopped being so: {seen}"
        time.sleep(1)
