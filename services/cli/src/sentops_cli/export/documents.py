"""The ModelVersions that a cluster gets: who serves goes live there by itself, nobody else does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from sentops_cli.export.store import Move
from sentops_core.domain.conditions import find_condition
from sentops_core.domain.derived import TRAINING_JOB_UID_LABEL
from sentops_core.domain.resources import (
    Approval,
    DesiredState,
    ModelVersion,
    ModelVersionPhase,
    RetrainPolicy,
)
from sentops_core.domain.version_states import in_flight

_FOUND_WANTING = {ModelVersionPhase.QUARANTINED, ModelVersionPhase.ROLLED_BACK}
# Of a job that is not known any more; any value parts it from the jobs of the cluster.
_UNKNOWN_JOB = "unknown"


@dataclass(frozen=True)
class Exported:
    """A document as a person would apply it, and a line about it."""

    document: dict[str, Any]
    comment: str


def chosen_versions(
    versions: Sequence[ModelVersion], champion: ModelVersion, *, every: bool
) -> list[ModelVersion]:
    """The champion first; then all of its model, or only the one with the highest number.

    A cluster counts on from the highest number it knows, and numbers name one artefact for ever.
    """
    others = [
        one
        for one in versions
        if one.spec.model_name == champion.spec.model_name
        and one.metadata.name != champion.metadata.name
    ]
    others.sort(key=lambda one: one.spec.version, reverse=True)
    if not every:
        others = [one for one in others[:1] if one.spec.version > champion.spec.version]
    return [champion, *others]


def exported(
    version: ModelVersion,
    move: Move,
    *,
    serves: bool,
    job_uids: Mapping[str, str],
    approved_by: str,
) -> Exported:
    state, comment = _fate(version, serves=serves)
    artifact = version.spec.artifact
    changes: dict[str, object] = {
        "artifact": artifact.model_copy(update={"storage_uri": move.moved(artifact.storage_uri)}),
        "desired_state": state,
        "approval": None,
    }
    if serves:
        # Its steps are behind it: it must not wait for votes that come to the cluster only once it serves there.
        changes["approval"] = Approval(
            approved=True,
            by=approved_by[:100],
            reason="Served before the platform was moved.",
            skip_steps=True,
        )
    metadata: dict[str, Any] = {"name": version.metadata.name}
    if labels := _labels(version, job_uids):
        metadata["labels"] = labels
    spec = version.spec.model_copy(update=changes)
    document = {
        "apiVersion": version.api_version,
        "kind": version.kind,
        "metadata": metadata,
        "spec": spec.to_document(),
    }
    return Exported(document, comment)


def _fate(version: ModelVersion, *, serves: bool) -> tuple[DesiredState, str]:
    phase = version.status.phase
    if serves:
        return DesiredState.CHAMPION, "Served everyone; goes Live by itself, without another gate."
    if phase in _FOUND_WANTING:
        ready = find_condition(version.status.conditions, "Ready")
        why = f" ({' '.join(ready.message.split())})" if ready and ready.message else ""
        return DesiredState.ARCHIVED, f"Was {phase.value}{why}; is kept out of service."
    if version.spec.desired_state is DesiredState.ARCHIVED:
        return DesiredState.ARCHIVED, f"Was {phase.value}, and out of the running."
    note = ", in a roll-out that is not carried on" if in_flight(version) else ""
    return DesiredState.CANDIDATE, f"Was {phase.value}{note}; waits until somebody promotes it."


def _labels(version: ModelVersion, job_uids: Mapping[str, str]) -> dict[str, str]:
    """Without its job's uid, a job of that name in the cluster would be taken for the one that made it."""
    labels = dict(version.metadata.labels)
    job = version.spec.training_job_ref
    if job is not None and not labels.get(TRAINING_JOB_UID_LABEL):
        labels[TRAINING_JOB_UID_LABEL] = job_uids.get(job.name) or _UNKNOWN_JOB
    return labels


def exported_policy(policy: RetrainPolicy) -> Exported:
    """What was decided here stays behind: a cluster has trainings of its own."""
    document = {
        "apiVersion": policy.api_version,
        "kind": policy.kind,
        "metadata": {"name": policy.metadata.name},
        "spec": policy.spec.to_document(),
    }
    base = policy.spec.template.base_model.storage_uri
    if base.startswith("file://"):
        return Exported(document, f"No pod can reach {base}: set template.baseModel first.")
    return Exported(document, "As on the old platform.")


def to_yaml(found: Sequence[Exported]) -> str:
    """One file for `kubectl apply`."""
    return "".join(f"---\n# {one.comment}\n{dumped(one.document)}" for one in found)


def dumped(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
