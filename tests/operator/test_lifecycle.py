"""From `kubectl apply` to a version that serves, with the rest of the cluster played by the test."""

import logging
import time
from dataclasses import dataclass

import pytest

from sentops_core.kube.kinds import (
    DEPLOYMENT,
    EVENT,
    JOB,
    KINDS,
    MODEL_VERSION,
    PERSISTENT_VOLUME_CLAIM,
)
from sentops_operator.startup import Operator
from tests.operator.actors import Cluster, condition
from tests.operator.conftest import RunningOperator
from tests.support.eventually import eventually


async def test_a_training_job_becomes_a_version_that_serves(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply()
        pod = await cluster.running_pod()
        assert cluster.find(PERSISTENT_VOLUME_CLAIM, "first-work")
        cluster.end_run(pod, cluster.report("first-1"))
        job = await cluster.job_is_in("Succeeded")
        assert condition(job, "Complete")["status"] == "True"
        assert job["status"]["modelVersionRef"] == {"name": "sentiment-v1"}

        await cluster.version_is("Verifying")
        await eventually(cluster.candidate)
        assert cluster.deployment() is None
        cluster.roll_out("sentiment-candidate")
        await eventually(cluster.deployment)
        assert cluster.champion() is None
        cluster.roll_out()
        version = await cluster.version_is("Live")
        assert cluster.champion() == "sentiment-v1"
        assert condition(version, "Ready")["status"] == "True"
        assert version["status"]["servedDigest"] == cluster.digest()
        await eventually(lambda: cluster.candidate() is None)
    assert len(cluster.kube.all(JOB)) == 1
    assert len(cluster.kube.all(DEPLOYMENT)) == 1


async def test_nothing_of_kopf_is_written_to_any_object(
    cluster: Cluster, operator: RunningOperator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "kopf"):
        async with operator():
            await cluster.live()
            await cluster.live(2, "second")
    for kind in KINDS:
        for found in cluster.kube.all(kind):
            metadata = found["metadata"]
            assert "finalizers" not in metadata
            assert not [key for key in metadata.get("annotations") or {} if "kopf" in key]
            assert "kopf" not in (found.get("status") or {})
    assert "inconsistencies" not in caplog.text
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_every_transition_has_one_event_and_none_is_repeated(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        cluster.nudge(1)  # looked at again, and nothing moved
        await eventually(lambda: _told(cluster) >= _EXPECTED)
    assert sorted(_all_told(cluster)) == sorted(_EXPECTED)
    events = cluster.kube.all(EVENT)
    assert {one["reportingController"] for one in events} == {"sentops.dev/operator"}
    assert {one["type"] for one in events} == {"Normal"}


_EXPECTED = {
    ("first", "Trained", "RunStarting"),
    ("first", "Trained", "RunStarted"),
    ("first", "Trained", "RunFinished"),
    ("first", "GatePassed", "GatePassed"),
    ("first", "Complete", "VersionRegistered"),
    ("sentiment-v1", "ArtifactVerified", "Loading"),
    ("sentiment-v1", "ArtifactVerified", "GoldenReproduced"),
    ("sentiment-v1", "Loaded", "GoldenReproduced"),
    ("sentiment-v1", "Promoted", "Loading"),
    ("sentiment-v1", "Promoted", "Promoted"),
    ("sentiment-v1", "Ready", "Serving"),
}


def _told(cluster: Cluster) -> set[tuple[str, str, str]]:
    return set(_all_told(cluster))


def _all_told(cluster: Cluster) -> list[tuple[str, str, str]]:
    return [
        (one["regarding"]["name"], one["action"], one["reason"]) for one in cluster.kube.all(EVENT)
    ]


async def test_nothing_is_asked_of_the_api_server_while_nothing_happens(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator() as running:
        await cluster.live()
        await eventually(_Quiet(cluster, running), within=8)


@dataclass
class _Quiet:
    """True once no call was made and no turn taken for two seconds."""

    cluster: Cluster
    operator: Operator
    seen: float = -1
    since: float = 0

    def __call__(self) -> bool:
        samples = next(iter(self.operator.metrics.converges.collect())).samples
        turns = sum(one.value for one in samples if one.name.endswith("_total"))
        if len(self.cluster.kube.calls) + turns != self.seen:
            self.seen, self.since = len(self.cluster.kube.calls) + turns, time.monotonic()
        return time.monotonic() - self.since >= 2


async def test_a_second_life_ends_in_the_place_of_the_first(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        first = await cluster.version_is("Archived")
    assert first["status"]["trafficPercent"] == 0
    assert cluster.get(MODEL_VERSION, "sentiment-v2")["status"]["previousVersion"] == "sentiment-v1"
