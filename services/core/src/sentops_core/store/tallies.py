"""The counts of answers and votes per ten minutes: which are due, how they are counted again, how they are read."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from uuid import UUID

from sentops_core.domain.tallies import BUCKET, AnswerTally, Counts, VoteTally
from sentops_core.store.pool import Connection
from sentops_core.store.tally_counting import TallyKey, count_answers, count_votes


class Kind(StrEnum):
    ANSWERS = "answers"
    VOTES = "votes"


@dataclass(frozen=True)
class Due:
    """Ten minutes to be counted; `changes` says whether something more changed since this was read."""

    kind: Kind
    bucket: datetime
    changes: int


# Two monitors take turns, and the later one learns that its memory is out of date.
_KEEP = """
INSERT INTO tally_keeper AS kept (keeper)
VALUES ($1)
    ON CONFLICT (singleton) DO UPDATE
       SET keeper = EXCLUDED.keeper,
           since = CASE WHEN kept.keeper = EXCLUDED.keeper THEN kept.since ELSE now() END
RETURNING since = now() AS is_new
"""
_DUE = """
SELECT kind, bucket, changes
  FROM tallies_due
 ORDER BY bucket DESC, kind
 LIMIT $1
"""
_WAITING = "SELECT count(*) FROM tallies_due"
# A row that somebody holds is about to change and stays due. Waiting for it could make a writer wait for us in turn.
_SETTLE = """
WITH settled AS (
    SELECT due.kind, due.bucket
      FROM tallies_due due
      JOIN unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS counted (kind, bucket, changes)
           USING (kind, bucket, changes)
       FOR UPDATE OF due SKIP LOCKED
)
DELETE FROM tallies_due due
 USING settled
 WHERE due.kind = settled.kind AND due.bucket = settled.bucket
"""
_TOO_OLD = """
WITH old AS (SELECT kind, bucket FROM tallies_due WHERE bucket < $1 FOR UPDATE SKIP LOCKED)
DELETE FROM tallies_due due
 USING old
 WHERE due.kind = old.kind AND due.bucket = old.bucket
"""
# Of versions whose own words were not known when these were counted.
_WORDS_DUE = """
INSERT INTO tallies_due AS due (kind, bucket)
SELECT DISTINCT 'answers', bucket
  FROM answer_tallies
 WHERE model_version = ANY ($1::text[]) AND unseen_words IS NULL AND words > 0 AND bucket >= $2
 ORDER BY 2
    ON CONFLICT (kind, bucket) DO UPDATE SET changes = due.changes + 1
