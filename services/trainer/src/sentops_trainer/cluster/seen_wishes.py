"""Wishes written into custom resources past our API, as the audit log tells them; and who wrote a field."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentops_core.domain.resources import Approval, DesiredState, ModelVersionSpec, TrainingJobSpec
from sentops_core.kube import Manifest
from sentops_core.kube.agreed import CANCEL_ANNOTATION

_DESIRED = {
    DesiredState.CHAMPION: "promotion_requested",
    DesiredState.ARCHIVED: "archive_requested",
    DesiredState.CANDIDATE: "candidacy_requested",
}


@dataclass(frozen=True)
class SeenWish:
    """`path` is the field it was written into."""

    action: str
    path: tuple[str, ...]
    evidence: dict[str, object] = field(default_factory=dict)


def wishes_of_job(
    before: TrainingJobSpec, after: TrainingJobSpec, *, cancelled: bool
) -> list[SeenWish]:
    """`cancelled`: just now."""
    found = []
    if before.suspend != after.suspend:
        action = "suspended" if after.suspend else "resumed"
        found.append(SeenWish(f"training_job.{action}", ("spec", "suspend")))
    if cancelled:
        found.append(
            SeenWish("training_job.cancelled", ("metadata", "annotations", CANCEL_ANNOTATION))
        )
    return found


def wishes_of_version(before: ModelVersionSpec, after: ModelVersionSpec) -> list[SeenWish]:
    found = []
    if before.desired_state is not after.desired_state:
        action = f"model_version.{_DESIRED[after.desired_state]}"
        found.append(SeenWish(action, ("spec", "desiredState")))
    if before.approval != after.approval:
        found.append(_approval(after.approval))
    return found


def _approval(approval: Approval | None) -> SeenWish:
    path = ("spec", "approval")
    if approval is None or not approval.approved:
        return SeenWish("model_version.approval_withdrawn", path)
    return SeenWish("model_version.approved", path, approval.to_document())


def manager_of(manifest: Manifest, path: tuple[str, ...]) -> str | None:
    """Who wrote this field last, as the API server noted: kubectl-patch, argocd-controller, ...; None: nobody owns it."""
    owners = [
        one
        for one in manifest["metadata"].get("managedFields") or ()
        if not one.get("subresource") and _owns(one.get("fieldsV1"), path)
    ]
    last = max(owners, key=lambda one: str(one.get("time") or ""), default=None)
    return str(last["manager"]) if last is not None and last.get("manager") else None


def _owns(fields: object, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(fields, Mapping) or f"f:{name}" not in fields:
            return False
        fields = fields[f"f:{name}"]
    return True
