"""The pages of one's own answers: where one ends and the next begins, as an address says it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Query

from sentops_backoffice.inbox_query import microseconds_of, moment_of_microseconds
from sentops_core.store.labelling import OwnVote

_LAST_ID = 2**63 - 1
BeforeOwn = Annotated[
    str,
    Query(
        pattern=r"^(\d{1,17}\.\d{1,19})?$",
        description="As `next` of a page says.",
        examples=["1790000000000000.12"],
    ),
]


def own_vote_of(text: str) -> tuple[datetime, int] | None:
    """Moment and item of the last answer already seen."""
    if not text:
        return None
    microseconds, _, item = text.partition(".")
    return moment_of_microseconds(int(microseconds)), min(int(item), _LAST_ID)


def own_vote_after(votes: Sequence[OwnVote], limit: int) -> str | None:
    """Where the next page begins; None when these are the last."""
    if len(votes) < limit:
        return None
    return f"{microseconds_of(votes[-1].voted_at)}.{votes[-1].item}"
