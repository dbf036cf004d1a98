"""Figures of the labelling queue: progress, how annotators do, how right the model is on the random share."""

from dataclasses import dataclass
from datetime import datetime

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class Progress:
    """Items by state. `begun` are open ones with an opinion, `labels_today` counts opinions of all."""

    open: int
    begun: int
    contested: int
    done: int
    dropped: int
    gold: int
    reasons: dict[str, int]  # of the open ones
    labels: int
    labels_today: int


@dataclass(frozen=True)
class AnnotatorFigures:
    """`gold_right` of `gold` blind answers were right; the mark came before the answer."""

    annotator: str
    labels: int
    skips: int
    gold: int
    gold_right: int
    last_at: datetime


@dataclass(frozen=True)
class PairFigures:
    """`same` of the `texts` that both labelled got the same label from both."""

    first: str
    second: str
    texts: int
    same: int


@dataclass(frozen=True)
class DrawnFigures:
    """`right` of `texts` settled texts of the random share."""

    model_version: str
    texts: int
    right: int


# Each by an index: what was labelled years ago is counted without reading its text.
_STATES = """
SELECT (SELECT count(*) FROM labelling_items WHERE state = 'open') AS open,
       (SELECT count(*) FROM labelling_items WHERE state = 'open' AND opinions > 0) AS begun,
       (SELECT count(*) FROM labelling_items WHERE state = 'contested') AS contested,
       (SELECT count(*) FROM labelling_items WHERE state = 'done') AS done,
       (SELECT count(*) FROM labelling_items WHERE state = 'dropped') AS dropped,
       (SELECT count(*) FROM labelling_items WHERE gold_label IS NOT NULL) AS gold
"""
_REASONS = """
SELECT reason, count(*) AS texts
  FROM labelling_items
 WHERE state = 'open'
 GROUP BY reason
 ORDER BY reason
"""
_LABELS = """
SELECT count(*) AS labels, count(*) FILTER (WHERE voted_at >= $1) AS labels_today
  FROM labelling_votes
 WHERE label IS NOT NULL
"""
# Figures of people are about the newest texts: of years ago they would say little, and take long.
_SINCE = """
SELECT coalesce((SELECT id FROM labelling_items ORDER BY id DESC OFFSET $1 LIMIT 1), 0)
"""
# Answers given before the text was marked helped to find its label, so they prove nothing.
_ANNOTATORS = """
SELECT v.annotator,
       count(v.label) AS labels,
       count(*) - count(v.label) AS skips,
       count(*) FILTER (WHERE v.label IS NOT NULL AND v.voted_at > i.gold_at) AS gold,
       count(*) FILTER (WHERE v.label = i.gold_label AND v.voted_at > i.gold_at) AS gold_right,
       max(v.voted_at) AS last_at
  FROM labelling_votes v
  JOIN labelling_items i ON i.id = v.item
 WHERE v.item > $1
 GROUP BY v.annotator
 ORDER BY labels DESC, v.annotator
 LIMIT 100
"""
_UNITS = """
SELECT labels, count(*) AS texts
  FROM (SELECT array_agg(label ORDER BY label) AS labels
          FROM labelling_votes
         WHERE label IS NOT NULL AND item > $1
         GROUP BY item
        HAVING count(*) > 1) AS units
 GROUP BY labels
"""
_PAIRS = """
SELECT a.annotator AS first, b.annotator AS second, count(*) AS texts,
       count(*) FILTER (WHERE a.label = b.label) AS same
  FROM labelling_votes a
  JOIN labelling_votes b ON b.item = a.item AND b.annotator > a.annotator
 WHERE a.item > $1 AND b.item > $1 AND a.label IS NOT NULL AND b.label IS NOT NULL
 GROUP BY a.annotator, b.annotator
 ORDER BY texts DESC, a.annotator, b.annotator
 LIMIT 100
"""
_DRAWN = """
SELECT model_version, count(*) AS texts, count(*) FILTER (WHERE label = predicted_label) AS "right"
  FROM labelling_items
 WHERE id > $1 AND drawn AND state = 'done' AND model_version IS NOT NULL AND predicted_label IS NOT NULL
 GROUP BY model_version
 ORDER BY max(predicted_at) DESC
 LIMIT 20
"""


class LabellingFigures:
    """Read only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def progress(self, *, today: datetime) -> Progress:
        """`today` is when the day began."""
        states = await self._connection.fetchrow(_STATES)
        labels = await self._connection.fetchrow(_LABELS, today)
        reasons = await self._connection.fetch(_REASONS)
        assert states is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
        assert labels is not None  # noqa: S101 - as above
        return Progress(
            **states, **labels, reasons={row["reason"]: row["texts"] for row in reasons}
        )

    async def since(self, newest: int) -> int:
        """The item after which the newest texts begin: what the methods below ask for."""
        found: int = await self._connection.fetchval(_SINCE, newest)
        return found

    async def annotators(self, since: int = 0) -> list[AnnotatorFigures]:
        """The busiest first."""
        rows = await self._connection.fetch(_ANNOTATORS, since)
        return [AnnotatorFigures(**row) for row in rows]

    async def units(self, since: int = 0) -> list[tuple[list[str], int]]:
        """For Krippendorff's alpha: the labels that one text got, and how many texts got just these."""
        rows = await self._connection.fetch(_UNITS, since)
        return [(row["labels"], row["texts"]) for row in rows]

    async def pairs(self, since: int = 0) -> list[PairFigures]:
        return [PairFigures(**row) for row in await self._connection.fetch(_PAIRS, since)]

    async def drawn(self, since: int = 0) -> list[DrawnFigures]:
        """Newest version first. The random share alone says how right the model is in general."""
        return [DrawnFigures(**row) for row in await self._connection.fetch(_DRAWN, since)]
