"""Answers given before, by the exact text: what is asked again costs a look-up.

Of a text only a hash is kept, under a key that ends with the process: what people wrote cannot be read from it, nor
can two texts be made to meet. An answer belongs to the digest of the model that gave it, so a version that is
switched away answers nothing more, and one that comes back finds its own.
"""

import secrets
import sys
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from sentops_core.inference import Scored

_HASH_BYTES = 16
_Key = tuple[str, bytes]


class AnswerCache:
    """The answers asked for last, at most `entries` of them and about `size_bytes` of memory; 0 of either is off.

    For the event loop's thread alone.
    """

    def __init__(self, *, entries: int, size_bytes: int) -> None:
        self.is_on = entries > 0 and size_bytes > 0
        self.size_bytes = 0
        self._most_entries = entries
        self._most_bytes = size_bytes
        self._secret = secrets.token_bytes(16)
        self._kept: OrderedDict[_Key, tuple[Scored, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, digest: str, texts: Sequence[str]) -> tuple[list[_Key], list[Scored | None]]:
        """The keys of these texts, and the answers known."""
        keys = [(digest, self._hash(text)) for text in texts]
        answers: list[Scored | None] = []
        for key in keys:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            answers.append(None if kept is None else kept[0])
        return keys, answers

    def keep(self, key: _Key, answer: Scored) -> None:
        if key in self._kept:
            return
        size = _size(key, answer)
        if size > self._most_bytes:
            return
        self._kept[key] = answer, size
        self.size_bytes += size
        while len(self._kept) > self._most_entries or self.size_bytes > self._most_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self.size_bytes -= freed

    def _hash(self, text: str) -> bytes:
        return blake2b(text.encode(), digest_size=_HASH_BYTES, key=self._secret).digest()


_PER_ENTRY = 250  # the dictionary's own share of an entry, its link, and the tuples


def _size(key: _Key, answer: Scored) -> int:
    """About; labels and digest are shared by all entries."""
    numbers = sum(map(sys.getsizeof, answer.scores.values()))
    return (
        _PER_ENTRY
        + sys.getsizeof(key[1])
        + sys.getsizeof(answer)
        + sys.getsizeof(answer.scores)
        + numbers
    )
