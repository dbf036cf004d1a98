"""The rest of a cluster, played by tests: what people, Job controller, Deployment controller and kubelet would do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from sentops_core.domain.resources import ModelVersionSpec, ModelVersionStatus
from sentops_core.domain.run import PublishedArtifact, RunExit, RunResult, RunSpec
from sentops_core.kube.kinds import DEPLOYMENT, JOB, MODEL_VERSION, POD, TRAINING_JOB, Kind
from tests.support.builders import a_comparison, a_digest, a_result, a_training_job
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer

Manifest = dict[str, Any]
NAMESPACE = "team"
DIGEST = "sentops.dev/artifact-digest"


def a_manifest(name: str = "first", **spec: object) -> Manifest:
    """A TrainingJob as a person applies it."""
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


def a_version_manifest(
    number: int,
    *,
    digest: str,
    model: str = "sentiment",
    status: ModelVersionStatus | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: object,
) -> Manifest:
    fields = {
        "modelName": model,
        "version": number,
        "artifact": {"storageUri": "pvc://data/x", "digest": digest, "sizeBytes": 1},
        "datasetHash": a_digest("d"),
        **spec,
    }
    return {
        "apiVersion": "sentops.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {
            "name": f"{model}-v{number}",
            "namespace": NAMESPACE,
            "annotations": dict(annotations or {}),
        },
        "spec": ModelVersionSpec.model_validate(fields).to_document(),
        **({"status": status.to_document()} if status else {}),
    }


def digest_of_job(name: str) -> str:
    """What the run of this TrainingJob publishes."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def condition(document: Manifest | None, kind: str) -> Manifest:
    conditions = ((document or {}).get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


class Cluster:
    """A pretend API server, and everybody else who writes to it."""

    def __init__(self, kube: KubeServer) -> None:
        self.kube = kube
        self._pods = 0

    # What is there

    def find(self, kind: Kind, name: str) -> Manifest | None:
        return self.kube.find(kind, name, namespace=NAMESPACE)

    def get(self, kind: Kind, name: str) -> Manifest:
        return self.kube.get(kind, name, namespace=NAMESPACE)

    def phase(self, kind: Kind, name: str) -> str:
        return str(((self.find(kind, name) or {}).get("status") or {}).get("phase", ""))

    def job_phase(self, name: str = "first") -> str:
        return self.phase(TRAINING_JOB, name)

    def version_phase(self, number: int = 1) -> str:
        return self.phase(MODEL_VERSION, f"sentiment-v{number}")

    def status(self, name: str = "first") -> Manifest:
        """Of a TrainingJob."""
        status: Manifest = self.get(TRAINING_JOB, name).get("status") or {}
        return status

    def version_status(self, number: int = 1) -> Manifest:
        status: Manifest = self.get(MODEL_VERSION, f"sentiment-v{number}").get("status") or {}
        return status

    def trained(self, name: str = "first") -> Manifest:
        return condition(self.find(TRAINING_JOB, name), "Trained")

    async def job_is_in(self, phase: str, name: str = "first") -> Manifest:
        await eventually(lambda: _same(self.job_phase(name), phase))
        return self.get(TRAINING_JOB, name)

    async def version_is(self, phase: str, number: int = 1) -> Manifest:
        await eventually(lambda: _same(self.version_phase(number), phase))
        return self.get(MODEL_VERSION, f"sentiment-v{number}")

    # People

    def apply(
        self, name: str = "first", *, metadata: Manifest | None = None, **spec: object
    ) -> None:
        manifest = a_manifest(name, **spec)
        manifest["metadata"] |= metadata or {}
        self.kube.put(TRAINING_JOB, manifest)

    def change(self, name: str = "first", **spec: object) -> None:
        self.kube.patch(TRAINING_JOB, name, {"spec": spec}, namespace=NAMESPACE)

    def change_version(self, number: int, **spec: object) -> None:
        self.kube.patch(MODEL_VERSION, f"sentiment-v{number}", {"spec": spec}, namespace=NAMESPACE)

    def annotate(self, kind: Kind, name: str, **annotations: str | None) -> None:
        """Keys with underscores for slashes of our own annotations: `cancel` is sentops.dev/cancel."""
        wanted = {f"sentops.dev/{key}": value for key, value in annotations.items()}
        patch = {"metadata": {"annotations": wanted}}
        self.kube.patch(kind, name, patch, namespace=NAMESPACE)

    def nudge(self, number: int) -> None:
        """Nothing of meaning happens to a version, so that it is looked at."""
        self._pods += 1
        self.annotate(MODEL_VERSION, f"sentiment-v{number}", nudge=str(self._pods))

    # Runs

    def job(self, name: str = "first-1") -> Manifest | None:
        return self.find(JOB, name)

    def start_pod(self, job: str = "first-1", *, index: int = 0, phase: str = "Running") -> str:
        """The Job's pod, as its controller makes it."""
        found = self.get(JOB, job)
        self._pods += 1
        name = f"{job}-{index}-{self._pods}"
        template, uid = found["spec"]["template"], found["metadata"]["uid"]
        labels = {
            **template["metadata"]["labels"],
            "batch.kubernetes.io/job-name": job,
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}
        metadata = {
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": template["metadata"].get("annotations", {}),
            "ownerReferences": [{**owner, "controller": True}],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": template["spec"],
            "status": {"phase": phase},
        }
        self.kube.put(POD, pod)
        return name

    async def running_pod(self, job: str = "first-1") -> str:
        """Once the Job is there, its pod runs and the operator has said so."""
        await eventually(lambda: self.job(job))
        pod = self.start_pod(job)
        name = job.rpartition("-")[0]
        await self.job_is_in("Running", name)
        return pod

    def pod_is(self, name: str, status: Mapping[str, Any]) -> None:
        self.kube.set_status(POD, name, status, namespace=NAMESPACE)

    def remove_pod(self, name: str) -> None:
        self.kube.delete(POD, name, namespace=NAMESPACE)

    def pods_of(self, job: str) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.kube.all(POD)
            if (pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-name") == job
        ]

    def report(self, job: str, **fields: object) -> RunResult:
        """What the run would report: its artefact, compared with the champion it was told of."""
        annotations = self.get(JOB, job)["spec"]["template"]["metadata"]["annotations"]
        spec = RunSpec.model_validate_json(annotations["sentops.dev/run-spec"])
        digest = digest_of_job(spec.training_job)
        artifact = PublishedArtifact(storage_uri="pvc://data/x", digest=digest, size_bytes=10)
        paired = a_comparison(digest=spec.champion.digest) if spec.champion else None
        return a_result(**{"artifact": artifact, "paired": paired, **fields})

    def end_run(
        self,
        pod: str,
        result: RunResult | None,
        job: str = "first-1",
        *,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        """The container ends with its report as termination message, and the Job with it."""
        self.end_pod(pod, result, code=code, reason=reason)
        ended_with = int(result.exit) if result is not None and code is None else code or 0
        self.job_is(job, "Complete" if ended_with == RunExit.OK else "Failed")

    def end_pod(
        self, pod: str, result: RunResult | None, *, code: int | None = None, reason: str = ""
    ) -> None:
        code = int(result.exit) if result is not None and code is None else code or 0
        message = result.model_dump_json(exclude_none=True) if result is not None else ""
        reason = reason or ("Completed" if not code else "Error")
        ended = {"exitCode": code, "message": message, "reason": reason}
        statuses = [{"name": "run", "state": {"terminated": ended}}]
        phase = "Succeeded" if not code else "Failed"
        self.pod_is(pod, {"phase": phase, "containerStatuses": statuses})

    def job_is(self, job: str, condition: str, reason: str = "", message: str = "") -> None:
        entry = {"type": condition, "status": "True", "reason": reason, "message": message}
        self.kube.set_status(JOB, job, {"conditions": [entry]}, namespace=NAMESPACE)

    # Serving

    def deployment(self, name: str = "sentiment-model") -> Manifest | None:
        return self.find(DEPLOYMENT, name)

    def candidate(self) -> Manifest | None:
        return self.deployment("sentiment-candidate")

    def digest(self, name: str = "sentiment-model") -> str:
        found = self.deployment(name)
        assert found is not None
        digest: str = found["spec"]["template"]["metadata"]["annotations"][DIGEST]
        return digest

    def champion(self) -> str | None:
        """Who is noted as champion on the Deployment."""
        annotations = ((self.deployment() or {}).get("metadata") or {}).get("annotations") or {}
        return annotations.get("sentops.dev/champion")

    def roll_out(self, name: str = "sentiment-model") -> None:
        """Every pod of the newest template is ready, every old one gone."""
        found = self.get(DEPLOYMENT, name)
        replicas = found["spec"].get("replicas", 1)
        self.deployment_is(name, replicas=replicas, updated=replicas, available=replicas)

    def deployment_is(
        self, name: str = "sentiment-model", *, replicas: int, updated: int, available: int
    ) -> None:
        found = self.get(DEPLOYMENT, name)
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": updated,
            "availableReplicas": available,
        }
        self.kube.set_status(DEPLOYMENT, name, status, namespace=NAMESPACE)

    def is_rolled_out(self, name: str) -> bool:
        found = self.get(DEPLOYMENT, name)
        status = found.get("status") or {}
        return bool(status.get("observedGeneration") == found["metadata"]["generation"])

    def server_pod(self, name: str = "sentiment-model", **status: Any) -> str:
        """A pod of the Deployment's newest template."""
        template = self.get(DEPLOYMENT, name)["spec"]["template"]
        self._pods += 1
        pod = f"{name}-{self._pods}"
        metadata = {"name": pod, "namespace": NAMESPACE, **template["metadata"]}
        self.kube.put(
            POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
        )
        return pod

    def stall(self, name: str = "sentiment-model", **pod_status: Any) -> str:
        """One new pod beside the old ones, which does not become ready."""
        found = self.get(DEPLOYMENT, name)
        old = (found.get("status") or {}).get("availableReplicas", 0)
        pod = self.server_pod(name, **pod_status)
        self.deployment_is(
            name,
            replicas=old + 1,
            updated=1 if old else found["spec"].get("replicas", 1),
            available=old,
        )
        return pod

    # Everybody at once

    @asynccontextmanager
    async def going_well(self, *, serving: bool = True) -> AsyncIterator[None]:
        """Every Job gets its pod, every pod ends with a report, every roll-out comes through."""
        task = asyncio.create_task(self._go_well(serving=serving))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _go_well(self, *, serving: bool) -> None:
        while True:
            for job in self.kube.all(JOB):
                self._advance(job)
            for deployment in self.kube.all(DEPLOYMENT) if serving else ():
                name = deployment["metadata"]["name"]
                if not self.is_rolled_out(name):
                    self.roll_out(name)
            await asyncio.sleep(0.01)

    def _advance(self, job: Manifest) -> None:
        name = job["metadata"]["name"]
        if (job.get("status") or {}).get("conditions") or job["spec"].get("suspend"):
            return
        pods = self.pods_of(name)
        if not pods:
            self.start_pod(name)
        else:
            self.end_run(pods[0], self.report(name), name)

    async def live(self, number: int = 1, name: str = "first", **spec: object) -> None:
        """A TrainingJob's whole life, up to the version that serves."""
        async with self.going_well():
            self.apply(name, **spec)
            await self.version_is("Live", number)
            await self.job_is_in("Succeeded", name)
            await eventually(lambda: self.candidate() is None)
            if self.find(MODEL_VERSION, f"sentiment-v{number - 1}"):
                await self.version_is("Archived", number - 1)


def _same(found: str, wanted: str) -> bool:
    assert found == wanted
    return True


def crashing(code: int, message: str = "", *, restarts: int = 5, reason: str = "Error") -> Manifest:
    """The status of a model server's pod that ends and ends again."""
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "model",
                "restartCount": restarts,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {
                    "terminated": {"exitCode": code, "message": message, "reason": reason}
                },
            }
        ],
    }
