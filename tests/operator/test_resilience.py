"""Answers that are lost, an API server that is ill, an operator that is killed: the end is always the same."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from sentops_core.kube.kinds import DEPLOYMENT, JOB, MODEL_VERSION, TRAINING_JOB, Kind
from sentops_operator.leadership import LeadershipLost, LeaseTimes
from sentops_operator.startup import Operator, Patience
from tests.operator.actors import NAMESPACE, Cluster, digest_of_job
from tests.operator.conftest import RunningOperator, settings_for_tests
from tests.support.eventually import eventually
from tests.support.kube_api import Fault, KubeServer

SHORT = timedelta(seconds=0.05)
WRITES = {"create", "patch", "delete"}


async def a_life_ends_well(cluster: Cluster) -> None:
    """Whatever befell it: two versions, one after the other, nothing twice and nothing left."""
    async with cluster.going_well():
        cluster.apply("first", ttlSecondsAfterFinished=0)
        await _ends_well(cluster, "first", 1)
        cluster.apply("second", ttlSecondsAfterFinished=0)
        await _ends_well(cluster, "second", 2)
        await cluster.version_is("Archived", 1)
        await eventually(lambda: not cluster.kube.all(JOB), within=20)


async def _ends_well(cluster: Cluster, name: str, number: int) -> None:
    await eventually(lambda: cluster.job_phase(name) == "Succeeded", within=20)
    await eventually(lambda: cluster.version_phase(number) == "Live", within=20)
    await eventually(lambda: cluster.candidate() is None, within=20)


def assert_nothing_twice(cluster: Cluster) -> None:
    versions = cluster.kube.all(MODEL_VERSION)
    assert [one["metadata"]["name"] for one in versions] == ["sentiment-v1", "sentiment-v2"]
    for name in ("first", "second"):
        status = cluster.status(name)
        assert (status["attempt"], status["failed"]) == (1, 0)
    assert sorted(_made(cluster, JOB)) == ["first-1", "second-1"]
    assert cluster.champion() == "sentiment-v2"
    assert cluster.digest() == digest_of_job("second")
    assert cluster.version_status(2)["previousVersion"] == "sentiment-v1"
    assert len(cluster.kube.all(DEPLOYMENT)) == 1


@dataclass
class NthWrite(Fault):
    """Befalls the n-th write from now on; the operator's, as everybody else here needs no HTTP."""

    number: int = 1
    count: int = field(default=0, init=False)

    def fits(self, verb: str, resource: str, name: str) -> bool:
        if verb not in WRITES or resource == "events":
            return False
        self.count += 1
        return self.count == self.number


@dataclass
class SomeWrites(Fault):
    """Befalls a share of all writes, by chance that is always the same."""

    chance: random.Random = field(default_factory=random.Random)
    share: float = 0.4

    def fits(self, verb: str, resource: str, name: str) -> bool:
        written = verb in WRITES and resource != "events"
        return written and self.chance.random() < self.share


@pytest.mark.parametrize("done_first", [True, False])
async def test_a_cut_connection_at_any_write_of_a_life_costs_nothing(
    cluster: Cluster, operator: RunningOperator, impatient: None, done_first: bool
) -> None:
    """One life after another, the first with its first write lost, the second with its second, ..."""
    async with operator(), cluster.going_well():
        for number in itertools.count(1):
            lost = NthWrite(times=1, status=None, done_first=done_first, number=number)
            cluster.kube.faults[:] = [lost]
            name = f"life{number}"
            cluster.apply(name, model_name=name, ttlSecondsAfterFinished=0)
            await eventually(lambda name=name: cluster.phase(MODEL_VERSION, f"{name}-v1") == "Live")
            await eventually(lambda name=name: cluster.deployment(f"{name}-candidate") is None)
            await eventually(lambda name=name: cluster.job_phase(name) == "Succeeded")
            await eventually(lambda: not cluster.kube.all(JOB))
            assert (cluster.status(name)["attempt"], cluster.status(name)["failed"]) == (1, 0)
            if not lost.seen:
                break
    assert number > 15
    assert len(_made(cluster, JOB)) == len(set(_made(cluster, JOB))) == number
    assert len(_made(cluster, MODEL_VERSION)) == number
    assert len(cluster.kube.all(DEPLOYMENT)) == number


