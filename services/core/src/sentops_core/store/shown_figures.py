"""What a page shows of the monitor's figures beside the newest: their course in a few points, and the mix of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.quality_figures import EVERY_LANGUAGE
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class Point:
    """Of one version, as it was last seen in that hour. What was not known is None."""

    model_version: str
    hour: datetime
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    macro_f1: float | None
    feedback_rate: float | None


_TAKEN_AT = """
SELECT max(taken_at)
  FROM quality_figures
 WHERE hour = (SELECT max(hour) FROM quality_figures)
"""
_COURSE = """
SELECT model_version, hour, accuracy, accuracy_low, accuracy_high, macro_f1, feedback_rate
  FROM quality_figures
 WHERE model_version = ANY ($1::text[]) AND time_window = $2 AND language = $3 AND hour = ANY ($4::timestamptz[])
 ORDER BY hour
"""
_LABELS_NOW = """
SELECT l.key AS label, sum(l.value::bigint)::bigint AS answers
  FROM answer_tallies t, jsonb_each_text(t.labels) l
 WHERE t.model_version = $1 AND t.bucket >= $2
 GROUP BY 1
"""
_LABELS_BEFORE = """
SELECT l.key AS label, l.value::bigint AS answers
  FROM version_references r, jsonb_each_text(r.profile_text #> '{held_out,labels}') l
 WHERE r.model_version = $1
"""


class ShownFigures:
    """Figures and counts that the monitor wrote."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def taken_at(self) -> datetime | None:
        """When the monitor last wrote figures; None: never."""
        moment: datetime | None = await self._connection.fetchval(_TAKEN_AT)
        return moment

    async def course(
        self, versions: Sequence[str], window: str, hours: Sequence[datetime]
    ) -> list[Point]:
        """In all languages together; hours without figures are absent."""
        rows = await self._connection.fetch(_COURSE, versions, window, EVERY_LANGUAGE, hours)
        return [Point(**row) for row in rows]

    async def labels_since(self, version: str, moment: datetime) -> dict[str, int]:
        """What it answered, by label."""
        rows = await self._connection.fetch(_LABELS_NOW, version, moment)
        return {row["label"]: row["answers"] for row in rows}

    async def labels_of_held_out(self, version: str) -> dict[str, int]:
        """What it answered for the held-out texts of its training; empty where that is not known."""
        rows = await self._connection.fetch(_LABELS_BEFORE, version)
        return {row["label"]: row["answers"] for row in rows}
