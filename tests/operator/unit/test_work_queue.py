"""What waits to be converged."""

import asyncio

import pytest

from sentops_operator import work_queue
from sentops_operator.work_queue import Key, KeyKind, WorkQueue
from tests.support.eventually import eventually

A, B, C = (Key(KeyKind.TRAINING_JOB, "team", name) for name in "abc")


@pytest.fixture
async def queue() -> WorkQueue:
    return WorkQueue()


async def test_a_key_waits_once_however_often_it_is_added(queue: WorkQueue) -> None:
    for _ in range(5):
        queue.add(A)
    assert queue.depth == 1
    assert await queue.take() == A
    assert queue.depth == 0


async def test_keys_are_taken_in_the_order_of_their_arrival(queue: WorkQueue) -> None:
    for key in (B, A, C, A):
        queue.add(key)
    assert [await queue.take() for _ in range(3)] == [B, A, C]


async def test_one_worker_at_a_time_has_a_key(queue: WorkQueue) -> None:
    queue.add(A)
    await queue.take()
    queue.add(A)
    other = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert queue.depth == 0
    queue.done(A)
    assert await other == A


async def test_a_key_added_often_while_it_is_converged_gets_one_more_turn(
    queue: WorkQueue,
) -> None:
    queue.add(A)
    await queue.take()
    queue.add(A)
    queue.add(A)
    queue.done(A)
    assert await queue.take() == A
    queue.done(A)
    assert queue.depth == 0


async def test_every_waiting_worker_is_woken(queue: WorkQueue) -> None:
    taken: list[Key] = []

    async def work() -> None:
        while True:
            key = await queue.take()
            taken.append(key)
            await asyncio.sleep(0)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for key in (A, B, C) * 20:
        queue.add(key)
        await asyncio.sleep(0)
    await eventually(lambda: queue.depth == 0 and {A, B, C} <= set(taken))
    for worker in workers:
        worker.cancel()


async def test_a_worker_that_is_ended_while_it_waits_loses_nothing(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add(A)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    taken = A if not waiting.cancelled() else await asyncio.wait_for(queue.take(), 1)
    assert taken == A


async def test_the_earliest_appointment_wins(queue: WorkQueue) -> None:
    queue.add_after(A, 60)
    queue.add_after(A, 0.01)
    queue.add_after(A, 30)
    assert await asyncio.wait_for(queue.take(), 1) == A


async def test_a_key_that_comes_earlier_needs_its_appointment_no_more(queue: WorkQueue) -> None:
    queue.add_after(A, 0.03)
    queue.add(A)
    await queue.take()
    queue.done(A)
    await asyncio.sleep(0.06)
    assert queue.depth == 0


async def test_an_appointment_made_while_the_key_is_converged_is_kept(queue: WorkQueue) -> None:
    queue.add(A)
    await queue.take()
    queue.add_after(A, 0.01)
    queue.done(A)
    assert await asyncio.wait_for(queue.take(), 1) == A


def pauses(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(queue, "add_after", lambda _, seconds: made.append(seconds))
    return made


async def test_failures_are_ever_further_apart_up_to_a_limit(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pauses(queue, monkeypatch)
    for _ in range(40):
        queue.retry(A)
    assert made[:4] == [0.5, 1, 2, 4]
    assert max(made) == made[-1] == work_queue._LAST_RETRY_SECONDS


async def test_one_success_forgets_the_failures(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pauses(queue, monkeypatch)
    queue.retry(A)
    queue.retry(A)
    queue.retry(B)
    queue.forget_failures(A)
    queue.retry(A)
    assert made == [0.5, 1, 0.5, 0.5]


async def test_who_asks_for_a_longer_pause_gets_it(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pauses(queue, monkeypatch)
    queue.retry(A, at_least_seconds=7)
    queue.retry(A, at_least_seconds=0.1)
    assert made == [7, 1]
