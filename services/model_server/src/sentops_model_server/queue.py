"""One bounded queue of texts in front of a few worker threads.

Why no padded batches: on a CPU one text already keeps the matrix kernels at about 90 % of their peak, padding a
batch of mixed lengths costs up to 2.3 times the tokens, and a dynamically quantised graph answers differently
depending on the company a text is in. So requests of any size are taken apart into texts, the texts of all requests
share one queue, and each is scored alone: a text gets the same answer alone and under load. The workers share one
single-thread session, whose `run` computes on the calling thread and gives up the interpreter lock: as fast as a
session for each, at a fraction of the memory. On a GPU the opposite holds, and texts of about one length go together.

Two lanes: a text that fills the model's window costs as much as six ordinary ones, and once begun it cannot be
stopped. So long texts have threads of their own, which the system gives a tenth of a core's share where others want
it, and all of it where none does: a burst of long texts neither holds up short ones, nor is it held up for ever.
"""

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from sentops_core import trace_context
from sentops_core.domain.errors import Unavailable
from sentops_core.inference import Scorer
from sentops_model_server.jobs import Job, QueueFull, TooLate, tokens_in
from sentops_model_server.lane import Entry, Lane
from sentops_model_server.metrics import ModelMetrics

_LONG_TOKENS = 96
_LONG_SHARE = 0.75  # of what the model reads, where that is less
_NICENESS_OF_LONG = 10
_LONGEST_RETRY = 30.0
# How many texts are looked at to find some of about one length, for each that goes into a batch.
_LOOKED_AT = 4
_ALIKE = 1.5  # so much longer or shorter than the first


