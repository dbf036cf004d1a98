"""Which process of a run this is, as torchrun says by RANK, WORLD_SIZE and LOCAL_WORLD_SIZE; alone without them."""

import os
from dataclasses import dataclass

from sentops_trainer.failures import BadSpec


@dataclass(frozen=True)
class Ranks:
    """The first process measures, publishes and reports; the others only help to train."""

    own: int = 0
    total: int = 1
    on_this_node: int = 1

    @classmethod
    def from_environment(cls) -> "Ranks":
        return cls(
            own=_number("RANK", 0),
            total=_number("WORLD_SIZE", 1),
            on_this_node=_number("LOCAL_WORLD_SIZE", 1),
        )

    @property
    def first(self) -> bool:
        return self.own == 0

    @property
    def several(self) -> bool:
        return self.total > 1


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise BadSpec(f"{name} is {value!r}; torchrun sets it to a number")
    return int(value)
