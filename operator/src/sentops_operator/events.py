"""Kubernetes Events: what happened to a resource, for `kubectl describe`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from sentops_core.domain.conditions import Condition, ConditionStatus, find_condition
from sentops_core.domain.errors import PlatformError
from sentops_core.domain.reasons import Reason
from sentops_core.kube import KubeApi, Manifest

log = structlog.get_logger()

_NOTE_LENGTH = 1000  # the API server takes 1024


_TROUBLES = {
    Reason.UNSCHEDULABLE,
    Reason.IMAGE_PULL_FAILED,
    Reason.EVICTED,
    Reason.RETRYING,
    Reason.SERVER_UNREACHABLE,
}


class EventRecorder:
    """Writes events; one that cannot be written is only logged, as it decides nothing."""

    def __init__(self, api: KubeApi, *, instance: str) -> None:
        self._api = api
        self._instance = instance

    async def transitions(
        self, regarding: Manifest, before: Sequence[Condition], after: Sequence[Condition]
    ) -> None:
        """One event for each condition that says something else than before."""
        for condition in after:
            old = find_condition(before, condition.type)
            if old is not None and (old.status, old.reason) == (condition.status, condition.reason):
                continue
            await self._record(regarding, condition)

    async def _record(self, regarding: Manifest, condition: Condition) -> None:
        metadata = regarding["metadata"]
        manifest = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name'][:200]}.{uuid4().hex[:16]}",
                "namespace": metadata["namespace"],
            },
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "sentops.dev/operator",
            "reportingInstance": self._instance,
            "action": condition.type,
            "reason": condition.reason.value,
            "type": "Warning" if _is_bad(condition) else "Normal",
            "note": (condition.message or condition.reason.value)[:_NOTE_LENGTH],
            "regarding": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata.get("uid", ""),
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
        }
        try:
            await self._api.create(manifest)
        except PlatformError as error:
            log.warning("event_not_recorded", reason=condition.reason, error=str(error))


def _is_bad(condition: Condition) -> bool:
    if condition.type == "Suspended":
        return False
    denied = condition.status is ConditionStatus.FALSE
    return condition.type == "Failed" or denied or condition.reason in _TROUBLES
