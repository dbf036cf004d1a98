"""One bounded queue of texts in front of a few worker threads.

Why no padded batches: on a CPU one text already keeps the matrix kernels at about 90 % of their peak, padding a
batch of mixed lengths costs up to 2.3 times the tokens, and a dynamically quantised graph answers differently
depending on the company a text is in. So requests of any size are taken apart into texts, the texts of all requests
share one queue, and each is scored alone: a text gets the same answer alone and under load. The workers share one
single-thread session, whose `run` computes on the calling thread and gives up the interpreter lock: as fast as a
session for each, at a fraction of the memory.

Order: a text is due at its arrival plus its estimated cost, at most half a second. A short text so passes long ones
and the tail of large requests, but nothing that arrived more than that half second before it: nothing starves.
"""

import asyncio
import heapq
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sentops_core import trace_context
from sentops_core.domain.errors import Overloaded, Unavailable
from sentops_core.inference import Scored, Scorer
from sentops_model_server.metrics import ModelMetrics

_OVERTAKING_WINDOW = 0.5  # seconds
_SECONDS_PER_TEXT = (
    0.003  # a small int8 model on one core; only the ratio of the two matters for the order
)
_SECONDS_PER_CHARACTER = 0.00005
_LONGEST_RETRY = 30.0


class QueueFull(Overloaded):
    """429 that says when there will be room."""

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(
            f"{waiting} texts are waiting already; try again after the time in the header 'retry-after'."
        )
        self.retry_after = timedelta(seconds=seconds)


@dataclass(eq=False)
class Job:
    """The texts of one request. `future` is done when all are scored, one failed, or the job was cancelled."""

    scorer: Scorer
    texts: Sequence[str]
    future: asyncio.Future[list[Scored]]
    submitted: float
    answers: list[Scored | None]
    unstarted: int
    unfinished: int
    exemplar: (
        dict[str, str] | None
    )  # the trace of the request, which the workers' threads do not know
    cancelled: bool = False


@dataclass(order=True)
class _Entry:
    due: float
    number: int
    job: Job = field(compare=False)
    index: int = field(compare=False)


class ScoringQueue:
    """Takes jobs on the event loop, scores them on threads. Everything mutable is guarded by one condition."""

    def __init__(
        self,
        *,
        workers: int,
        capacity: int,
        metrics: ModelMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._metrics = metrics
        self._workers = workers
        self._condition = threading.Condition()
        self._entries: list[_Entry] = []
        self._count = 0
        self._waiting = 0
        self._closing = False
        self._seconds_per_text = _SECONDS_PER_TEXT
        self._threads = [
            threading.Thread(target=self._work, name=f"scoring-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Score what is queued, then stop the threads."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    @property
    def waiting(self) -> int:
        """Texts that no worker has taken yet."""
        return self._waiting

    def submit(self, scorer: Scorer, texts: Sequence[str]) -> Job:
        """Queue all texts or none; QueueFull (429) when there is no room, Unavailable while stopping."""
        now = self._clock()
        future: asyncio.Future[list[Scored]] = asyncio.get_running_loop().create_future()
        trace = trace_context.current()
        job = Job(
            scorer,
            texts,
            future,
            now,
            answers=[None] * len(texts),
            unstarted=len(texts),
            unfinished=len(texts),
            exemplar=None if trace is None else {"trace_id": trace.trace_id},
        )
        with self._condition:
            if self._closing:
                raise Unavailable("The server is stopping; try again in a moment.")
            if self._waiting + len(texts) > self._capacity:
                self._metrics.refused_texts.inc(len(texts))
                raise QueueFull(self._waiting, self._seconds_to_drain())
            cost = 0.0
            for index, text in enumerate(texts):
                cost += _SECONDS_PER_TEXT + len(text) * _SECONDS_PER_CHARACTER
                self._count += 1
                due = now + min(cost, _OVERTAKING_WINDOW)
                heapq.heappush(self._entries, _Entry(due, self._count, job, index))
            self._set_waiting(self._waiting + len(texts))
            self._condition.notify(len(texts))
        self._metrics.request_texts.observe(len(texts))
        return job

    def cancel(self, job: Job) -> None:
        """Its client has left: what no worker has taken yet is dropped, and makes room at once."""
        self._metrics.dropped_texts.inc(self._forget(job))
        job.future.cancel()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            self._score(*taken)
            del taken  # an idle worker must not keep an unloaded model alive

    def _take(self) -> tuple[Job, int] | None:
        """The next text that somebody still waits for; None when the queue is closed and empty."""
        with self._condition:
            while True:
                if (taken := self._pop()) is not None:
                    return taken
                if self._closing:
                    return None
                self._condition.wait()

    def _pop(self) -> tuple[Job, int] | None:
        while self._entries:
            entry = heapq.heappop(self._entries)
            if not entry.job.cancelled:
                entry.job.unstarted -= 1
                self._set_waiting(self._waiting - 1)
                return entry.job, entry.index
        return None

    def _score(self, job: Job, index: int) -> None:
        started = self._clock()
        try:
            answer = job.scorer.score_one(job.texts[index])
        except Exception as error:  # noqa: BLE001 - one bad text must not end the worker; it is reported
            self._forget(job)
            job.future.get_loop().call_soon_threadsafe(_fail, job, error)
            return
        seconds = self._clock() - started
        self._metrics.queue_wait.observe(started - job.submitted, job.exemplar)
        self._metrics.inference.observe(seconds, job.exemplar)
        if answer.truncated:
            self._metrics.truncated_texts.inc()
        with self._condition:
            job.answers[index] = answer
            job.unfinished -= 1
            done = job.unfinished == 0
            self._seconds_per_text += 0.05 * (seconds - self._seconds_per_text)
        if done:
            job.future.get_loop().call_soon_threadsafe(_complete, job)

    def _forget(self, job: Job) -> int:
        """Give back the room of the texts not yet taken; returns how many they were."""
        with self._condition:
            forgotten, job.unstarted, job.cancelled = job.unstarted, 0, True
            self._set_waiting(self._waiting - forgotten)
        return forgotten

    def _seconds_to_drain(self) -> float:
        seconds = self._waiting * self._seconds_per_text / self._workers
        return min(max(1.0, math.ceil(seconds)), _LONGEST_RETRY)

    def _set_waiting(self, waiting: int) -> None:
        self._waiting = waiting
        self._metrics.queued_texts.set(waiting)


def _complete(job: Job) -> None:
    if not job.future.done():
        job.future.set_result([answer for answer in job.answers if answer is not None])


def _fail(job: Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
