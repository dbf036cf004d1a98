"""Order, bounds and leaving clients."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from sentops_core.domain.errors import Unavailable
from sentops_core.inference import Scored, Scorer
from sentops_model_server.metrics import ModelMetrics
from sentops_model_server.queue import QueueFull, ScoringQueue
from tests.services.model_server.conftest import ModelServer, StartServer
from tests.services.model_server.test_predict import assert_problem
from tests.support.artifacts import BuiltArtifact
from tests.support.eventually import eventually


class GatedScorer(Scorer):
    """The real scorer behind a gate; it remembers the order of what it scored."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.gate = threading.Event()
        self.begun: list[str] = []

    def score_one(self, text: str) -> Scored:
        self.begun.append(text)
        self.gate.wait(10)
        if text == "explode":
            raise RuntimeError(text)
        return super().score_one(text)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def scorer(artifact: BuiltArtifact) -> GatedScorer:
    return GatedScorer.load(artifact.folder)


@pytest.fixture
def metrics() -> ModelMetrics:
    return ModelMetrics.on(CollectorRegistry())


@asynccontextmanager
async def a_queue(
    metrics: ModelMetrics,
    scorer: GatedScorer,
    *,
    capacity: int = 1000,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[ScoringQueue]:
    """One worker, which is held up by a first text until the gate opens."""
    queue = ScoringQueue(workers=1, capacity=capacity, metrics=metrics, clock=clock or Clock())
    queue.start()
    try:
        first = queue.submit(scorer, ["first"])
        await eventually(lambda: scorer.begun == ["first"], every=0.001)
        yield queue
        scorer.gate.set()
        await first.future
    finally:
        scorer.gate.set()
        await queue.close()


async def test_a_short_text_passes_a_long_one(scorer: GatedScorer, metrics: ModelMetrics) -> None:
    long = "good " * 1000
    async with a_queue(metrics, scorer) as queue:
        jobs = [queue.submit(scorer, [long]), queue.submit(scorer, ["short"])]
        scorer.gate.set()
        await asyncio.gather(*(job.future for job in jobs))
    assert scorer.begun == ["first", "short", long]


async def test_a_long_text_is_not_passed_for_ever(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    clock, long = Clock(), "good " * 100_000
    async with a_queue(metrics, scorer, clock=clock) as queue:
        jobs = [queue.submit(scorer, [long])]
        clock.now = 0.6  # beyond the half second in which others may pass
        jobs.append(queue.submit(scorer, ["short"]))
        scorer.gate.set()
        await asyncio.gather(*(job.future for job in jobs))
    assert scorer.begun == ["first", long, "short"]


async def test_a_single_text_does_not_wait_for_a_large_request(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    many = [f"text {number}" for number in range(100)]
    async with a_queue(metrics, scorer) as queue:
        jobs = [queue.submit(scorer, many), queue.submit(scorer, ["single"])]
        scorer.gate.set()
        answers = await asyncio.gather(*(job.future for job in jobs))
    assert scorer.begun.index("single") < 5
    assert answers[0] == Scorer.load(scorer.folder).score(many)


async def test_a_full_queue_refuses_all_texts_of_a_request_or_none(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer, capacity=3) as queue:
        accepted = queue.submit(scorer, ["one", "two"])
        with pytest.raises(QueueFull, match="2 texts are waiting") as refusal:
            queue.submit(scorer, ["three", "four"])
        assert refusal.value.retry_after is not None
        assert refusal.value.retry_after >= timedelta(seconds=1)
        assert queue.waiting == 2
        last = queue.submit(scorer, ["three"])
        scorer.gate.set()
        assert len(await accepted.future) == 2
        await last.future
    assert metrics.refused_texts._value.get() == 2
    assert queue.waiting == 0


async def test_texts_of_a_client_that_left_are_dropped_and_make_room(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer, capacity=3) as queue:
        left = queue.submit(scorer, ["a", "b", "c"])
        queue.cancel(left)
        queue.cancel(left)  # twice counts once
        assert queue.waiting == 0
        stayed = queue.submit(scorer, ["d", "e", "f"])
        scorer.gate.set()
        await stayed.future
    assert left.future.cancelled()
    assert scorer.begun == ["first", "d", "e", "f"]
    assert metrics.dropped_texts._value.get() == 3


async def test_a_text_that_cannot_be_scored_fails_its_request_only(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer) as queue:
        broken = queue.submit(scorer, ["explode", "never begun"])
        sound = queue.submit(scorer, ["good"])
        scorer.gate.set()
        with pytest.raises(RuntimeError, match="explode"):
            await broken.future
        assert [one.label for one in await sound.future] == ["positive"]
    assert "never begun" not in scorer.begun
    assert queue.waiting == 0


async def test_closing_scores_what_is_queued_and_takes_nothing_new(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer) as queue:
        job = queue.submit(scorer, ["good"] * 20)
        scorer.gate.set()
        await queue.close()
        with pytest.raises(Unavailable, match="stopping"):
            queue.submit(scorer, ["late"])
    assert len(await job.future) == 20


async def test_a_full_queue_is_429_with_retry_after(
    start_server: StartServer, slow_artifact: BuiltArtifact
) -> None:
    server: ModelServer = await start_server(workers=1, queue_texts=8, max_texts=8)
    await server.put(slow_artifact)
    request = {"texts": ["good " * 500] * 8}

    answers = await asyncio.gather(
        *(server.client.post("/predict", json=request) for _ in range(4))
    )

    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < 4
    for answer in refused:
        assert_problem(answer, 429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
    assert await server.metric("sentops_model_refused_texts_total") == 8 * len(refused)
