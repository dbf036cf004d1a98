"""A serving slot as its Deployment and pods show it."""

from collections.abc import Sequence

from sentops_core.domain.serving import Slot, SlotState
from sentops_core.kube.api import Manifest
from sentops_operator.manifests.metadata import DIGEST_ANNOTATION
from sentops_operator.pod_troubles import exit_of, restarts_of, trouble_of, waiting_reason

# What the model server ends with when it refuses its artefact for good.
REFUSED_EXIT = 3
# Restarts after which a crashing server is not thought to be merely unlucky.
_CRASHES = 4


def observe_slot(
    deployment: Manifest | None, pods: Sequence[Manifest], *, serving_digest: str | None = None
) -> Slot:
    """What the slot holds. While a roll-out is under way that is still `serving_digest`, the old one."""
    if deployment is None:
        return Slot()
    wanted = digest_of(deployment)
    if wanted is None:
        return Slot()
    newest = [pod for pod in pods if _digest(pod) == wanted and not _ending(pod)]
    refusal = next((why for pod in newest if (why := _refusal(pod))), None)
    status = deployment.get("status") or {}
    observed = int(status.get("observedGeneration") or 0)
    current = observed >= int(deployment["metadata"].get("generation") or 1)
    total, updated = int(status.get("replicas") or 0), int(status.get("updatedReplicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    # Old pods gone and new ones answering: maxUnavailable is 0, so the roll-out has come through.
    if current and updated == total and available >= 1:
        return Slot(SlotState.READY, wanted, wanted)
    held = serving_digest if available >= 1 else None
    if refusal is not None:
        return Slot(SlotState.FAILED, held, wanted, refusal)
    desired = int((deployment.get("spec") or {}).get("replicas") or 1)
    message = _progress(newest, ready=min(updated, available), desired=desired)
    return Slot(SlotState.LOADING, held, wanted, message)


def digest_of(deployment: Manifest) -> str | None:
    """The digest its pod template names."""
    template = (deployment.get("spec") or {}).get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    digest: str | None = annotations.get(DIGEST_ANNOTATION)
    return digest


def _digest(pod: Manifest) -> str | None:
    digest: str | None = (pod["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION)
    return digest


def _ending(pod: Manifest) -> bool:
    """Left over from an earlier try at the same digest."""
    return "deletionTimestamp" in pod["metadata"]


def _refusal(pod: Manifest) -> str | None:
    """Why this pod will never serve its artefact; None while it may."""
    found = exit_of(pod)
    if found is None or _ready(pod):
        return None
    if found.code == REFUSED_EXIT:
        return found.message.strip() or "The model server refuses the artefact."
    if restarts_of(pod) >= _CRASHES and waiting_reason(pod) == "CrashLoopBackOff":
        why = "out of memory" if found.reason == "OOMKilled" else f"exit code {found.code}"
        tail = found.message.strip()[-300:]
        return f"The model server crashes again and again ({why}){': ' + tail if tail else ''}"
    return None


def _ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _progress(pods: Sequence[Manifest], *, ready: int, desired: int) -> str:
    trouble = next((found for pod in pods if (found := trouble_of(pod)) is not None), None)
    if trouble is not None:
        return trouble.message
    return f"{ready} of {desired} model servers answer with this version."