def _made(cluster: Cluster, kind: Kind) -> list[str]:
    return [
        change.object["metadata"]["name"]
        for change in cluster.kube.objects.history
        if change.kind == kind and change.type == "ADDED"
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": None, "done_first": True}])
async def test_writes_that_fail_again_and_again_come_through_in_the_end(
    cluster: Cluster,
    operator: RunningOperator,
    impatient: None,
    seed: int,
    fault: dict[str, Any],
) -> None:
    failing = SomeWrites(times=10_000, chance=random.Random(seed), **fault)
    cluster.kube.faults.append(failing)
    async with operator():
        await a_life_ends_well(cluster)
    assert failing.seen >= 10
    assert_nothing_twice(cluster)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
async def test_an_operator_killed_after_every_few_writes_goes_on_where_it_was(
    cluster: Cluster, operator: RunningOperator, every: int
) -> None:
    life = asyncio.create_task(a_life_ends_well(cluster))
    kills = 0
    while not life.done():
        async with operator():
            goal = writes(cluster) + every
            await eventually(lambda goal=goal: life.done() or writes(cluster) >= goal, within=20)
            kills += 1
    await life
    assert kills > 5
    assert_nothing_twice(cluster)


def writes(cluster: Cluster) -> int:
    return sum(
        1 for call in cluster.kube.calls if call.verb in WRITES and call.resource != "events"
    )


async def test_a_storm_passes(
    cluster: Cluster, operator: RunningOperator, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentops_operator.resync._PAUSE_AFTER_FAILURE", SHORT)
    kube = cluster.kube
    for fault in (
        {"times": 6, "status": 500},
        {"times": 6, "status": 429, "retry_after": 0},
        {"times": 6, "status": None},
        {"times": 6, "status": 503},
        {"times": 4, "status": 200, "delay": 0.3},
        {"times": 4, "status": 500, "verb": "watch"},
        {"times": 6, "status": None, "verb": "patch"},
    ):
        kube.fail(**fault)
    async with operator(wait=False):
        await a_life_ends_well(cluster)
    assert_nothing_twice(cluster)
    assert all(fault.seen == fault.times for fault in kube.faults)


async def test_who_is_asked_to_come_back_later_does(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    async with operator() as running:
        pauses: list[float] = []
        queue = running.queue
        wait = queue.add_after
        queue.add_after = lambda key, seconds: (pauses.append(seconds), wait(key, 0))  # type: ignore[method-assign,return-value,func-returns-value]
        cluster.kube.fail(1, 429, verb="create", resource="jobs", retry_after=17)
        cluster.apply()
        await eventually(cluster.job)
    assert 17 in pauses


async def test_watches_that_break_again_and_again_lose_nothing(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        breaking = asyncio.create_task(_break_watches(cluster.kube))
        await a_life_ends_well(cluster)
        breaking.cancel()
    assert_nothing_twice(cluster)


async def _break_watches(kube: KubeServer) -> None:
    while True:
        await asyncio.sleep(0.05)
        kube.break_watches()


async def test_watches_that_fell_too_far_behind_start_anew(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        cluster.kube.objects.compact()
        cluster.kube.break_watches()
        async with cluster.going_well():
            cluster.apply("second")
            await cluster.version_is("Live", 2)


async def test_an_api_server_that_is_away_for_a_while_is_waited_for(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    async with operator():
        cluster.apply()
        pod = await cluster.running_pod()
        await cluster.kube.stop()
        cluster.end_run(pod, cluster.report("first-1"))
        cluster.apply("second")
        await asyncio.sleep(0.3)  # time that it is away, not time that we wait
        await cluster.kube.start()
        await cluster.job_is_in("Succeeded")
        await eventually(lambda: cluster.job("second-1"))


async def test_an_api_server_that_is_away_at_the_start_is_waited_for(
    cluster: Cluster, operator: RunningOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentops_operator.resync._PAUSE_AFTER_FAILURE", SHORT)
    await cluster.kube.stop()
    async with operator(wait=False) as running:
        assert running.why_not_ready() == "The cluster has not been listed yet."
        await asyncio.sleep(0.2)
        await cluster.kube.start()
        cluster.apply()
        await eventually(cluster.job)
        await eventually(lambda: running.why_not_ready() is None)


async def test_custom_resource_definitions_may_come_after_the_operator(
    cluster: Cluster, operator: RunningOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `helm install`: kopf only watches what it finds when it starts."""
    monkeypatch.setattr("sentops_operator.resync._PAUSE_AFTER_FAILURE", SHORT)
    objects = cluster.kube.objects
    kinds = objects.kinds
    objects.kinds = tuple(kind for kind in kinds if kind not in {TRAINING_JOB, MODEL_VERSION})
    async with operator(wait=False) as running:
        with pytest.raises(AssertionError):  # it keeps asking
            await eventually(running.resync.first_done.is_set, within=0.2)
        objects.kinds = kinds
        await eventually(lambda: running.why_not_ready() is None)
        cluster.apply()
        await eventually(cluster.job)


async def test_what_somebody_else_writes_meanwhile_is_neither_lost_nor_in_the_way(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    async with operator():
        life = asyncio.create_task(a_life_ends_well(cluster))
        count = 0
        while not life.done():
            count += 1
            for kind in (TRAINING_JOB, MODEL_VERSION):
                for found in cluster.kube.all(kind):
                    cluster.annotate(kind, found["metadata"]["name"], tick=str(count))
            await asyncio.sleep(0.02)
        await life
        ticks = {
            found["metadata"]["annotations"]["sentops.dev/tick"]
            for kind in (TRAINING_JOB, MODEL_VERSION)
            for found in cluster.kube.all(kind)
        }
        assert ticks == {str(count)}
    assert_nothing_twice(cluster)


async def test_a_resync_forgets_nothing_that_came_while_it_listed(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator() as running:
        cluster.kube.fail(1, 200, verb="list", resource="trainingjobs", delay=0)
        listed = running.resync.round
        real = running.resync._api.list

        async def slow(kind, namespace=None, *, labels=None):  # type: ignore[no-untyped-def]
            found = await real(kind, namespace, labels=labels)
            if kind == TRAINING_JOB:  # answered, but not heard yet
                cluster.apply()
                await eventually(lambda: running.cache.get(TRAINING_JOB, NAMESPACE, "first"))
            return found

        running.resync._api.list = slow  # type: ignore[method-assign]
        await listed()
        running.resync._api.list = real  # type: ignore[method-assign]
        await eventually(cluster.job)
        assert running.cache.get(TRAINING_JOB, NAMESPACE, "first")


# Several replicas

TIMES = LeaseTimes(lasts=2, renewed_within=1.5, retry=1)


class Replica:
    """One of several operators; `end` is what became of it."""

    def __init__(self, kube: KubeServer, name: str) -> None:
        self._kube = kube
        self.name = name
        self.operator: Operator | None = None
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._kube.client() as client:
            settings = settings_for_tests(pod_name=self.name, leader_election=True)
            self.operator = Operator(settings, client, patience=Patience(lease=TIMES))
            await self.operator.run()

    @property
    def leads(self) -> bool:
        return self.operator is not None and self.operator.metrics.is_leader._value.get() == 1

    async def end(self) -> BaseException | None:
        self.task.cancel()
        return (await asyncio.gather(self.task, return_exceptions=True))[0]


@pytest.fixture
async def replicas(kube: KubeServer):  # type: ignore[no-untyped-def]
    made = [Replica(kube, f"operator-{number}") for number in range(2)]
    yield made
    for one in made:
        await one.end()


async def the_leader(
    replicas: list[Replica], among: Callable[[Replica], bool] = lambda _: True
) -> Replica:
    found = await eventually(lambda: [one for one in replicas if one.leads and among(one)])
    return found[0]


async def test_of_two_replicas_one_converges_and_the_other_takes_over_at_once(
    cluster: Cluster, replicas: list[Replica]
) -> None:
    leader = await the_leader(replicas)
    other = next(one for one in replicas if one is not leader)
    async with cluster.going_well():
        cluster.apply()
        await cluster.version_is("Live")
    assert not other.leads
    assert other.operator is not None
    assert other.operator.why_not_ready() is None
    await leader.end()
    assert await the_leader(replicas, lambda one: one is other) is other
    async with cluster.going_well():
        cluster.apply("second")
        await cluster.version_is("Live", 2)
    assert sorted(job["metadata"]["name"] for job in cluster.kube.all(JOB)) == [
        "first-1",
        "second-1",
    ]


async def test_who_cannot_renew_its_lease_stops_before_another_may_start(
    cluster: Cluster, replicas: list[Replica]
) -> None:
    leader = await the_leader(replicas)
    cluster.kube.fail(10_000, 500, verb="update", resource="leases")
    end = await asyncio.wait_for(asyncio.gather(leader.task, return_exceptions=True), 8)
    assert isinstance(end[0], BaseExceptionGroup)
    assert end[0].subgroup(LeadershipLost)
    before = len(cluster.kube.calls)
    cluster.apply()
    await asyncio.sleep(0.2)  # nobody leads: nothing is written, however long it takes
    assert not [
        call
        for call in cluster.kube.calls[before:]
        if call.resource == "jobs" and call.verb == "create"
    ]
    cluster.kube.faults.clear()
    await the_leader(replicas, lambda one: one is not leader)
    await eventually(cluster.job)
