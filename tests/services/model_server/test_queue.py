"""Order, bounds and leaving clients."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from sentops_core.domain.errors import Unavailable
from sentops_core.inference import Scored, Scorer
from sentops_model_server.answering import ClientLeft
from sentops_model_server.jobs import QueueFull, TooLate
from sentops_model_server.metrics import ModelMetrics
from sentops_model_server.queue import ScoringQueue
from tests.services.model_server.conftest import ModelServer, StartServer
from tests.services.model_server.test_predict import assert_problem
from tests.support.artifacts import BuiltArtifact
from tests.support.eventually import eventually

LONG = "good " * 1000


class GatedScorer(Scorer):
    """The real scorer behind a gate; it remembers the order of what it scored."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.gate = threading.Event()
        self.held = threading.Event()
        self.begun: list[str] = []
        self.niceness: dict[str, int] = {}
        self._to_hold: str | None = None

    def hold(self, text: str) -> None:
        """This text only, until `held` is set."""
        self._to_hold = text

    def score_one(self, text: str) -> Scored:
        self.begun.append(text)
        self.niceness[text] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.gate.wait(10)
        if text == self._to_hold:
            self.held.wait(10)
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


async def test_a_short_text_does_not_wait_for_long_ones_that_came_before_it(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    """However many they are: they hold their own threads only."""
    queue = ScoringQueue(workers=2, capacity=1000, metrics=metrics, clock=Clock())
    queue.start()
    scorer.gate.set()
    scorer.hold(LONG)
    try:
        burst = [queue.submit(scorer, [LONG]) for _ in range(100)]
        await eventually(lambda: scorer.begun == [LONG, LONG], every=0.001)
        short = [await queue.submit(scorer, [f"short {number}"]).future for number in range(50)]
        assert len(short) == 50
        assert scorer.begun.count(LONG) == 2
        assert not any(job.future.done() for job in burst)
        scorer.held.set()
        await asyncio.gather(*(job.future for job in burst))
    finally:
        scorer.held.set()
        await queue.close()


async def test_long_texts_do_not_wait_for_short_ones_either(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer) as queue:
        scorer.hold("first")
        scorer.gate.set()
        waiting = queue.submit(scorer, ["short"])
        long = queue.submit(scorer, [LONG])
        await long.future
        assert not waiting.future.done()
        scorer.held.set()
        await waiting.future


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux")
async def test_long_texts_have_only_what_others_leave(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer) as queue:
        scorer.gate.set()
        await asyncio.gather(*(queue.submit(scorer, [text]).future for text in ("short", LONG)))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert scorer.niceness == {"first": own, "short": own, LONG: min(own + 10, 19)}


async def test_what_is_due_is_not_passed_for_ever(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    clock = Clock()
    many = [f"text {number}" for number in range(900)]
    async with a_queue(metrics, scorer, clock=clock) as queue:
        jobs = [queue.submit(scorer, many)]
        clock.now = 0.6  # beyond the half second in which others may pass
        jobs.append(queue.submit(scorer, ["late"]))
        scorer.gate.set()
        await asyncio.gather(*(job.future for job in jobs))
    assert scorer.begun[-1] == "late"


async def test_what_cannot_be_answered_in_time_is_refused_at_once(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    async with a_queue(metrics, scorer) as queue:
        many = queue.submit(scorer, ["good"] * 500)
        with pytest.raises(TooLate, match="20 ms") as refusal:
            queue.submit(scorer, ["good"] * 500, within=0.02)
        assert refusal.value.retry_after is not None
        in_time = queue.submit(scorer, ["good"], within=0.02)  # passes the tail of the many
        patient = queue.submit(scorer, ["good"] * 400, within=60)
        scorer.gate.set()
        await asyncio.gather(many.future, in_time.future, patient.future)
    assert metrics.late_texts.labels("refused")._value.get() == 500
    assert queue.waiting == 0


async def test_what_waited_past_its_time_is_dropped_and_not_scored(
    scorer: GatedScorer, metrics: ModelMetrics
) -> None:
    clock = Clock()
    async with a_queue(metrics, scorer, clock=clock) as queue:
        late = queue.submit(scorer, ["a", "b"], within=1)
        patient = queue.submit(scorer, ["c"])
        clock.now = 1.5
        scorer.gate.set()
        await patient.future
        with pytest.raises(TooLate, match="1000 ms"):
            await late.future
    assert scorer.begun == ["first", "c"]
    assert metrics.late_texts.labels("dropped")._value.get() == 2
    assert queue.waiting == 0


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
        queue.give_up(left, ClientLeft())
        queue.give_up(left, ClientLeft())  # twice counts once
        assert queue.waiting == 0
        stayed = queue.submit(scorer, ["d", "e", "f"])
        scorer.gate.set()
        await stayed.future
    assert isinstance(left.future.exception(), ClientLeft)
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


async def test_on_a_gpu_texts_of_about_one_length_go_together(
    artifact: BuiltArtifact, metrics: ModelMetrics
) -> None:
    """The processor stands in for the GPU: the same queue, the same padded runs, and float32's answers."""
    batches: list[list[str]] = []
    gate = threading.Event()

    class Noticed(Scorer):
        def score_one(self, text: str) -> Scored:
            gate.wait(10)
            return super().score_one(text)

        def score_together(self, texts: list[str]) -> list[Scored]:
            batches.append(texts)
            return super().score_together(texts)

    scorer = Noticed.load(artifact.folder)
    queue = ScoringQueue(workers=1, capacity=1000, metrics=metrics, together=lambda _: 3)
    first = queue.submit(scorer, ["good"])
    queue.start()
    short, longer = [f"bad {number}" for number in range(5)], ["it is a great product today"] * 2
    await eventually(lambda: queue.waiting == 0, every=0.001)
    job = queue.submit(scorer, [*short[:2], *longer, *short[2:]])
    gate.set()
    answers = await job.future
    await queue.close()

    assert len(await first.future) == 1
    assert sorted(map(len, batches)) == [2, 2, 3]
    assert all(len({len(text) for text in batch}) == 1 for batch in batches)
    texts = [*short[:2], *longer, *short[2:]]
    alone = Scorer.load(artifact.folder).score(texts)
    assert [one.label for one in answers] == [one.label for one in alone]
    for one, other in zip(answers, alone, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)
