"""What is wrong with a TrainingJob that its schema let through is said on it, once, with what to do."""

from typing import Any

import pytest

from sentops_core.kube.kinds import EVENT, JOB, MODEL_VERSION, TRAINING_JOB
from tests.operator.actors import NAMESPACE, Cluster, a_manifest, condition
from tests.operator.conftest import RunningOperator
from tests.support.builders import a_digest
from tests.support.eventually import eventually


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"dataset": {"storageUri": "file:///data/v1", "contentHash": a_digest("d")}},
            "dataset.storageUri is on file://, which pods cannot reach: use pvc://",
        ),
        ({"output": {"storageUri": "file:///store"}}, "output.storageUri is on file://"),
        ({"trainer": {"method": "Linear", "numNodes": 2}}, "Linear trains on one node"),
        (
            {"trainer": {"method": "Linear", "hyperparameters": {"learningRate": "1e-5"}}},
            "Linear does not use learningRate",
        ),
        ({"trainer": {"method": "Guess"}}, "spec.trainer.method"),
        ({"somethingNew": 1}, "spec.somethingNew: Extra inputs are not permitted"),
        ({"backoffLimit": "two"}, "spec.backoffLimit"),
    ],
)
async def test_a_spec_that_cannot_be_carried_out_fails_with_what_to_do(
    cluster: Cluster, operator: RunningOperator, spec: dict[str, Any], words: str
) -> None:
    manifest = a_manifest()
    manifest["spec"] |= spec
    async with operator():
        cluster.kube.put(TRAINING_JOB, manifest)
        job = await cluster.job_is_in("Failed")
        failed = condition(job, "Failed")
        assert (failed["status"], failed["reason"]) == ("True", "InvalidSpec")
        assert words in failed["message"]
        assert job["status"]["observedGeneration"] == 1
        assert job["status"]["completionTime"]
        cluster.annotate(TRAINING_JOB, "first", nudge="1")
        cluster.apply("second")
        await eventually(lambda: cluster.job("second-1"))
    told = [one for one in cluster.kube.all(EVENT) if one["regarding"]["name"] == "first"]
    assert [(one["reason"], one["type"]) for one in told] == [("InvalidSpec", "Warning")]
    assert [job["metadata"]["name"] for job in cluster.kube.all(JOB)] == ["second-1"]


async def test_a_name_that_cannot_be_used_is_refused(
    cluster: Cluster, operator: RunningOperator
) -> None:
    manifest = a_manifest()
    manifest["metadata"]["name"] = "my.first.job"
    async with operator():
        cluster.kube.put(TRAINING_JOB, manifest)
        failed = condition(await cluster.job_is_in("Failed", "my.first.job"), "Failed")
        assert "metadata.name" in failed["message"]


async def test_a_finished_job_that_cannot_be_read_any_more_stays_finished(
    cluster: Cluster, operator: RunningOperator
) -> None:
    """As after an upgrade to an operator that takes less."""
    manifest = a_manifest()
    manifest["spec"]["colour"] = "red"
    manifest["status"] = {"phase": "Succeeded", "observedGeneration": 1, "attempt": 1}
    async with operator():
        cluster.kube.put(TRAINING_JOB, manifest)
        cluster.apply("second")
        await eventually(lambda: cluster.job("second-1"))
        assert cluster.status() == manifest["status"]


async def test_a_status_that_a_newer_operator_wrote_is_left_as_it_is(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    manifest = a_manifest()
    manifest["status"] = {"phase": "Dreaming", "attempt": 1}
    async with operator():
        cluster.kube.put(TRAINING_JOB, manifest)
        cluster.apply("second")
        await eventually(lambda: cluster.job("second-1"))
        assert cluster.status() == manifest["status"]
        assert cluster.job("first-1") is None


async def test_a_job_with_an_unreadable_version_beside_it_is_still_run(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        unreadable = {"metadata": {"name": "odd", "namespace": NAMESPACE}, "spec": {}}
        cluster.kube.put(MODEL_VERSION, unreadable)
        cluster.apply()
        await eventually(cluster.job)
