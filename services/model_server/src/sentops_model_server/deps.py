"""What routes ask for, as names."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from sentops_core.domain.errors import Forbidden
from sentops_core.http import BearerTokens, bearer_token
from sentops_model_server.answer_cache import AnswerCache
from sentops_model_server.metrics import ModelMetrics
from sentops_model_server.queue import ScoringQueue
from sentops_model_server.slots import Slots


@dataclass(frozen=True)
class Service:
    """What the lifespan opened."""

    model_name: str
    max_texts: int
    within: float | None  # seconds that a request may take which does not say
    slots: Slots
    queue: ScoringQueue
    cache: AnswerCache
    metrics: ModelMetrics
    control: BearerTokens | None


async def service(request: Request) -> Service:
    opened: Service = request.state.service
    return opened


TheService = Annotated[Service, Depends(service)]


async def slots_may_change(service: TheService) -> None:
    if service.control is None:
        raise Forbidden(
            "The slots of this server cannot be changed: it serves a fixed artefact, or was started without "
            "SENTOPS_MODEL_CONTROL_TOKEN."
        )


async def control_token(
    request: Request, service: TheService, presented: Annotated[str, Depends(bearer_token)]
) -> None:
    if service.control is not None:
        await service.control(request, presented)


# In this order: without a control token no bearer token helps, so nobody is asked for one.
CONTROL = [Depends(slots_may_change), Depends(control_token)]
