"""The overview: what serves, how good it is, what waits for people. A page, and the same for programs."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from sentops_backoffice.charts import LineChart, Series, line_chart
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.monitor_charts import course_charts, drift_bars, mix_bars
from sentops_backoffice.monitored import WEEK, Monitored
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.state_of_affairs import DAYS, RECENT_DAYS, StateOfAffairs, state_of_affairs
from sentops_core.domain.base import Body, Moment
from sentops_core.domain.drift import FLOOR
from sentops_core.domain.quality import Accuracy
from sentops_core.domain.quality_figures import WINDOWS, QualityFigures
from sentops_core.store.feedback_inbox import COUNTED_VOTES

router = APIRouter(tags=["pages"], include_in_schema=False)
api = APIRouter(prefix="/api", tags=["platform"])

_COUNTED = f"Up to {COUNTED_VOTES}: then there are so many, or more."


Window = Literal["1h", "24h", "7d", "28d"]


@router.get("/index", summary="The overview")
async def get_index(
    page: PageDep,
    parts: PartsDep,
    connection: Connection,
    window: Annotated[str, Query(max_length=10)] = WEEK,
) -> Response:
    """`window`: over which time quality, drift and labels are shown; one that there is not is the usual one."""
    now = datetime.now(UTC)
    shown = await state_of_affairs(
        connection,
        parts.settings.model_name,
        parts.past_days,
        now=now,
        window=window if window in WINDOWS else WEEK,
    )
    figures = shown.monitored
    return page.render(
        "index.html",
        current="overview",
        shown=shown,
        counted=COUNTED_VOTES,
        monitored=figures,
        windows=list(WINDOWS),
        recent_days=RECENT_DAYS,
        days=DAYS,
        refusals=sorted(
            {
                one.estimate_refused
                for window in WINDOWS
                if (one := figures.quality(window)) and one.estimate_refused
            }
        ),
        course_charts=course_charts(figures, page.words, page.formats),
        drift_bars=drift_bars(figures.drifts.get(figures.window)),
        drift_floor=FLOOR,
        mix_now=mix_bars(figures.mix, figures.mix_before, page.formats),
        mix_before=mix_bars(figures.mix_before, figures.mix, page.formats),
        accuracy_chart=_accuracy_chart(shown, page),
        answers_chart=_answers_chart(shown, page),
    )


class Quality(Body):
    """A share of `votes`; `low` and `high` are the ends of its 95 % Wilson interval."""

    value: float
    low: float
    high: float
    votes: int

    @classmethod
    def of(cls, accuracy: Accuracy) -> "Quality":
        return cls(
            value=accuracy.value, low=accuracy.low, high=accuracy.high, votes=accuracy.samples
        )


class ServingNow(Body):
    variant: str
    model_version: str
    weight: int
    shadow: bool
    since: Moment | None = None
    quality: Quality | None = None


class RunningNow(Body):
    training_job: str
    phase: str
    dataset_version: str
    progress_percentage: int | None = None
    estimated_remaining_seconds: int | None = None
    created_by: str


class NeedNow(Body):
    kind: str
    subject: str
    reason: str = Field(description="One word, as in conditions; empty where there is none.")
    detail: str
    count: int
    at: Moment | None = None


class DayOfAnswers(Body):
    day: date
    answers: int
    quality: Quality | None = None


class WorkNow(Body):
    open_texts: int
    contested_texts: int
    new_votes: int = Field(description=_COUNTED)
    votes_since_dataset: int = Field(description=_COUNTED)


class Estimated(Body):
    """A share with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Accuracy | None) -> "Estimated | None":
        return None if found is None else cls(value=found.value, low=found.low, high=found.high)


class WindowNow(Body):
    """Of the champion, in all languages. `estimated_accuracy` is without votes; if absent, `estimate_refused` says why."""

    window: Window
    answers: int
    votes: int
    feedback_rate: float
    accuracy: Estimated | None = None
    macro_f1: Estimated | None = None
    estimated_accuracy: Estimated | None = None
    estimate_refused: str | None = None


class DriftNow(Body):
    """`distance`: Jensen-Shannon, 0 to 1, against what the champion was trained on."""

    window: Window
    feature: str
    distance: float
    drifted: bool
    samples: int


class MonitorNow(Body):
    """Figures of the monitor; `windows` and `drift` are empty when they are not `fresh`."""

    at: Moment | None = None
    fresh: bool
    windows: list[WindowNow]
    drift: list[DriftNow]


class OverviewNow(Body):
    """Quality is of the last 7 days and absent where nobody voted; days are in UTC."""

    at: Moment
    serving: list[ServingNow]
    running: list[RunningNow]
    work: WorkNow
    needs: list[NeedNow]
    days: list[DayOfAnswers]
    monitor: MonitorNow


