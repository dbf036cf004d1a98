"""The filter of the feedback inbox as an address says it."""

from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qs
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentops_core.store.feedback_inbox import Cursor, InboxFilter, Review


class InboxQuery(BaseModel):
    """Empty is any; what an address says besides is not ours."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["", "new", "accepted", "refused", "corrected"] = Field(
        default="", description="What staff decided; empty is any."
    )
    label: str = Field(default="", max_length=40, description="What the client says.")
    version: str = Field(default="", max_length=63, description="Of the model that answered.")
    differs: Literal["", "yes", "no"] = Field(
        default="", description="Whether the vote differs from the answer."
    )
    client: str = Field(default="", max_length=300)
    source: str = Field(default="", max_length=100, description="The way in: web, api.")
    before: str = Field(
        default="", pattern=r"^(\d{1,17}\.[0-9a-f]{32})?$", description="As `next` of a page says."
    )

    @classmethod
    def parse(cls, query: str) -> "InboxQuery":
        """Of a query string; what makes no sense is no filter."""
        try:
            return cls.model_validate({key: values[0] for key, values in parse_qs(query).items()})
        except (ValidationError, ValueError):
            return cls()

    def filter(self) -> InboxFilter:
        return InboxFilter(
            review=Review(self.status) if self.status else None,
            label=self.label or None,
            model_version=self.version or None,
            disagreement={"yes": True, "no": False}.get(self.differs),
            client=self.client or None,
            source=self.source or None,
        )

    def kept(self) -> dict[str, str]:
        """What is filtered by, for addresses; never the place on the pages."""
        values = self.model_dump(exclude={"before"})
        return {key: value for key, value in values.items() if value}


def text_of(cursor: Cursor | None) -> str:
    """As addresses carry it; empty at the end."""
    return "" if cursor is None else f"{microseconds_of(cursor[0])}.{cursor[1].hex}"


def cursor_of(text: str) -> Cursor | None:
    if not text:
        return None
    microseconds, _, vote = text.partition(".")
    return moment_of_microseconds(int(microseconds)), UUID(vote)


def moment_of_microseconds(microseconds: int) -> datetime:
    """Since 1970; whatever an address says is some moment."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(min(seconds, 32_503_680_000), UTC).replace(microsecond=rest)


def microseconds_of(moment: datetime) -> int:
    since = moment - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
