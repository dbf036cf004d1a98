"""How pages and programs ask for rows of a dataset version."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from sentops_core.store.dataset_rows import RowFilter

UNKNOWN = "-"
Hash = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]


class RowQuery(BaseModel):
    """Left empty: any."""

    search: str = Field(
        default="", max_length=200, description="Any part of the text.", examples=["spedizione"]
    )
    label: str = Field(default="", max_length=100, examples=["negative"])
    side: str = Field(default="", pattern="^(train|holdout)?$", examples=["train"])
    source: str = Field(default="", max_length=300, examples=["feedback"])
    language: str = Field(
        default="", max_length=10, description="A code; - where nobody knows.", examples=["it"]
    )
    changed: bool = Field(
        default=False, description="Only rows that staff relabelled since the version was built."
    )
    after: Hash = Field(default="", description="The `next` of the page before.")

    @property
    def filter(self) -> RowFilter:
        return RowFilter(
            search=self.search.strip() or None,
            label=self.label or None,
            split=self.side or None,
            source=self.source or None,
            language=self.language.removeprefix(UNKNOWN) if self.language else None,
            changed=self.changed,
        )

    @property
    def last(self) -> bytes:
        return bytes.fromhex(self.after)

    @property
    def asked(self) -> dict[str, str]:
        """What was asked for, but for the place in the list, as an address says it."""
        given = self.model_dump(exclude={"after", "limit"}, exclude_defaults=True)
        return {name: "true" if value is True else str(value) for name, value in given.items()}


class LimitedRowQuery(RowQuery):
    limit: int = Field(default=100, ge=1, le=1000)


RowQueryDep = Annotated[RowQuery, Query()]
LimitedRowQueryDep = Annotated[LimitedRowQuery, Query()]
