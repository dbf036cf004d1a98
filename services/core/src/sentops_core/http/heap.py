"""What the program is made of, kept out of the garbage collector's way."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled_heap() -> Iterator[None]:
    """Around the life of the program, begun once everything is loaded and built.

    A full collection walks every living object, with the one thread of all requests standing still. Code and routes
    are 160,000 of them in the back office, a tenth of a second; its page that reads two thousand votes brings such a
    collection about every twentieth time. They live as long as the program, so there is nothing to find among them.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