class ScoringQueue:
    """Takes jobs on the event loop, scores them on threads. Everything mutable is guarded by one lock."""

    def __init__(
        self,
        *,
        workers: int,
        capacity: int,
        metrics: ModelMetrics,
        together: Callable[[Scorer], int] = lambda _: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`workers`: texts computed at once, in each lane; `together`: how many a scorer takes as one of them."""
        self._clock = clock
        self._capacity = capacity
        self._metrics = metrics
        self._together = together
        self._lock = threading.Lock()
        self._short, self._long = self._lanes = Lane(0, workers), Lane(1, workers)
        self._work_in = [threading.Condition(self._lock) for _ in self._lanes]
        self._count = 0
        self._closing = False
        self._threads = [
            threading.Thread(
                target=self._work, args=(lane,), name=f"scoring-{lane.index}-{number}", daemon=True
            )
            for lane in self._lanes
            for number in range(workers)
        ]
        metrics.queued_texts.set_function(lambda: self.waiting)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Score what is queued, then stop the threads."""
        with self._lock:
            self._closing = True
            for condition in self._work_in:
                condition.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    @property
    def waiting(self) -> int:
        """Texts that no worker has taken yet."""
        return self._short.texts + self._long.texts

    def submit(self, scorer: Scorer, texts: Sequence[str], *, within: float | None = None) -> Job:
        """Queue all texts or none.

        QueueFull (429) when there is no room, TooLate (429) when they would not be answered `within` so many
        seconds, Unavailable while stopping.
        """
        now = self._clock()
        loop = asyncio.get_running_loop()
        trace = trace_context.current()
        count = len(texts)
        job = Job(
            scorer,
            texts,
            loop.create_future(),
            loop,
            now,
            within,
            exemplar=None if trace is None else {"trace_id": trace.trace_id},
            answers=[None] * count,
            waiting=[0, 0],
            waiting_tokens=[0.0, 0.0],
            unfinished=count,
        )
        longest = scorer.config.max_length
        tokens = [tokens_in(text, longest) for text in texts]
        long_from = min(_LONG_TOKENS, _LONG_SHARE * longest)
        with self._lock:
            self._admit(job, tokens, long_from)
            before = [0.0, 0.0]
            for index, one in enumerate(tokens):
                lane = self._long if one > long_from else self._short
                self._count += 1
                lane.put(job, index, number=self._count, tokens=one, before=before[lane.index])
                before[lane.index] += one
            for condition, added in zip(self._work_in, job.waiting, strict=True):
                if added:
                    condition.notify(added)
        self._metrics.request_texts.observe(count)
        return job

    def _admit(self, job: Job, tokens: Sequence[float], long_from: float) -> None:
        if self._closing:
            raise Unavailable("The server is stopping; try again in a moment.")
        count = len(tokens)
        if self.waiting + count > self._capacity:
            self._metrics.refused_texts.inc(count)
            raise QueueFull(self.waiting, self._retry_after())
        if job.within is None:
            return
        in_long = sum(one for one in tokens if one > long_from)
        for lane, own in ((self._short, sum(tokens) - in_long), (self._long, in_long)):
            if own and lane.seconds_until(job.submitted, own, job.within) > job.within:
                self._metrics.late_texts.labels("refused").inc(count)
                raise TooLate(job.within, self._retry_after(), waited=False)

    def give_up(self, job: Job, error: Exception) -> None:
        """Its client has left: what no worker has taken yet is dropped, and makes room at once."""
        with self._lock:
            dropped = self._forget(job)
        self._metrics.dropped_texts.inc(dropped)
        _fail(job, error)

    def _work(self, lane: Lane) -> None:
        if lane is self._long:
            _make_way()
        while taken := self._take(lane):
            self._score(lane, taken)
            del taken  # an idle worker must not keep an unloaded model alive

    def _take(self, lane: Lane) -> list[Entry]:
        """The next text that somebody still waits for, with some like it on a GPU; none when closed and empty."""
        with self._lock:
            while True:
                if (entry := self._next(lane)) is not None:
                    return [entry, *self._like(entry, lane)]
                if self._closing:
                    return []
                self._work_in[lane.index].wait()

    def _next(self, lane: Lane) -> Entry | None:
        while (entry := lane.take()) is not None:
            job = entry[2]
            if not job.is_late(self._clock()):
                return entry
            lane.done(entry[4], None)
            self._metrics.late_texts.labels("dropped").inc(1 + self._forget(job))
            late = TooLate(job.within or 0.0, self._retry_after(), waited=True)
            job.loop.call_soon_threadsafe(_fail, job, late)
        return None

    def _like(self, first: Entry, lane: Lane) -> list[Entry]:
        """Of the texts that are due next, those of the same model and about the same length."""
        found: list[Entry] = []
        passed: list[Entry] = []
        most = self._together(first[2].scorer)
        while len(found) + 1 < most and len(found) + len(passed) < _LOOKED_AT * most:
            if (entry := self._next(lane)) is None:
                break
            alike = entry[2].scorer is first[2].scorer and (
                first[4] / _ALIKE <= entry[4] <= first[4] * _ALIKE
            )
            (found if alike else passed).append(entry)
        for entry in passed:
            lane.put_back(entry)
        return found

    def _score(self, lane: Lane, taken: list[Entry]) -> None:
        started = self._clock()
        scorer = taken[0][2].scorer
        texts = [job.texts[index] for _, _, job, index, _ in taken]
        try:
            alone = len(texts) == 1
            answers = [scorer.score_one(texts[0])] if alone else scorer.score_together(texts)
        except Exception as error:  # noqa: BLE001 - one bad text must not end the worker; it is reported
            self._failed(lane, taken, error)
            return
        seconds = self._clock() - started
        done = []
        with self._lock:
            lane.done(sum(one[4] for one in taken), seconds)
            for (_, _, job, index, _), answer in zip(taken, answers, strict=True):
                job.answers[index] = answer
                job.spent.append((started - job.submitted, seconds / len(taken)))
                job.unfinished -= 1
                if job.unfinished == 0:
                    done.append(job)
        for job in done:
            job.loop.call_soon_threadsafe(self._complete, job)

    def _complete(self, job: Job) -> None:
        """On the loop, which is about to be busy with the job anyway: no worker keeps it from the interpreter."""
        if not job.future.done():
            job.future.set_result([answer for answer in job.answers if answer is not None])
        for waited, computed in job.spent:
            self._metrics.queue_wait.observe(waited, job.exemplar)
            self._metrics.inference.observe(computed, job.exemplar)

    def _failed(self, lane: Lane, taken: list[Entry], error: Exception) -> None:
        with self._lock:
            for entry in taken:
                lane.done(entry[4], None)
                self._forget(entry[2])
        for entry in taken:
            entry[2].loop.call_soon_threadsafe(_fail, entry[2], error)

    def _forget(self, job: Job) -> int:
        """Give back the room of the texts not yet taken; returns how many they were."""
        forgotten, job.cancelled = sum(job.waiting), True
        for lane in self._lanes:
            lane.forget(job)
        return forgotten

    def _retry_after(self) -> float:
        seconds = max(lane.seconds_to_drain() for lane in self._lanes)
        return min(max(1.0, math.ceil(seconds)), _LONGEST_RETRY)


def _make_way() -> None:
    """Let this thread have only what others leave, and a tenth where they leave nothing."""
    if sys.platform != "linux":  # where a thread has no priority of its own
        return
    own = threading.get_native_id()
    with suppress(OSError):  # a sandbox may forbid it; then the lanes share evenly
        niceness = os.getpriority(os.PRIO_PROCESS, own) + _NICENESS_OF_LONG
        os.setpriority(os.PRIO_PROCESS, own, min(niceness, 19))


def _fail(job: Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
