"""Finding what was answered: in the spool while it waits there, else in the database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sentops_core.domain.errors import PlatformError, Unavailable
from sentops_core.store.feedback import Feedback, FeedbackRow, Withdrawal
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions, moment_of
from sentops_web.records import prediction_of, vote_of, withdrawal_of
from sentops_web.spool import Entry, Spool

_PATIENCE_SECONDS = 3
_SPOOLED = 400  # of one client; what is older is in the database or soon will be


@dataclass(frozen=True)
class Found:
    """A prediction and the asker's vote on it."""

    row: PredictionRow
    vote: FeedbackRow | None


@dataclass(frozen=True)
class HistoryPage:
    """Newest first; not complete while the database cannot be read."""

    items: tuple[Found, ...]
    complete: bool


class Lookup:
    def __init__(self, spool: Spool, pool: Pool) -> None:
        self._spool = spool
        self._pool = pool

    async def find(self, prediction: UUID, client: str) -> Found | None:
        """Unavailable when it is not in the spool and the database is away."""
        waiting = await self._spool.of_key(prediction)
        rows = _predictions(waiting)
        word = _newest_words(waiting, client).get(prediction)
        if rows and word is not None:
            return Found(rows[0], _standing(None, word))
        try:
            stored, stored_votes = await self._from_database(prediction, client)
        except PlatformError:
            if not rows:
                raise
            stored, stored_votes = None, {}
        row = rows[0] if rows else stored
        return None if row is None else Found(row, _standing(stored_votes.get(prediction), word))

    async def history(self, client: str, limit: int) -> HistoryPage:
        """The client's newest predictions, spooled and stored ones together."""
        waiting = await self._spool.of_client(client, _SPOOLED)
        rows = {row.id: row for row in _predictions(waiting) if not row.shadow}
        words = _newest_words(waiting, client)
        votes: dict[UUID, FeedbackRow] = {}
        complete = True
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), transaction(self._pool) as connection:
                stored = await Predictions(connection).recent(client, limit=limit)
                rows |= {row.id: row for row in stored}
                votes = await Feedback(connection).of_client(client, list(rows))
        except (PlatformError, TimeoutError):  # away, or it refuses us: the page works all the same
            complete = False
        newest = sorted(rows.values(), key=lambda row: row.id, reverse=True)[:limit]
        found = [Found(row, _standing(votes.get(row.id), words.get(row.id))) for row in newest]
        return HistoryPage(tuple(found), complete)

    async def _from_database(
        self, prediction: UUID, client: str
    ) -> tuple[PredictionRow | None, dict[UUID, FeedbackRow]]:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), transaction(self._pool) as connection:
                row = await Predictions(connection).get(prediction, moment_of(prediction))
                return row, await Feedback(connection).of_client(client, [prediction])
        except TimeoutError as error:
            raise Unavailable("The database does not answer just now; try again soon.") from error


def _predictions(entries: Sequence[Entry]) -> list[PredictionRow]:
    return [prediction_of(one.record) for one in entries if one.record.kind == "prediction"]


def _newest_words(entries: Sequence[Entry], client: str) -> dict[UUID, FeedbackRow | Withdrawal]:
    """What the client said last about each prediction: its vote, or that it takes it back."""
    mine = [one.record for one in entries if one.record.client == client]
    words: list[FeedbackRow | Withdrawal] = [vote_of(one) for one in mine if one.kind == "vote"]
    words += [withdrawal_of(one) for one in mine if one.kind == "withdrawal"]
    return {word.prediction_id: word for word in sorted(words, key=_age)}


def _standing(
    stored: FeedbackRow | None, word: FeedbackRow | Withdrawal | None
) -> FeedbackRow | None:
    """The vote that counts, of the database's and what still waits here: the newer one."""
    if word is None or (stored is not None and stored.vote_id > _age(word)):
        return stored
    return word if isinstance(word, FeedbackRow) else None


def _age(word: FeedbackRow | Withdrawal) -> UUID:
    return word.vote_id if isinstance(word, FeedbackRow) else word.withdrawal_id
