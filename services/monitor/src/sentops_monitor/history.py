"""Four weeks of counts in memory, in steps that windows are put together from: ten minutes, hours, days.

Ten minutes are kept for a day only, hours for the rest, and days are added up when they are asked for and kept until one
of their hours changes. So a window costs some dozens of sums, however many answers lie in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

from sentops_core.domain.quality_figures import WINDOWS
from sentops_core.domain.tallies import BUCKET, AnswerTally, VoteTally
from sentops_core.store.pool import Connection
from sentops_core.store.tallies import Tallies
from sentops_monitor.windows import WindowTally

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_BY_BUCKET = timedelta(hours=26)  # what the windows of 1 h and 24 h may reach back to
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_Key = tuple[str, str]  # version, language


@dataclass(frozen=True)
class Cell:
    """What was counted in a stretch of time, by version and language."""

    answers: Mapping[_Key, AnswerTally]
    votes: Mapping[_Key, VoteTally]

    @classmethod
    def total(cls, cells: "Iterable[Cell]") -> "Cell":
        answers: defaultdict[_Key, AnswerTally] = defaultdict(AnswerTally)
        votes: defaultdict[_Key, VoteTally] = defaultdict(VoteTally)
        for cell in cells:
            for key, answered in cell.answers.items():
                answers[key] += answered
            for key, voted in cell.votes.items():
                votes[key] += voted
        return cls(dict(answers), dict(votes))


_NOTHING = Cell({}, {})


def floor(moment: datetime, step: timedelta) -> datetime:
    """The beginning of the ten minutes, hour or day (UTC) that the moment lies in."""
    return moment - (moment - _EPOCH) % step


def begin_of(window: str, now: datetime) -> datetime:
    """A window begins at whole ten minutes, and one of several days at a whole hour: so much longer it can be."""
    length = WINDOWS[window]
    return floor(now - length, HOUR if length > DAY else BUCKET)


class History:
    """Sums of the stored counts; `load` it before it is asked, and again where something was counted anew."""

    def __init__(self) -> None:
        self._buckets: dict[datetime, Cell] = {}
        self._hours: dict[datetime, Cell] = {}
        self._days: dict[datetime, Cell] = {}

    async def load(
        self, connection: Connection, start: datetime, end: datetime, now: datetime
    ) -> None:
        """Read the counts of these whole hours as they are stored; needs a transaction."""
        for hour in _steps(start, end, HOUR):
            self._hours.pop(hour, None)
            for bucket in _steps(hour, hour + HOUR, BUCKET):
                self._buckets.pop(bucket, None)
        for day in _steps(floor(start, DAY), end, DAY):
            self._days.pop(day, None)
        recent = floor(now - _BY_BUCKET, HOUR)
        # Day by day, so that four weeks of ten minutes are never in memory at once.
        for day in _steps(start, end, DAY):
            stored = await _stored(connection, day, min(day + DAY, end))
            self._buckets |= {bucket: cell for bucket, cell in stored.items() if bucket >= recent}
            for hour, buckets in groupby(sorted(stored), partial(floor, step=HOUR)):
                self._hours[hour] = Cell.total(stored[bucket] for bucket in buckets)

    def forget(self, now: datetime) -> None:
        """Let go of what no window reaches any more."""
        recent, oldest = floor(now - _BY_BUCKET, HOUR), begin_of("28d", now)
        self._buckets = {key: cell for key, cell in self._buckets.items() if key >= recent}
        self._hours = {key: cell for key, cell in self._hours.items() if key >= oldest}
        self._days = {key: cell for key, cell in self._days.items() if key >= floor(oldest, DAY)}

    def windows(self, now: datetime) -> list[WindowTally]:
        """Every version in every window that it answered in."""
        return [
            tally
            for window in WINDOWS
            for tally in _by_version(window, self._total(begin_of(window, now), now))
        ]

    def votes_in_order(self, model_version: str, now: datetime) -> list[dict[str, VoteTally]]:
        """Of four weeks, oldest first, by language: today's and yesterday's hour by hour, earlier ones day by day."""
        yesterday = floor(now, DAY) - DAY
        hours = _steps(yesterday, floor(now, HOUR) + HOUR, HOUR)
        cells = [
            *self._pieces(begin_of("28d", now), yesterday),
            *(self._hours[hour] for hour in hours if hour in self._hours),
        ]
        found = [
            {
                language: tally
                for (version, language), tally in cell.votes.items()
                if version == model_version
            }
            for cell in cells
        ]
        return [votes for votes in found if votes]

    def _total(self, start: datetime, now: datetime) -> Cell:
        return Cell.total(self._pieces(start, floor(now, BUCKET) + BUCKET))

    def _pieces(self, start: datetime, end: datetime) -> Iterator[Cell]:
        moment = start
        while moment < end:
            if moment == floor(moment, DAY) and moment + DAY <= end:
                yield self._day(moment)
                moment += DAY
            elif moment == floor(moment, HOUR) and moment + HOUR <= floor(end, HOUR) + HOUR:
                yield self._hours.get(moment, _NOTHING)
                moment += HOUR
            else:
                yield self._buckets.get(moment, _NOTHING)
                moment += BUCKET

    def _day(self, day: datetime) -> Cell:
        if day not in self._days:
            hours = _steps(day, day + DAY, HOUR)
            self._days[day] = Cell.total(self._hours[hour] for hour in hours if hour in self._hours)
        return self._days[day]


def _steps(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


async def _stored(connection: Connection, start: datetime, end: datetime) -> dict[datetime, Cell]:
    tallies = Tallies(connection)
    answers: defaultdict[datetime, dict[_Key, AnswerTally]] = defaultdict(dict)
    votes: defaultdict[datetime, dict[_Key, VoteTally]] = defaultdict(dict)
    async for (bucket, version, language), answered in tallies.answers(start, end):
        answers[bucket][version, language] = answered
    async for (bucket, version, language), voted in tallies.votes(start, end):
        votes[bucket][version, language] = voted
    return {
        bucket: Cell(answers.get(bucket, {}), votes.get(bucket, {}))
        for bucket in answers.keys() | votes.keys()
    }


def _by_version(window: str, total: Cell) -> Iterator[WindowTally]:
    answers: defaultdict[str, dict[str, AnswerTally]] = defaultdict(dict)
    votes: defaultdict[str, dict[str, VoteTally]] = defaultdict(dict)
    for (version, language), answered in total.answers.items():
        answers[version][language] = answered
    for (version, language), voted in total.votes.items():
        votes[version][language] = voted
    for version in sorted(answers):
        yield WindowTally(version, window, answers[version], votes[version])