_EXAMPLE: dict[str, Any] = {
    "at": "2026-11-21T12:00:00Z",
    "serving": [
        {
            "variant": "champion",
            "model_version": "sentiment-v8",
            "weight": 100,
            "shadow": False,
            "since": "2026-11-18T09:30:00Z",
            "quality": {"value": 0.86, "low": 0.83, "high": 0.89, "votes": 412},
        }
    ],
    "running": [],
    "work": {"open_texts": 12, "contested_texts": 1, "new_votes": 40, "votes_since_dataset": 55},
    "needs": [
        {
            "kind": "awaits_approval",
            "subject": "sentiment-v9",
            "reason": "AwaitingApproval",
            "detail": "A candidate; promote or approve it to roll it out.",
            "count": 0,
            "at": "2026-11-21T10:00:00Z",
        }
    ],
    "days": [{"day": "2026-11-21", "answers": 310}],
    "monitor": {
        "at": "2026-11-21T11:59:50Z",
        "fresh": True,
        "windows": [
            {
                "window": "24h",
                "answers": 310,
                "votes": 41,
                "feedback_rate": 0.132,
                "accuracy": {"value": 0.85, "low": 0.71, "high": 0.93},
                "estimate_refused": "Too few votes to try the estimate on.",
            }
        ],
        "drift": [
            {
                "window": "24h",
                "feature": "words",
                "distance": 0.04,
                "drifted": False,
                "samples": 310,
            }
        ],
    },
}


@api.get(
    "/overview",
    summary="What serves, how good it is, what runs and what needs a person",
    response_model_exclude_none=True,
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}},
)
async def get_overview(parts: PartsDep, connection: Connection) -> OverviewNow:
    now = datetime.now(UTC)
    seen = await state_of_affairs(connection, parts.settings.model_name, parts.past_days, now=now)
    return OverviewNow(
        at=now,
        serving=[
            ServingNow(
                variant=one.variant,
                model_version=one.model_version,
                weight=one.weight,
                shadow=one.shadow,
                since=one.since,
                quality=_quality(one.recent),
            )
            for one in seen.serving
        ],
        running=[
            RunningNow(
                training_job=one.job,
                phase=one.phase,
                dataset_version=one.dataset,
                progress_percentage=one.progress,
                estimated_remaining_seconds=one.seconds_left,
                created_by=one.created_by,
            )
            for one in seen.running
        ],
        work=WorkNow(**vars(seen.work)),
        needs=[NeedNow(**vars(one)) for one in seen.needs],
        days=[
            DayOfAnswers(day=one.day, answers=one.answers, quality=_quality(one.accuracy))
            for one in seen.days
        ],
        monitor=_monitor(seen.monitored),
    )


def _monitor(seen: Monitored) -> MonitorNow:
    qualities = [seen.quality(window) for window in WINDOWS]
    return MonitorNow(
        at=seen.taken_at,
        fresh=seen.fresh,
        windows=[_window(one) for one in qualities if one is not None],
        drift=[
            DriftNow.model_validate(
                {
                    "window": window,
                    "feature": one.feature.value,
                    "distance": one.movement.distance,
                    "drifted": one.movement.drifted,
                    "samples": one.samples,
                }
            )
            for window, drifts in seen.drifts.items()
            for one in drifts.features.values()
            if one.movement is not None
        ],
    )


def _window(found: QualityFigures) -> WindowNow:
    return WindowNow.model_validate(
        {
            "window": found.window,
            "answers": found.answers,
            "votes": found.votes,
            "feedback_rate": found.feedback_rate,
            "accuracy": Estimated.of(found.accuracy),
            "macro_f1": Estimated.of(found.macro_f1),
            "estimated_accuracy": Estimated.of(found.estimated_accuracy),
            "estimate_refused": found.estimate_refused,
        }
    )


def _quality(accuracy: Accuracy | None) -> Quality | None:
    return None if accuracy is None else Quality.of(accuracy)


def _accuracy_chart(shown: StateOfAffairs, page: Page) -> LineChart:
    """With the ends of its interval: a single day has few votes."""
    accuracies = [one.accuracy for one in shown.days]
    words = page.words
    return line_chart(
        [page.formats.day(one.day) for one in shown.days],
        [
            Series(words("overview.agreement"), [one.value if one else None for one in accuracies]),
            Series(
                words("overview.agreement.low"), [one.low if one else None for one in accuracies]
            ),
            Series(
                words("overview.agreement.high"), [one.high if one else None for one in accuracies]
            ),
        ],
        x_name=words("overview.day"),
        bounds=(0, 1),
        say=page.formats.percent,
        say_on_axis=page.formats.share,
    )


def _answers_chart(shown: StateOfAffairs, page: Page) -> LineChart:
    counts = [one.answers for one in shown.days]
    highest = max(counts, default=0)
    return line_chart(
        [page.formats.day(one.day) for one in shown.days],
        [Series(page.words("overview.answers"), counts if highest else [None] * len(counts))],
        x_name=page.words("overview.day"),
        bounds=(0, highest * 1.08 or 1),
        say=page.formats.whole,
    )
