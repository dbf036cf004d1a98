"""The overview: what serves, how good it is, what waits for people. A page, and the same for programs."""

from datetime import UTC, date, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from sentops_backoffice.charts import LineChart, Series, line_chart
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.state_of_affairs import DAYS, RECENT_DAYS, StateOfAffairs, state_of_affairs
from sentops_core.domain.base import Body, Moment
from sentops_core.domain.quality import Accuracy

router = APIRouter(tags=["pages"], include_in_schema=False)
api = APIRouter(prefix="/api", tags=["platform"])


@router.get("/index", summary="The overview")
async def get_index(page: PageDep, parts: PartsDep, connection: Connection) -> Response:
    now = datetime.now(UTC)
    shown = await state_of_affairs(connection, parts.settings.model_name, parts.past_days, now=now)
    return page.render(
        "index.html",
        current="overview",
        shown=shown,
        recent_days=RECENT_DAYS,
        days=DAYS,
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
    new_votes: int
    votes_since_dataset: int


class OverviewNow(Body):
    """Quality is of the last 7 days and absent where nobody voted; days are in UTC."""

    at: Moment
    serving: list[ServingNow]
    running: list[RunningNow]
    work: WorkNow
    needs: list[NeedNow]
    days: list[DayOfAnswers]


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
