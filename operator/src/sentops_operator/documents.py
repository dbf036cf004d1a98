"""Between custom resources as the API server keeps them and the core's documents."""

from typing import Any

import structlog
from pydantic import ValidationError

from sentops_core.domain.derived import TRAINING_JOB_UID_LABEL, name_of_version, registered_spec
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.plan import RegisterVersion
from sentops_core.domain.resources import Metadata, ModelVersion, TrainingJob, TrainingJobStatus
from sentops_core.kube.api import Manifest
from sentops_operator.manifests import metadata as names

log = structlog.get_logger()


class InvalidDocument(Exception):
    """A custom resource that its schema let through and the core refuses; the message is for its author."""


def to_training_status(found: Manifest) -> TrainingJobStatus:
    """InvalidInput for one that cannot be read: it is left as it is, whatever it says."""
    try:
        return TrainingJobStatus.model_validate(found.get("status") or {})
    except ValidationError as error:
        raise InvalidInput(
            f"The status cannot be read; was it written by a newer operator? {_sentence(error)}"
        ) from error


def to_training_job(found: Manifest) -> TrainingJob:
    """InvalidDocument for a spec that cannot be read."""
    to_training_status(found)
    try:
        return TrainingJob.model_validate(_without_empty_status(found))
    except ValidationError as error:
        raise InvalidDocument(_sentence(error)) from error


def to_model_version(found: Manifest) -> ModelVersion | None:
    """None for one that cannot be read: it neither serves nor stands in the way of others."""
    try:
        return ModelVersion.model_validate(_without_empty_status(found))
    except ValidationError as error:
        log.warning(
            "model_version_unreadable", name=found["metadata"]["name"], why=_sentence(error)
        )
        return None


def registered_version(job: TrainingJob, action: RegisterVersion, number: int) -> Manifest:
    """The ModelVersion of a job's artefact. The job does not own it: it outlives the job."""
    version = ModelVersion(
        metadata=Metadata(
            name=name_of_version(job.spec.model_name, number),
            namespace=names.namespace_of(job.metadata),
            labels={
                names.MODEL_LABEL: job.spec.model_name,
                names.TRAINING_JOB_LABEL: job.metadata.name,
                TRAINING_JOB_UID_LABEL: job.metadata.uid or "",
            },
        ),
        spec=registered_spec(job, action, number),
    )
    metadata = {
        "name": version.metadata.name,
        "namespace": version.metadata.namespace,
        "labels": version.metadata.labels,
    }
    return {
        "apiVersion": version.api_version,
        "kind": version.kind,
        "metadata": metadata,
        "spec": version.spec.to_document(),
    }


def is_made_from(version: ModelVersion, job: TrainingJob) -> bool:
    ref, uid = version.spec.training_job_ref, job.metadata.uid or ""
    named = ref is not None and ref.name == job.metadata.name
    return named and version.metadata.labels.get(TRAINING_JOB_UID_LABEL, uid) == uid


def _without_empty_status(found: Manifest) -> dict[str, Any]:
    document = {key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    if found.get("status"):
        document["status"] = found["status"]
    return document


def _sentence(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(problems)[:1000]
