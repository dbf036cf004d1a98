"""The rest of a cluster, played by tests: what Job controller, Deployment controller and kubelet would do."""

from collections.abc import Mapping
from typing import Any

from sentops_core.domain.run import RunExit, RunResult
from sentops_core.kube.kinds import DEPLOYMENT, JOB, POD
from tests.support.kube_api import KubeServer

Manifest = dict[str, Any]
NAMESPACE = "team"


class Cluster:
    """A pretend API server, and everybody else who writes to it."""

    def __init__(self, kube: KubeServer) -> None:
        self.kube = kube

    # Runs

    def job(self, name: str = "first-1") -> Manifest | None:
        return self.kube.find(JOB, name, namespace=NAMESPACE)

    def start_pod(self, job: str = "first-1", *, index: int = 0, phase: str = "Running") -> str:
        """The Job's pod, as its controller makes it."""
        found = self.kube.get(JOB, job, namespace=NAMESPACE)
        name = f"{job}-{index}-{len(self.kube.all(POD))}"
        template = found["spec"]["template"]
        labels = {
            **template["metadata"]["labels"],
            "batch.kubernetes.io/job-name": job,
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        annotations = template["metadata"].get("annotations", {})
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata | {"annotations": annotations},
            "spec": template["spec"],
            "status": {"phase": phase},
        }
        self.kube.put(POD, pod)
        return name

    def pod_is(self, name: str, status: Mapping[str, Any]) -> None:
        self.kube.set_status(POD, name, status, namespace=NAMESPACE)

    def end_run(
        self, pod: str, result: RunResult | None, job: str = "first-1", *, code: int | None = None
    ) -> None:
        """The container ends with its report as termination message, and the Job with it."""
        code = int(result.exit) if result is not None and code is None else code or 0
        message = result.model_dump_json(exclude_none=True) if result is not None else ""
        ended = {
            "exitCode": code,
            "message": message,
            "reason": "Completed" if not code else "Error",
        }
        self.pod_is(
            pod,
            {
                "phase": "Succeeded" if not code else "Failed",
                "containerStatuses": [{"name": "run", "state": {"terminated": ended}}],
            },
        )
        kind = "Complete" if code == RunExit.OK else "Failed"
        self.job_is(job, kind)

    def job_is(self, job: str, condition: str, reason: str = "", message: str = "") -> None:
        entry = {"type": condition, "status": "True", "reason": reason, "message": message}
        self.kube.set_status(JOB, job, {"conditions": [entry]}, namespace=NAMESPACE)

    # Serving

    def deployment(self, name: str = "sentiment-model") -> Manifest | None:
        return self.kube.find(DEPLOYMENT, name, namespace=NAMESPACE)

    def digest(self, name: str = "sentiment-model") -> str:
        found = self.deployment(name)
        assert found is not None
        digest: str = found["spec"]["template"]["metadata"]["annotations"][
            "sentops.dev/artifact-digest"
        ]
        return digest

    def roll_out(self, name: str = "sentiment-model") -> None:
        """Every pod of the newest template is ready, every old one gone."""
        found = self.kube.get(DEPLOYMENT, name, namespace=NAMESPACE)
        replicas = found["spec"].get("replicas", 1)
        self.kube.set_status(
            DEPLOYMENT,
            name,
            {
                "observedGeneration": found["metadata"]["generation"],
                "replicas": replicas,
                "updatedReplicas": replicas,
                "availableReplicas": replicas,
            },
            namespace=NAMESPACE,
        )

    def stall(self, name: str = "sentiment-model", **pod_status: Any) -> str:
        """One new pod beside the old ones, which does not become ready."""
        found = self.kube.get(DEPLOYMENT, name, namespace=NAMESPACE)
        replicas = found["spec"].get("replicas", 1)
        old = (found.get("status") or {}).get("availableReplicas", 0)
        template = found["spec"]["template"]
        pod = f"{name}-{len(self.kube.all(POD))}"
        metadata = {"name": pod, "namespace": NAMESPACE, **template["metadata"]}
        self.kube.put(
            POD,
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": pod_status},
        )
        self.kube.set_status(
            DEPLOYMENT,
            name,
            {
                "observedGeneration": found["metadata"]["generation"],
                "replicas": old + 1,
                "updatedReplicas": 1 if old else replicas,
                "availableReplicas": old,
            },
            namespace=NAMESPACE,
        )
        return pod
