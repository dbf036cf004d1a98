"""How children are named, labelled and owned. Whoever selects or reads them uses these constants."""

import hashlib
import re
from typing import Any

from sentops_core.domain.resources import API_VERSION, Metadata, TrainingJob
from sentops_core.kube import agreed

Manifest = dict[str, Any]
Slot = agreed.Slot

FIELD_MANAGER = "sentops-operator"

NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
PART_OF_LABEL = "app.kubernetes.io/part-of"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
VERSION_LABEL = "app.kubernetes.io/version"

TRAINING_JOB_LABEL = agreed.TRAINING_JOB_LABEL
ATTEMPT_LABEL = agreed.ATTEMPT_LABEL
MODEL_LABEL = "sentops.dev/model"
MODEL_VERSION_LABEL = "sentops.dev/model-version"
SLOT_LABEL = "sentops.dev/slot"

RUN_SPEC_ANNOTATION = "sentops.dev/run-spec"
STOPPED_ANNOTATION = "sentops.dev/stopped"
DIGEST_ANNOTATION = "sentops.dev/artifact-digest"
CHAMPION_ANNOTATION = "sentops.dev/champion"
PREVIOUS_CHAMPION_ANNOTATION = "sentops.dev/previous-champion"

KUEUE_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
KUEUE_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"

RUN = "sentops-run"
SERVER = "sentops-model"

# A DNS label, and a label's value.
LONGEST_NAME = 63
# The Job controller appends "-<index>" for a host name and five random characters more for a pod's name.
LONGEST_JOB_NAME = 57
_HASH_LENGTH = 8
_TAG = re.compile(r":([A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)(?:@|$)")


def shortened(name: str, suffix: str = "", *, limit: int = LONGEST_NAME) -> str:
    """`name` and `suffix` as they are, or, over the limit, the name's beginning and a hash of all of it."""
    if len(name) + len(suffix) <= limit:
        return name + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    kept = name[: limit - len(suffix) - len(digest) - 1].rstrip("-")
    return f"{kept}-{digest}{suffix}"


def job_name(job: TrainingJob, attempt: int) -> str:
    return shortened(job.metadata.name, f"-{attempt}", limit=LONGEST_JOB_NAME)


def work_claim_name(job: TrainingJob) -> str:
    return shortened(job.metadata.name, "-work")


def rendezvous_name(job: TrainingJob, attempt: int) -> str:
    """A Service's name must begin with a letter; a TrainingJob's need not."""
    return f"run-{job_name(job, attempt)}"


def deployment_name(model_name: str, slot: Slot) -> str:
    """The Service in front of it has the same name."""
    return agreed.servers_name(model_name, slot)


def namespace_of(metadata: Metadata) -> str:
    return metadata.namespace or "default"


def token_audience(namespace: str, job: str) -> str:
    """Whom a run's token is for: the progress of this one job, and nothing else."""
    return f"sentops.dev/{namespace}/{job}"


def owned_by(job: TrainingJob) -> Manifest:
    """The job's children go when it goes. Nothing waits for them: that would take a right on finalizers."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
    }


def run_labels(job: TrainingJob) -> dict[str, str]:
    return {
        NAME_LABEL: RUN,
        INSTANCE_LABEL: job.metadata.name,
        COMPONENT_LABEL: "training",
        PART_OF_LABEL: "sentops",
        MANAGED_BY_LABEL: FIELD_MANAGER,
        TRAINING_JOB_LABEL: job.metadata.name,
        MODEL_LABEL: job.spec.model_name,
    }


def attempt_labels(job: TrainingJob, attempt: int) -> dict[str, str]:
    return {**run_labels(job), ATTEMPT_LABEL: str(attempt)}


def server_labels(model_name: str, slot: Slot) -> dict[str, str]:
    return {
        NAME_LABEL: SERVER,
        INSTANCE_LABEL: model_name,
        COMPONENT_LABEL: "serving",
        PART_OF_LABEL: "sentops",
        MANAGED_BY_LABEL: FIELD_MANAGER,
        MODEL_LABEL: model_name,
        SLOT_LABEL: slot,
    }


def server_selector(model_name: str, slot: Slot) -> dict[str, str]:
    """What never changes in the life of a Deployment: its selector is immutable."""
    return {NAME_LABEL: SERVER, MODEL_LABEL: model_name, SLOT_LABEL: slot}


def image_version(image: str) -> dict[str, str]:
    """The version label of an image with a tag; none for one that only has a digest."""
    found = _TAG.search(image.rpartition("/")[2])
    return {VERSION_LABEL: found[1]} if found else {}
