"""From `kubectl apply` to a version that serves, with the rest of the cluster played by the test."""

from typing import Any

from sentops_core.kube.kinds import (
    DEPLOYMENT,
    EVENT,
    JOB,
    MODEL_VERSION,
    PERSISTENT_VOLUME_CLAIM,
    TRAINING_JOB,
)
from tests.operator.actors import NAMESPACE, Cluster
from tests.operator.conftest import RunningOperator
from tests.support.builders import a_digest, a_result, a_training_job
from tests.support.eventually import eventually


def a_manifest(name: str = "first", **spec: object) -> dict[str, Any]:
    job = a_training_job(
        name,
        dataset={"storageUri": "pvc://data/v1", "contentHash": a_digest("d")},
        output={"storageUri": "pvc://data/artifacts"},
        **spec,
    )
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": job.spec.to_document(),
    }


def condition(document: dict[str, Any] | None, kind: str) -> dict[str, Any]:
    conditions = ((document or {}).get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


async def test_a_training_job_becomes_a_version_that_serves(
    cluster: Cluster, operator: RunningOperator
) -> None:
    kube = cluster.kube

    def phase(kind: Any, name: str) -> str:
        found = kube.find(kind, name, namespace=NAMESPACE) or {}
        return str((found.get("status") or {}).get("phase", ""))

    async with operator():
        kube.put(TRAINING_JOB, a_manifest())
        await eventually(cluster.job)
        assert kube.find(PERSISTENT_VOLUME_CLAIM, "first-work", namespace=NAMESPACE)
        pod = cluster.start_pod()
        await eventually(lambda: phase(TRAINING_JOB, "first") == "Running")
        cluster.end_run(pod, a_result())
        await eventually(lambda: phase(TRAINING_JOB, "first") == "Succeeded")
        job = kube.get(TRAINING_JOB, "first", namespace=NAMESPACE)
        assert condition(job, "Complete")["status"] == "True"
        assert job["status"]["modelVersionRef"] == {"name": "sentiment-v1"}

        await eventually(lambda: cluster.deployment("sentiment-candidate"))
        assert phase(MODEL_VERSION, "sentiment-v1") == "Verifying"
        cluster.roll_out("sentiment-candidate")
        await eventually(cluster.deployment)
        cluster.roll_out()
        await eventually(lambda: phase(MODEL_VERSION, "sentiment-v1") == "Live")
        version = kube.get(MODEL_VERSION, "sentiment-v1", namespace=NAMESPACE)
        assert condition(version, "Ready")["status"] == "True"
        assert version["status"]["servedDigest"] == cluster.digest()
        await eventually(lambda: cluster.deployment("sentiment-candidate") is None)
    reasons = {event["reason"] for event in kube.all(EVENT)}
    assert {"RunStarting", "VersionRegistered", "Promoted", "Serving"} <= reasons
    assert len(kube.all(JOB)) == 1
    assert len(kube.all(DEPLOYMENT)) == 1
