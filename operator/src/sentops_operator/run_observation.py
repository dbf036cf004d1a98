"""A training attempt as its Job and pods show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import TrainerStatus
from sentops_core.domain.run import Run, RunExit, RunResult, RunState
from sentops_core.kube.api import Manifest
from sentops_operator.manifests.metadata import ATTEMPT_LABEL, STOPPED_ANNOTATION
from sentops_operator.pod_troubles import Trouble, exit_of, trouble_of

_CONTROLLER = "batch.kubernetes.io/controller-uid"
_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


def observe_run(
    jobs: Sequence[Manifest], pods: Sequence[Manifest], progress: TrainerStatus | None
) -> Run | None:
    """The newest attempt; None when there is no Job at all."""
    job = max(jobs, key=_attempt, default=None)
    if job is None:
        return None
    own = sorted((pod for pod in pods if _is_of(pod, job)), key=_rank)
    return _View(job, own, _attempt(job), progress).run()


def lives(pod: Manifest) -> bool:
    """It may still write."""
    return _phase(pod) not in {"Succeeded", "Failed"}


@dataclass(frozen=True)
class _View:
    job: Manifest
    pods: list[Manifest]  # the one that reports first
    attempt: int
    progress: TrainerStatus | None

    def run(self) -> Run:
        conditions = _true_conditions(self.job)
        if "Complete" in conditions:
            return self._ended(RunState.FINISHED, "")
        if "Failed" in conditions:
            return self._failed(conditions["Failed"])
        if (self.job.get("spec") or {}).get("suspend"):
            return self._suspended()
        return self._active()

    def _ended(self, state: RunState, message: str, **fields: Any) -> Run:
        result = self._result()
        if result is not None:
            state, message = RunState.FINISHED, ""
        return self._as(state, message=message, result=result, **fields)

    def _result(self) -> RunResult | None:
        """With several nodes, one that breaks has the others interrupted: theirs is not the reason."""
        results = [found for pod in self.pods if (found := _reported(pod))]
        telling = [one for one in results if one.exit is not RunExit.CANCELLED]
        broken = any(trouble_of(pod) and not _interrupted(pod) for pod in self._newest())
        return next(iter(telling if broken else [*telling, *results]), None)

    def _cause(self) -> Trouble | None:
        """What ended the attempt: the cluster before the program, a node's own end before an interruption."""
        pods = sorted(self._newest(), key=_interrupted)
        troubles = [found for pod in pods if (found := trouble_of(pod)) and found.fatal]
        disrupted = (one for one in troubles if one.disrupted)
        return next(disrupted, next(iter(troubles), None))

    def _newest(self) -> list[Manifest]:
        """One for each node: a pod that was evicted has a successor."""
        newest: dict[int, Manifest] = {}
        for pod in self.pods:
            newest.setdefault(_rank(pod)[0], pod)
        return list(newest.values())

    def _failed(self, condition: dict[str, str]) -> Run:
        cause = self._cause()
        if cause is not None:
            return self._ended(
                RunState.LOST, cause.message, reason=cause.reason, disrupted=cause.disrupted
            )
        if condition.get("reason") == "DeadlineExceeded":
            message = condition.get("message") or "The attempt ran out of time."
            return self._ended(RunState.LOST, message, reason=Reason.DEADLINE_EXCEEDED)
        message = condition.get("message") or "The Job failed without saying why."
        # Its pod is gone, and with it the node that ran it: nobody's fault but the cluster's.
        return self._ended(RunState.LOST, message, disrupted=not self.pods)

    def _suspended(self) -> Run:
        annotations = self.job["metadata"].get("annotations") or {}
        if annotations.get(STOPPED_ANNOTATION) != "true":
            message = "Suspended by its queue until there is room."
            return self._as(RunState.STARTING, reason=Reason.WAITING_FOR_CAPACITY, message=message)
        if self._pods_left():
            return self._as(RunState.RUNNING, message="Stopping.")
        return self._as(RunState.STOPPED)

    def _active(self) -> Run:
        if not self.pods:
            return self._as(RunState.STARTING, message="Waiting for the Job's pod.")
        # With several nodes the slowest to start decides: none computes before all are there.
        newest = self._newest()
        troubles = (found for pod in newest if (found := trouble_of(pod)))
        evicted = next((one for one in troubles if one.disrupted), None)
        if evicted is not None:
            message = f"{evicted.message} Another pod takes its place."
            return self._as(RunState.STARTING, reason=evicted.reason, message=message)
        waiting = [pod for pod in newest if _phase(pod) == "Pending"]
        if waiting:
            trouble = next((found for pod in waiting if (found := trouble_of(pod))), None)
            if trouble is None:
                return self._as(RunState.STARTING, message="The pod is starting.")
            return self._as(RunState.STARTING, reason=trouble.reason, message=trouble.message)
        return self._as(RunState.RUNNING)

    def _pods_left(self) -> bool:
        return any(lives(pod) for pod in self.pods)

    def _as(self, state: RunState, **fields: Any) -> Run:
        status = self.job.get("status") or {}
        return Run(
            attempt=self.attempt,
            state=state,
            reference=self.job["metadata"]["name"],
            started_at=_moment(status.get("startTime")),
            finished_at=_moment(status.get("completionTime")),
            progress=self.progress,
            **fields,
        )


def _reported(pod: Manifest) -> RunResult | None:
    """What the run reported as its termination message, if it could."""
    found = exit_of(pod)
    if found is None or not found.message:
        return None
    try:
        return RunResult.model_validate_json(found.message)
    except ValidationError:
        return None


def _interrupted(pod: Manifest) -> bool:
    found, report = exit_of(pod), _reported(pod)
    by_code = found is not None and found.code == RunExit.CANCELLED
    return by_code or (report is not None and report.exit is RunExit.CANCELLED)


def _is_of(pod: Manifest, job: Manifest) -> bool:
    """Not of an earlier Job of that name, whose pod may take a while to go."""
    labels = pod["metadata"].get("labels") or {}
    owner = labels.get(_CONTROLLER, job["metadata"].get("uid"))
    return _attempt(pod) == _attempt(job) and owner == job["metadata"].get("uid")


def _attempt(labelled: Manifest) -> int:
    value = (labelled["metadata"].get("labels") or {}).get(ATTEMPT_LABEL, "")
    return int(value) if value.isdigit() else 0


def _rank(pod: Manifest) -> tuple[int, list[int]]:
    """Index 0 reports; of its pods, the newest (one that was evicted has a successor)."""
    metadata = pod["metadata"]
    labels = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    index = labels.get(_COMPLETION_INDEX, "0")
    created = str(metadata.get("creationTimestamp", ""))
    return (int(index) if index.isdigit() else 0), [-ord(letter) for letter in created]


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _true_conditions(job: Manifest) -> dict[str, dict[str, str]]:
    conditions = (job.get("status") or {}).get("conditions") or []
    return {one["type"]: one for one in conditions if one.get("status") == "True"}


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
