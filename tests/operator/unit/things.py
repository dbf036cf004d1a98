"""Jobs, pods and Deployments with defaults; a test names only what it is about."""

from typing import Any

from sentops_core.domain.run import RunResult

Manifest = dict[str, Any]
UID = "uid-of-the-job"


def a_job(
    attempt: int = 1,
    *,
    condition: str = "",
    reason: str = "",
    message: str = "",
    annotations: dict[str, str] | None = None,
    **spec: object,
) -> Manifest:
    conditions = [{"type": condition, "status": "True", "reason": reason, "message": message}]
    return {
        "metadata": {
            "name": f"first-{attempt}",
            "namespace": "team",
            "uid": UID,
            "labels": {"sentops.dev/attempt": str(attempt), "sentops.dev/training-job": "first"},
            "annotations": annotations or {},
        },
        "spec": spec,
        "status": {"conditions": conditions if condition else []},
    }


def a_pod(
    phase: str = "Pending",
    *,
    attempt: int = 1,
    index: int = 0,
    created: int = 0,
    controller: str = UID,
    digest: str = "",
    deleted: bool = False,
    containers: list[Manifest] | None = None,
    **status: object,
) -> Manifest:
    metadata: Manifest = {
        "name": f"first-{attempt}-{index}-{created}",
        "namespace": "team",
        "creationTimestamp": f"2026-11-21T12:00:{created:02}Z",
        "labels": {
            "sentops.dev/attempt": str(attempt),
            "batch.kubernetes.io/job-completion-index": str(index),
            "batch.kubernetes.io/controller-uid": controller,
        },
        "annotations": {"sentops.dev/artifact-digest": digest} if digest else {},
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-11-21T12:10:00Z"
    known = {"phase": phase, "containerStatuses": containers or [], **status}
    return {"metadata": metadata, "status": known}


def ended(
    code: int, *, reason: str = "Error", message: str = "", name: str = "run"
) -> list[Manifest]:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return [{"name": name, "state": state}]


def reported(result: RunResult) -> list[Manifest]:
    return ended(int(result.exit), message=result.model_dump_json(exclude_none=True))


def waits(reason: str, message: str = "no such thing", image: str = "here/it:1") -> list[Manifest]:
    waiting = {"waiting": {"reason": reason, "message": message}}
    return [{"name": "run", "image": image, "state": waiting}]


def not_scheduled(reason: str, message: str = "") -> list[Manifest]:
    return [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]


DISRUPTED = [
    {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "preempted",
    }
]
