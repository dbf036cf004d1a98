"""From texts to answers: what is known, else lease the slot's model, queue, and stop when nobody waits any more."""

import asyncio

from starlette.types import Receive

from sentops_core.domain.errors import TooLarge
from sentops_core.inference import Scored
from sentops_model_server.deps import Service
from sentops_model_server.jobs import Job
from sentops_model_server.queue import ScoringQueue
from sentops_model_server.slots import LoadedModel, Serving, SlotName

# Most answers are there sooner; only for the others is it worth a task to watch the connection.
_WATCH_AFTER_SECONDS = 0.05


class ClientLeft(Exception):
    """Nobody reads the answer any more."""


async def answer(
    service: Service,
    receive: Receive,
    slot: SlotName,
    texts: list[str],
    *,
    within: float | None = None,
) -> tuple[Serving, list[Scored]]:
    """All answers, by one model, which is returned with them; TooLate unless they are there `within` seconds."""
    if len(texts) > service.max_texts:
        raise TooLarge(
            f"{len(texts)} texts are too many for one request; send at most {service.max_texts}."
        )
    serving = service.slots.serving(slot)
    if within is None:
        within = service.within
    if service.cache.is_on:
        answers = await _known_or_scored(service, receive, serving.model, texts, within)
    else:
        answers = await _scored(service, receive, serving.model, texts, within)
    for one in answers:
        service.metrics.count_answer(slot, one)
    return serving, answers


async def _known_or_scored(
    service: Service,
    receive: Receive,
    model: LoadedModel,
    texts: list[str],
    within: float | None,
) -> list[Scored]:
    keys, known = service.cache.find(model.digest, texts)
    new = [index for index, one in enumerate(known) if one is None]
    service.metrics.cache_hits.inc(len(texts) - len(new))
    if new:
        service.metrics.cache_misses.inc(len(new))
        wanted = [texts[index] for index in new]
        for index, one in zip(
            new, await _scored(service, receive, model, wanted, within), strict=True
        ):
            known[index] = one
            service.cache.keep(keys[index], one)
    return [one for one in known if one is not None]


async def _scored(
    service: Service,
    receive: Receive,
    model: LoadedModel,
    texts: list[str],
    within: float | None,
) -> list[Scored]:
    with model:
        job = service.queue.submit(model.scorer, texts, within=within)
        return await _unless_left(service.queue, receive, job)


async def _unless_left(queue: ScoringQueue, receive: Receive, job: Job) -> list[Scored]:
    watcher: list[asyncio.Task[None]] = []

    def watch() -> None:
        watcher.append(job.loop.create_task(_drop_when_left(queue, receive, job)))

    timer = job.loop.call_later(_WATCH_AFTER_SECONDS, watch)
    try:
        return await job.future
    except asyncio.CancelledError:  # the server is going down, or whoever asked gave up
        queue.give_up(job, ClientLeft())
        raise
    finally:
        timer.cancel()
        for one in watcher:
            one.cancel()


async def _drop_when_left(queue: ScoringQueue, receive: Receive, job: Job) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    queue.give_up(job, ClientLeft())
