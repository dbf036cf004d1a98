"""Labelled examples beside an answer: only those that are meant for everybody, and never in the answer's way."""

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta

from sentops_core.domain.errors import Unavailable
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.similar_examples import SimilarExample, SimilarExamples

SAMPLE = "sample"
SAMPLE_DATASET = "reviews-sample"  # what the first run calls the data that it brings along
_SHOWN = 3
_AT_ONCE = 2  # of the few connections that answers and votes need more
_SEARCH = timedelta(milliseconds=600)
_PATIENCE_SECONDS = 2.0
_VERSION = re.compile(r"v[1-9]\d{0,8}")


@dataclass(frozen=True)
class Shown:
    """Whose texts may be shown."""

    sample: bool
    versions: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> "Shown":
        """`sample,v3`; ValueError says what may stand there."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        versions = tuple(name for name in names if name != SAMPLE)
        for name in versions:
            if not _VERSION.fullmatch(name):
                raise ValueError(
                    f"'{name[:40]}' is no dataset version: name versions (v3), '{SAMPLE}', or nothing"
                )
        return cls(SAMPLE in names, versions)


class Similar:
    def __init__(self, pool: Pool, shown: Shown) -> None:
        self._pool = pool
        self._shown = shown
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def enabled(self) -> bool:
        return self._shown.sample or bool(self._shown.versions)

    async def like(self, text: str) -> list[SimilarExample]:
        """The most alike first; Unavailable when the database is away or too slow."""
        if not self.enabled:
            return []
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._turns:
                return await self._look(text)
        except TimeoutError as error:
            raise Unavailable("Examples cannot be looked up just now; try again soon.") from error

    async def _look(self, text: str) -> list[SimilarExample]:
        async with transaction(self._pool) as connection:
            examples = SimilarExamples(connection)
            versions = list(self._shown.versions)
            if self._shown.sample:
                first = await examples.first_version(SAMPLE_DATASET)
                versions += [] if first is None else [first]
            if not versions:
                return []
            return await examples.like(text, versions, limit=_SHOWN, within=_SEARCH)
