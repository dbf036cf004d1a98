"""From texts to answers: lease the slot's model, queue, and stop when nobody waits any more."""

import asyncio
from typing import Any

from fastapi import Request

from sentops_core.domain.errors import TooLarge
from sentops_core.inference import Scored
from sentops_model_server.deps import Service
from sentops_model_server.queue import Job
from sentops_model_server.slots import Serving, SlotName

# Most answers are there sooner; only for the others is it worth a task to watch the connection.
_WATCH_AFTER_SECONDS = 0.05


class ClientLeft(Exception):
    """Nobody reads the answer any more."""


async def answer(
    service: Service, request: Request, slot: SlotName, texts: list[str]
) -> tuple[Serving, list[Scored]]:
    """All answers, by one model, which is returned with them."""
    if len(texts) > service.max_texts:
        raise TooLarge(
            f"{len(texts)} texts are too many for one request; send at most {service.max_texts}."
        )
    serving = service.slots.serving(slot)
    with serving.model.leased():
        job = service.queue.submit(serving.model.scorer, texts)
        try:
            answers = await _unless_left(request, job)
        except BaseException:
            service.queue.cancel(job)
            raise
    for one in answers:
        service.metrics.predictions.labels(slot, one.label).inc()
    return serving, answers


async def _unless_left(request: Request, job: Job) -> list[Scored]:
    await asyncio.wait({job.future}, timeout=_WATCH_AFTER_SECONDS)
    if job.future.done():
        return job.future.result()
    left = asyncio.create_task(_left(request))
    try:
        both: set[asyncio.Future[Any]] = {job.future, left}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
    if not job.future.done():
        raise ClientLeft
    return job.future.result()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
