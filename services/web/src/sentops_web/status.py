"""What people see of the loop: whether a model answers, and how far the training of the next one is."""

import asyncio
import time
from collections.abc import Callable

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sentops_core.domain.base import Body
from sentops_core.domain.resources import TrainerStatus, TrainingJobPhase
from sentops_web.routing import RoutingClient

_FRESH_SECONDS = 2.0


class Training(Body):
    phase: TrainingJobPhase
    progress_percentage: int | None
    estimated_remaining_seconds: int | None


class Status(Body):
    ready: bool = Field(description="A model answers.")
    model_version: str | None = Field(description="The champion's name.")
    training: Training | None = Field(description="The run that is farthest on, if any.")
    training_known: bool = Field(description="False: the trainer could not be asked for runs.")


class _JobStatus(BaseModel):
    model_config = ConfigDict(extra="ignore")

    phase: TrainingJobPhase = TrainingJobPhase.PENDING
    trainer_status: TrainerStatus | None = Field(default=None, alias="trainerStatus")


class _Job(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: _JobStatus = _JobStatus()


_JOBS: TypeAdapter[list[_Job]] = TypeAdapter(list[_Job])

# What is nearest to giving a model is what people want to hear about.
_TOLD_FIRST = (
    TrainingJobPhase.EVALUATING,
    TrainingJobPhase.RUNNING,
    TrainingJobPhase.QUEUED,
    TrainingJobPhase.PENDING,
)


class StatusBoard:
    """Asks the trainer at most every two seconds, however many people look."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        routing: RoutingClient,
        trainer_url: str,
        token: str | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._routing = routing
        self._url = f"{trainer_url.rstrip('/')}/training-jobs"
        self._token = token
        self._clock = clock
        self._asking = asyncio.Lock()
        self._training: Training | None = None
        self._known = False
        self._asked_at: float | None = None

    async def look(self) -> Status:
        variants = [one for one in self._routing.current.variants if not one.shadow]
        champion = next((one for one in variants if one.name == "champion"), None)
        async with self._asking:
            if self._asked_at is None or self._clock() - self._asked_at > _FRESH_SECONDS:
                self._training, self._known = await self._ask()
                self._asked_at = self._clock()
        return Status(
            ready=bool(variants),
            model_version=champion.model_version if champion else None,
            training=self._training,
            training_known=self._known,
        )

    async def _ask(self) -> tuple[Training | None, bool]:
        """What is being trained, and whether we know: not without a token, and not without a trainer."""
        if self._token is None:
            return None, False
        try:
            answer = await self._http.get(
                self._url, headers={"authorization": f"Bearer {self._token}"}, timeout=2
            )
            jobs = _JOBS.validate_json(answer.raise_for_status().content)
        except (httpx.HTTPError, ValidationError):
            return None, False
        return most_telling([job.status for job in jobs]), True


def most_telling(jobs: list[_JobStatus]) -> Training | None:
    for phase in _TOLD_FIRST:
        for job in jobs:
            if job.phase is phase:
                progress = job.trainer_status or TrainerStatus()
                return Training(
                    phase=phase,
                    progress_percentage=progress.progress_percentage,
                    estimated_remaining_seconds=progress.estimated_remaining_seconds,
                )
    return None