"""
_ANSWERING = """
SELECT DISTINCT model_version FROM answer_tallies WHERE bucket >= $1
UNION
SELECT champion FROM routing WHERE champion IS NOT NULL
"""
_FORGET_ANSWERS = """
DELETE FROM answer_tallies WHERE bucket >= $1 AND bucket < $2 RETURNING bucket, model_version, answers
"""
_FORGET_VOTES = """
DELETE FROM vote_tallies WHERE bucket >= $1 AND bucket < $2 RETURNING bucket, model_version, votes, agreed
"""
# What the ten minutes add to their days, or take away.
_CHANGE_DAYS = """
INSERT INTO day_tallies AS stored (day, model_version, answers, votes, agreed)
SELECT day, model_version, answers, votes, agreed
  FROM unnest($1::date[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
       AS changed (day, model_version, answers, votes, agreed)
    ON CONFLICT (day, model_version) DO UPDATE
       SET answers = stored.answers + EXCLUDED.answers, votes = stored.votes + EXCLUDED.votes,
           agreed = stored.agreed + EXCLUDED.agreed
"""
_ANSWER_COLUMNS = (
    "bucket",
    "model_version",
    "language",
    "answers",
    "labels",
    "confidences",
    "scores",
    "lengths",
    "sampled",
    "words",
    "unseen_words",
    "word_slots",
)
_VOTE_COLUMNS = (
    "bucket",
    "model_version",
    "language",
    "votes",
    "confusion",
    "voted",
    "agreed",
    "scores",
)
_READ_ANSWERS = """
SELECT bucket, model_version, language, answers, labels, confidences, scores, lengths, sampled, words, unseen_words,
       word_slots
  FROM answer_tallies
 WHERE bucket >= $1 AND bucket < $2
 ORDER BY bucket
"""
_READ_VOTES = """
SELECT bucket, model_version, language, votes, confusion, voted, agreed, scores
  FROM vote_tallies
 WHERE bucket >= $1 AND bucket < $2
 ORDER BY bucket
"""
_DROP_ANSWERS = "DELETE FROM answer_tallies WHERE bucket < $1"
_DROP_VOTES = "DELETE FROM vote_tallies WHERE bucket < $1"
_DROP_DAYS = "DELETE FROM day_tallies WHERE day < ($1::timestamptz AT TIME ZONE 'UTC')::date"


class _Days:
    """How the sums of days change."""

    def __init__(self) -> None:
        self._changes: dict[tuple[date, str], list[int]] = {}

    def add(
        self, bucket: datetime, version: str, *, answers: int = 0, votes: int = 0, agreed: int = 0
    ) -> None:
        change = self._changes.setdefault((bucket.astimezone(UTC).date(), version), [0, 0, 0])
        for place, more in enumerate((answers, votes, agreed)):
            change[place] += more

    def changes(self) -> list[list[object]]:
        """The columns of _CHANGE_DAYS; empty when all is as it was."""
        rows = [(*key, *change) for key, change in sorted(self._changes.items()) if any(change)]
        return [list(column) for column in zip(*rows, strict=True)]


class Tallies:
    """The tables of counts. Every method needs the caller's transaction, at READ COMMITTED."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def keep(self, keeper: UUID) -> bool:
        """Let nobody else count before this transaction ends. Whether another one counted since we last did."""
        is_new: bool = await self._connection.fetchval(_KEEP, keeper)
        return is_new

    async def due(self, limit: int) -> list[Due]:
        """The newest ten minutes first."""
        rows = await self._connection.fetch(_DUE, limit)
        return [Due(Kind(row["kind"]), row["bucket"], row["changes"]) for row in rows]

    async def waiting(self) -> int:
        count: int = await self._connection.fetchval(_WAITING)
        return count

    async def recount(
        self, due: Sequence[Due], vocabularies: Mapping[str, Collection[int]]
    ) -> None:
        """Count these ten minutes again and store what came out; `due` was read by an earlier statement.

        Whatever is written after that reading makes them due once more, so nothing is lost. `vocabularies`: the words
        that versions know, as hashes.
        """
        days = _Days()
        for start, end in runs(one.bucket for one in due if one.kind is Kind.ANSWERS):
            answers = await count_answers(self._connection, start, end, vocabularies)
            for row in await self._connection.fetch(_FORGET_ANSWERS, start, end):
                days.add(row["bucket"], row["model_version"], answers=-row["answers"])
            for (bucket, version, _), tally in answers.items():
                days.add(bucket, version, answers=tally.answers)
            await self._connection.copy_records_to_table(
                "answer_tallies",
                records=[_answer_record(key, tally) for key, tally in answers.items()],
                columns=_ANSWER_COLUMNS,
            )
        # Of new answers too: a vote can have come before the answer that it is on.
        for start, end in runs(one.bucket for one in due):
            votes = await count_votes(self._connection, start, end)
            for row in await self._connection.fetch(_FORGET_VOTES, start, end):
                agreed = _total(row["agreed"])
                days.add(row["bucket"], row["model_version"], votes=-row["votes"], agreed=-agreed)
            for (bucket, version, _), said in votes.items():
                days.add(bucket, version, votes=said.votes, agreed=_total(said.right))
            await self._connection.copy_records_to_table(
                "vote_tallies",
                records=[_vote_record(key, tally) for key, tally in votes.items()],
                columns=_VOTE_COLUMNS,
            )
        if changes := days.changes():
            await self._connection.execute(_CHANGE_DAYS, *changes)
        await self._connection.execute(
            _SETTLE,
            [one.kind for one in due],
            [one.bucket for one in due],
            [one.changes for one in due],
        )

    async def answering(self, since: datetime) -> frozenset[str]:
        """Versions that answered by what was counted, and those that answer now."""
        return frozenset(row[0] for row in await self._connection.fetch(_ANSWERING, since))

    async def count_words_again(self, versions: Collection[str], since: datetime) -> None:
        """Of these versions, whose words have become known."""
        await self._connection.execute(_WORDS_DUE, sorted(versions), since)

    async def leave_uncounted(self, before: datetime) -> None:
        """What is too old for any window is not counted any more."""
        await self._connection.execute(_TOO_OLD, before)

    async def drop_before(self, moment: datetime) -> None:
        await self._connection.execute(_DROP_ANSWERS, moment)
        await self._connection.execute(_DROP_VOTES, moment)
        await self._connection.execute(_DROP_DAYS, moment)

    async def answers(
        self, start: datetime, end: datetime
    ) -> AsyncIterator[tuple[TallyKey, AnswerTally]]:
        """From `start` to before `end`, by bucket."""
        async for row in self._connection.cursor(_READ_ANSWERS, start, end, prefetch=200):
            yield (
                (row["bucket"], row["model_version"], row["language"]),
                AnswerTally(
                    answers=row["answers"],
                    labels=row["labels"],
                    confidences=_bins(row["confidences"]),
                    lengths=tuple(row["lengths"]),
                    sampled=row["sampled"],
                    words=row["words"],
                    unseen_words=row["unseen_words"],
                    word_slots=tuple(row["word_slots"]),
                    scores=_bins(row["scores"]),
                ),
            )

    async def votes(
        self, start: datetime, end: datetime
    ) -> AsyncIterator[tuple[TallyKey, VoteTally]]:
        """On answers given from `start` to before `end`, by bucket."""
        async for row in self._connection.cursor(_READ_VOTES, start, end, prefetch=200):
            yield (
                (row["bucket"], row["model_version"], row["language"]),
                VoteTally(
                    votes=row["votes"],
                    confusion=row["confusion"],
                    voted=_bins(row["voted"]),
                    right=_bins(row["agreed"]),
                    scores=_bins(row["scores"]),
                ),
            )


def runs(buckets: Iterable[datetime], width: timedelta = BUCKET) -> list[tuple[datetime, datetime]]:
    """Neighbours as one stretch each: from its beginning to its end."""
    ordered = sorted(set(buckets))
    stretches = groupby(enumerate(ordered), lambda pair: pair[1] - pair[0] * width)
    found = [[bucket for _, bucket in stretch] for _, stretch in stretches]
    return [(stretch[0], stretch[-1] + width) for stretch in found]


def _answer_record(key: TallyKey, tally: AnswerTally) -> tuple[object, ...]:
    return (
        *key,
        tally.answers,
        tally.labels,
        tally.confidences,
        tally.scores,
        tally.lengths,
        tally.sampled,
        tally.words,
        tally.unseen_words,
        tally.word_slots,
    )


def _vote_record(key: TallyKey, tally: VoteTally) -> tuple[object, ...]:
    return (*key, tally.votes, tally.confusion, tally.voted, tally.right, tally.scores)


def _total(bins: Mapping[str, Sequence[int]]) -> int:
    return sum(sum(counts) for counts in bins.values())


def _bins(stored: Mapping[str, Sequence[int]]) -> dict[str, Counts]:
    return {label: tuple(counts) for label, counts in stored.items()}
