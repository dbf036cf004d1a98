"""Answers and votes of whole ten minutes, counted from the tables themselves.

Each statement reads one run of ten minutes and nothing before or after it, whatever lies in the tables.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

import asyncpg

from sentops_core.domain.reference import count_words
from sentops_core.domain.tallies import (
    CONFIDENCE_BINS,
    LENGTH_EDGES,
    SCORE_UNIT,
    WORD_SLOTS,
    AnswerTally,
    Counts,
    VoteTally,
)
from sentops_core.store.pool import Connection

TEXTS_PER_BUCKET = 100

TallyKey = tuple[datetime, str, str]  # bucket, version, language

# By score and by length apart: together they would be nearly as many groups as answers.
_ANSWERS = """
SELECT bucket, model_version, language, label, twentieth, length_bin, grouping(label) = 1 AS of_lengths,
       count(*) AS answers, sum(round(score * $4))::bigint AS scores
  FROM (SELECT tally_bucket(p.created_at) AS bucket, p.model_version, coalesce(p.language, 'unknown') AS language,
               p.label, p.score::float8 AS score,
               least(greatest(floor(p.score::float8 * $5), 0), $5 - 1)::integer AS twentieth,
               width_bucket(length(p.text), $3::integer[]) AS length_bin
          FROM predictions p
         WHERE p.created_at >= $1 AND p.created_at < $2 AND NOT p.shadow) AS answers
 GROUP BY GROUPING SETS ((bucket, model_version, language, label, twentieth),
                         (bucket, model_version, language, length_bin))
"""
# The last digits of a UUIDv7 are random: the same texts each time, and none more likely than another.
_TEXTS = """
SELECT b.bucket, p.model_version, p.language, p.text
  FROM generate_series($1::timestamptz, $2::timestamptz - interval '10 minutes', interval '10 minutes') AS b (bucket)
 CROSS JOIN LATERAL (
          SELECT p.model_version, coalesce(p.language, 'unknown') AS language, p.text
            FROM predictions p
           WHERE p.created_at >= b.bucket AND p.created_at < b.bucket + interval '10 minutes'
             AND NOT p.shadow AND p.text IS NOT NULL
           ORDER BY right(p.id::text, 12), p.id
           LIMIT $3
       ) AS p
"""
_VOTES = """
SELECT tally_bucket(v.predicted_at) AS bucket, p.model_version, coalesce(p.language, 'unknown') AS language,
       v.label AS meant, p.label AS answered,
       least(greatest(floor(p.score::float8 * $4), 0), $4 - 1)::integer AS twentieth,
       count(*) AS votes, sum(round(p.score::float8 * $3))::bigint AS scores
  FROM counted_votes v
  JOIN predictions p ON p.created_at = v.predicted_at AND p.id = v.prediction_id
 WHERE v.predicted_at >= $1 AND v.predicted_at < $2 AND p.created_at >= $1 AND p.created_at < $2
   AND NOT p.shadow
 GROUP BY 1, 2, 3, 4, 5, 6
"""


class _Bins:
    """By label, counts per twentieth of the score."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def add(self, label: str, twentieth: int, count: int) -> None:
        self._counts.setdefault(label, [0] * CONFIDENCE_BINS)[twentieth] += count

    def counted(self) -> dict[str, Counts]:
        return {label: tuple(counts) for label, counts in self._counts.items()}


class _Answers:
    """An AnswerTally in the making."""

    def __init__(self) -> None:
        self.labels: dict[str, int] = {}
        self.confidences = _Bins()
        self.scores = _Bins()
        self.lengths = [0] * (len(LENGTH_EDGES) + 1)
        self.sampled = 0
        self.words = 0
        self.unseen: int | None = 0
        self.slots = [0] * WORD_SLOTS

    def add_text(self, text: str, vocabulary: Collection[int] | None) -> None:
        found = count_words(text, vocabulary)
        self.sampled += 1
        self.words += found.words
        self.unseen = (
            None if self.unseen is None or found.unseen is None else self.unseen + found.unseen
        )
        for slot in found.slots:
            self.slots[slot] += 1

    def counted(self) -> AnswerTally:
        return AnswerTally(
            answers=sum(self.labels.values()),
            labels=self.labels,
            confidences=self.confidences.counted(),
            lengths=tuple(self.lengths),
            sampled=self.sampled,
            words=self.words,
            unseen_words=self.unseen if self.words else None,
            word_slots=tuple(self.slots),
            scores=self.scores.counted(),
        )


class _Votes:
    """A VoteTally in the making."""

    def __init__(self) -> None:
        self.votes = 0
        self.confusion: dict[str, dict[str, int]] = {}
        self.voted = _Bins()
        self.right = _Bins()
        self.scores = _Bins()

    def counted(self) -> VoteTally:
        return VoteTally(
            votes=self.votes,
            confusion=self.confusion,
            voted=self.voted.counted(),
            right=self.right.counted(),
            scores=self.scores.counted(),
        )


async def count_answers(
    connection: Connection,
    start: datetime,
    end: datetime,
    vocabularies: Mapping[str, Collection[int]],
) -> dict[TallyKey, AnswerTally]:
    """Of the ten minutes from `start` to before `end`; `vocabularies` by version. Needs a transaction."""
    found: dict[TallyKey, _Answers] = {}
    for row in await connection.fetch(
        _ANSWERS, start, end, LENGTH_EDGES, float(SCORE_UNIT), CONFIDENCE_BINS
    ):
        tally = found.setdefault(_key(row), _Answers())
        if not row["of_lengths"]:
            label, twentieth = row["label"], row["twentieth"]
            tally.labels[label] = tally.labels.get(label, 0) + row["answers"]
            tally.confidences.add(label, twentieth, row["answers"])
            tally.scores.add(label, twentieth, row["scores"])
        elif row["length_bin"] is not None:  # a text that was erased has no length any more
            tally.lengths[row["length_bin"]] += row["answers"]
    async for row in connection.cursor(_TEXTS, start, end, TEXTS_PER_BUCKET, prefetch=200):
        if (key := _key(row)) in found:  # not one that came between the two statements
            found[key].add_text(row["text"], vocabularies.get(key[1]))
    return {key: tally.counted() for key, tally in found.items()}


async def count_votes(
    connection: Connection, start: datetime, end: datetime
) -> dict[TallyKey, VoteTally]:
    """Of the answers given from `start` to before `end`, whenever the votes came."""
    found: dict[TallyKey, _Votes] = {}
    for row in await connection.fetch(_VOTES, start, end, float(SCORE_UNIT), CONFIDENCE_BINS):
        tally = found.setdefault(_key(row), _Votes())
        meant, answered, votes = row["meant"], row["answered"], row["votes"]
        tally.votes += votes
        answers = tally.confusion.setdefault(meant, {})
        answers[answered] = answers.get(answered, 0) + votes
        tally.voted.add(answered, row["twentieth"], votes)
        tally.right.add(answered, row["twentieth"], votes if meant == answered else 0)
        tally.scores.add(answered, row["twentieth"], row["scores"])
    return {key: tally.counted() for key, tally in found.items()}


def _key(row: asyncpg.Record) -> TallyKey:
    return row["bucket"], row["model_version"], row["language"]
