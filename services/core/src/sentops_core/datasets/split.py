"""Which side of the split a text is on: decided by hash alone, so it never changes."""

import hashlib
from enum import StrEnum

HELD_OUT_SHARE = 0.2


class Split(StrEnum):
    TRAIN = "train"
    HOLDOUT = "holdout"


def side_of(
    salt: str, content_hash: bytes, group: str | None, share: float = HELD_OUT_SHARE
) -> Split:
    """Rows of one group go to one side; a row without a group goes by its own text."""
    key = f"group {group}".encode() if group is not None else b"text " + content_hash
    digest = hashlib.sha256(salt.encode() + b"\0" + key).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    return Split.HOLDOUT if position < share else Split.TRAIN
