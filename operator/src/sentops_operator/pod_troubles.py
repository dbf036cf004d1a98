"""What is wrong with a pod, from its status: why it does not start, or why it ended."""

from dataclasses import dataclass
from typing import Any

from sentops_core.domain.reasons import Reason
from sentops_core.kube.api import Manifest
from sentops_operator.manifests import job, serving

_OURS = {job.CONTAINER, serving.CONTAINER}
_IMAGE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CONFIGURATION = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PostStartHookError",
}


@dataclass(frozen=True)
class Trouble:
    """`fatal`: this pod has ended; `disrupted`: the cluster ended it, not the program."""

    reason: Reason
    message: str
    fatal: bool = False
    disrupted: bool = False


@dataclass(frozen=True)
class Exit:
    code: int
    message: str
    reason: str


def exit_of(pod: Manifest) -> Exit | None:
    """How the pod's container ended last; None while it has not."""
    for container in _own_containers(pod):
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            ended = state.get("terminated")
            if ended:
                return Exit(
                    int(ended.get("exitCode", -1)),
                    str(ended.get("message", "")),
                    str(ended.get("reason", "")),
                )
    return None


def restarts_of(pod: Manifest) -> int:
    return max((int(one.get("restartCount", 0)) for one in _own_containers(pod)), default=0)


def waiting_reason(pod: Manifest) -> str:
    return next(
        (
            str(waiting.get("reason", ""))
            for one in _own_containers(pod)
            if (waiting := (one.get("state") or {}).get("waiting"))
        ),
        "",
    )


def trouble_of(pod: Manifest) -> Trouble | None:
    """None: nothing is wrong, or nothing says so."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase == "Failed":
        return _ending(status, pod)
    if phase == "Pending":
        return _not_scheduled(status) or _not_started(pod)
    return None


def _ending(status: dict[str, Any], pod: Manifest) -> Trouble:
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    disruption = conditions.get("DisruptionTarget")
    found = exit_of(pod)
    if found is not None and found.reason == "OOMKilled":
        message = "Killed for using more memory than its limit: raise spec.trainer.resources.limits.memory."
        return Trouble(Reason.OUT_OF_MEMORY, message, fatal=True)
    if status.get("reason") == "Evicted" or (
        disruption is not None and disruption.get("status") == "True"
    ):
        why = status.get("message") or (disruption or {}).get("message") or "The node gave it up."
        return Trouble(Reason.EVICTED, f"Evicted: {why}", fatal=True, disrupted=True)
    if found is None:
        why = status.get("message") or status.get("reason") or "no exit code is known"
        return Trouble(Reason.RUN_LOST, f"The pod failed: {why}.", fatal=True)
    tail = f": {found.message.strip()[-500:]}" if found.message.strip() else ""
    return Trouble(Reason.RUN_LOST, f"Ended with exit code {found.code}{tail}", fatal=True)


def _not_scheduled(status: dict[str, Any]) -> Trouble | None:
    for one in status.get("conditions") or []:
        refused = one.get("type") == "PodScheduled" and one.get("status") == "False"
        if refused and one.get("reason") == "SchedulingGated":
            return Trouble(Reason.WAITING_FOR_CAPACITY, "Waits for its scheduling gate.")
        if refused:
            why = one.get("message") or "no node fits"
            return Trouble(Reason.UNSCHEDULABLE, f"No node takes the pod: {why}")
    return None


def _not_started(pod: Manifest) -> Trouble | None:
    for one in _containers(pod):
        waiting = (one.get("state") or {}).get("waiting")
        if not waiting:
            continue
        reason, why = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE:
            message = f"The image {one.get('image', '')} cannot be pulled ({reason}): {why}"
            return Trouble(Reason.IMAGE_PULL_FAILED, message)
        if reason in _CONFIGURATION:
            return Trouble(Reason.RUN_STARTING, f"The container cannot be made ({reason}): {why}")
    return None


def _own_containers(pod: Manifest) -> list[dict[str, Any]]:
    """Ours, where a mesh or a webhook has put others beside it."""
    found = _containers(pod)
    return [one for one in found if one.get("name") in _OURS] or found


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [
        *(status.get("containerStatuses") or []),
        *(status.get("initContainerStatuses") or []),
    ]
