"""What the overview says, read in one go: who serves, how good it is, what runs, what needs a person."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sentops_backoffice.monitored import DAY, WEEK, Drifts, Monitored, monitored
from sentops_core.domain.attention import Need, Seen, needs
from sentops_core.domain.quality import Accuracy, accuracy_of
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.overview import DayOfAnswers, DayOfVotes, Overview, Work
from sentops_core.store.pool import Connection
from sentops_core.store.retention import RetentionTable
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobRow, TrainingJobs

DAYS = 28
RECENT_DAYS = 7
_NEWS = timedelta(days=7)  # what is older was seen, or did not matter


@dataclass(frozen=True)
class Serving:
    """`recent` is how often people agreed with it lately; None: nobody said. `measured_at`: by the monitor's figures of then."""

    variant: str
    model_version: str
    weight: int
    shadow: bool
    since: datetime | None
    recent: Accuracy | None
    measured_at: datetime | None = None


@dataclass(frozen=True)
class Running:
    job: str
    phase: str
    dataset: str
    progress: int | None
    seconds_left: int | None
    created_by: str


@dataclass(frozen=True)
class Day:
    """`accuracy` is of everything that was answered that day, whichever version it was."""

    day: date
    answers: int
    accuracy: Accuracy | None


@dataclass(frozen=True)
class StateOfAffairs:
    now: datetime
    serving: tuple[Serving, ...]
    running: tuple[Running, ...]
    work: Work
    needs: tuple[Need, ...]
    days: tuple[Day, ...]
    monitored: Monitored

    @property
    def answers(self) -> int:
        return sum(one.answers for one in self.days)


@dataclass
class PastDays:
    """The days that are over, read again now and then: few votes still come in on them, and counting takes a while."""

    every: timedelta = timedelta(minutes=5)
    _read: tuple[datetime, datetime] | None = None  # when, and until which day
    _answers: list[DayOfAnswers] = field(default_factory=list)
    _votes: list[DayOfVotes] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def until(
        self, today: datetime, connection: Connection, *, now: datetime
    ) -> tuple[list[DayOfAnswers], list[DayOfVotes]]:
        async with self._turn:
            read = self._read
            if read is None or read[1] != today or now - read[0] >= self.every:
                since, overview = today - timedelta(days=DAYS - 1), Overview(connection)
                self._answers = await overview.answers_by_day(since, today)
                self._votes = await overview.votes_by_day(since, today)
                self._read = now, today
            return self._answers, self._votes


async def state_of_affairs(
    connection: Connection, model_name: str, past: PastDays, *, now: datetime, window: str = WEEK
) -> StateOfAffairs:
    """`window` is the one whose course, drift and labels are shown."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow, today = midnight + timedelta(days=1), midnight.date()
    overview = Overview(connection)
    counts, votes = await past.until(midnight, connection, now=now)
    counts = counts + await overview.answers_by_day(midnight, tomorrow)
    votes = votes + await overview.votes_by_day(midnight, tomorrow)
    answers = {one.day: one.answers for one in counts}
    days = tuple(
        Day(day, answers.get(day, 0), _accuracy([one for one in votes if one.day == day]))
        for day in (today - timedelta(days=DAYS - 1 - number) for number in range(DAYS))
    )
    recent_from = today - timedelta(days=RECENT_DAYS - 1)
    recent = [one for one in votes if one.day >= recent_from]
    before = [one for one in votes if one.day < recent_from]
    routing = await RoutingTable(connection).get(model_name)
    champion, previous = routing.champion, routing.previous_champion
    figures = await monitored(
        connection, champion=champion, previous=previous, window=window, now=now
    )
    serving = []
    for one in routing.routing.variants:
        # Seven days, by the monitor's figures where they say something now, else by the votes themselves.
        seen_by_monitor = figures.quality(f"{RECENT_DAYS}d", one.model_version)
        serving.append(
            Serving(
                variant=one.name,
                model_version=one.model_version,
                weight=one.weight,
                shadow=one.shadow,
                since=await _since(connection, one.model_version),
                recent=seen_by_monitor.accuracy
                if seen_by_monitor
                else _accuracy(_of(recent, one.model_version)),
                measured_at=figures.taken_at if seen_by_monitor else None,
            )
        )
    jobs = await TrainingJobs(connection).list_open()
    retention = await RetentionTable(connection).get()
    work = await overview.work()
    seen = Seen(
        champion=champion,
        answers=sum(answers.get(one.day, 0) for one in days if one.day >= recent_from),
        recent=_accuracy(_of(recent, routing.champion)),
        before=_accuracy(_of(before, routing.champion)),
        versions=await overview.noted_versions(model_name, now - _NEWS),
        jobs=await overview.failed_jobs(model_name, now - _NEWS),
        contested_texts=work.contested_texts,
        tidied_at=retention.tidied_at,
        tidying_postponed=retention.postponed,
        accuracies=figures.accuracies(),
        previous_accuracies=figures.accuracies(previous) if previous else {},
        drifted=figures.drifts.get(DAY, Drifts()).drifted,
        figures_at=figures.taken_at,
        figures_fresh=figures.fresh,
    )
    return StateOfAffairs(
        now=now,
        serving=tuple(serving),
        running=tuple(_running(row) for row in jobs),
        work=work,
        needs=needs(seen, now=now),
        days=days,
        monitored=figures,
    )


async def _since(connection: Connection, version: str) -> datetime | None:
    row = await ModelVersions(connection).find(version)
    return row.version.status.phase_started_at if row else None


def _of(votes: Sequence[DayOfVotes], version: str | None) -> list[DayOfVotes]:
    return [one for one in votes if one.model_version == version]


def _accuracy(votes: Sequence[DayOfVotes]) -> Accuracy | None:
    return accuracy_of(sum(one.right for one in votes), sum(one.votes for one in votes))


def _running(row: TrainingJobRow) -> Running:
    progress = row.job.status.trainer_status
    return Running(
        job=row.job.metadata.name,
        phase=row.job.status.phase,
        dataset=row.dataset_version or "",
        progress=progress.progress_percentage if progress else None,
        seconds_left=progress.estimated_remaining_seconds if progress else None,
        created_by=row.created_by,
    )
