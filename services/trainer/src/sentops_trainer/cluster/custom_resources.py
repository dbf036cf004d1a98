"""TrainingJobs and ModelVersions of one namespace as documents; the API server's refusals as ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import structlog
from pydantic import ValidationError

from sentops_core.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from sentops_core.domain.resources import (
    ModelVersion,
    RetrainPolicy,
    RetrainPolicyStatus,
    TrainingJob,
)
from sentops_core.kube import KubeApi, Manifest
from sentops_core.kube.agreed import ATTEMPT_LABEL, RUN_CONTAINER, TRAINING_JOB_LABEL
from sentops_core.kube.kinds import MODEL_VERSION, POD, RETRAIN_POLICY, TRAINING_JOB, Kind

log = structlog.get_logger()

Resource = TypeVar("Resource", TrainingJob, ModelVersion, RetrainPolicy)

_NODE_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"  # of a run on several nodes
# The kubelet cuts from the front of what is asked for, so more is read than shown.
_READ_BYTES = 2_000_000
_SHOWN_BYTES = 200_000


class CustomResources:
    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    async def job_manifests(self) -> list[Manifest]:
        with _listing(TRAINING_JOB):
            return await self._api.list(TRAINING_JOB, self.namespace)

    async def version_manifests(self) -> list[Manifest]:
        with _listing(MODEL_VERSION):
            return await self._api.list(MODEL_VERSION, self.namespace)

    async def jobs(self) -> list[TrainingJob]:
        """Newest first."""
        found = readable(TrainingJob, await self.job_manifests())
        return sorted(found, key=_age_and_name, reverse=True)

    async def versions(self) -> list[ModelVersion]:
        """By model, highest number first."""
        found = readable(ModelVersion, await self.version_manifests())
        return sorted(found, key=lambda one: (one.spec.model_name, -one.spec.version))

    async def job(self, name: str) -> TrainingJob:
        with _about("training job", name):
            return parse(TrainingJob, await self._api.get(TRAINING_JOB, self.namespace, name))

    async def version(self, name: str) -> ModelVersion:
        with _about("model version", name):
            return parse(ModelVersion, await self._api.get(MODEL_VERSION, self.namespace, name))

    async def policy_manifests(self) -> list[Manifest]:
        with _listing(RETRAIN_POLICY):
            return await self._api.list(RETRAIN_POLICY, self.namespace)

    async def policies(self) -> list[RetrainPolicy]:
        """By name."""
        found = readable(RetrainPolicy, await self.policy_manifests())
        return sorted(found, key=lambda one: one.metadata.name)

    async def policy(self, name: str) -> RetrainPolicy:
        with _about("retraining policy", name):
            return parse(RetrainPolicy, await self._api.get(RETRAIN_POLICY, self.namespace, name))

    async def save_policy_status(
        self, name: str, status: RetrainPolicyStatus, *, resource_version: str | None
    ) -> RetrainPolicy:
        """The whole of it, for we are its only writer; Conflict when the policy moved on meanwhile."""
        changed = await self.write_policy_status(name, status, resource_version=resource_version)
        return parse(RetrainPolicy, changed)

    async def write_policy_status(
        self, name: str, status: RetrainPolicyStatus, *, resource_version: str | None
    ) -> Manifest:
        """Also of one that cannot be read."""
        with _about("retraining policy", name):
            return await self._api.apply_status(
                RETRAIN_POLICY,
                self.namespace,
                name,
                status.to_document(),
                resource_version=resource_version,
            )

    async def create_job(self, job: TrainingJob, annotations: Mapping[str, str]) -> None:
        metadata = job.metadata
        if metadata.namespace not in {None, self.namespace}:
            raise InvalidInput(
                f"This control plane works in the namespace {self.namespace}, not in {metadata.namespace}; "
                "leave metadata.namespace out."
            )
        document = job.to_document()
        manifest = {
            "apiVersion": document["apiVersion"],
            "kind": document["kind"],
            "metadata": {
                "name": metadata.name,
                "namespace": self.namespace,
                "labels": dict(metadata.labels),
                "annotations": {**metadata.annotations, **annotations},
            },
            "spec": document["spec"],
        }
        try:
            with _about("training job", metadata.name):
                await self._api.create(manifest)
        except Conflict as error:
            raise Conflict(
                f"A training job named {metadata.name} exists already; choose another name."
            ) from error

    async def patch_job(self, name: str, patch: Mapping[str, object]) -> TrainingJob:
        with _about("training job", name):
            changed = await self._api.merge_patch(TRAINING_JOB, self.namespace, name, patch)
        return parse(TrainingJob, changed)

    async def patch_version(self, name: str, patch: Mapping[str, object]) -> ModelVersion:
        with _about("model version", name):
            changed = await self._api.merge_patch(MODEL_VERSION, self.namespace, name, patch)
        return parse(ModelVersion, changed)

    async def run_log(self, job_name: str) -> str:
        """The end of the newest attempt's log; empty when no pod of it is left."""
        labels = {TRAINING_JOB_LABEL: job_name}
        with _listing(POD):
            pods = await self._api.list(POD, self.namespace, labels=labels)
        if not pods:
            return ""
        name = max(pods, key=_attempt_and_age)["metadata"]["name"]
        try:
            text = await self._api.log(
                self.namespace, name, container=RUN_CONTAINER, limit_bytes=_READ_BYTES
            )
        except NotFound:
            return ""
        except InvalidInput as error:  # its container has not started; the sentence says why
            return f"[{str(error).partition(': ')[2]}]\n"
        return text.encode()[-_SHOWN_BYTES:].decode(errors="replace")


def parse(kind: type[Resource], manifest: Manifest) -> Resource:
    """InvalidInput for a resource that our schema would refuse; an older one may have let it in."""
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        name = manifest["metadata"].get("name")
        raise InvalidInput(
            f"{kind.__name__} {name} cannot be read: {where}: {first['msg']}"
        ) from error


def readable(kind: type[Resource], manifests: list[Manifest]) -> list[Resource]:
    """Those that can be read; one that cannot must not hide the others."""
    found = []
    for manifest in manifests:
        try:
            found.append(parse(kind, manifest))
        except InvalidInput as error:
            log.warning("custom_resource_unreadable", kind=kind.__name__, error=str(error))
    return found


@contextmanager
def _about(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise NotFound(f"There is no {what} {name}.") from error
    except Forbidden as error:
        raise _not_allowed(error) from error


@contextmanager
def _listing(kind: Kind) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise Unavailable(
            f"The cluster does not know {kind.plural}; install the custom resource definitions (k8s/crds)."
        ) from error
    except Forbidden as error:
        raise _not_allowed(error) from error


def _not_allowed(error: Forbidden) -> Unavailable:
    """It is we who are not allowed, not the person who asks."""
    return Unavailable(f"The control plane lacks a right in the cluster; check its Role. {error}")


def _age_and_name(job: TrainingJob) -> tuple[float, str]:
    created = job.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, job.metadata.name)


def _attempt_and_age(pod: Manifest) -> tuple[int, int, str]:
    """The newest attempt; of its nodes the first, which leads; of its pods the last one made."""
    labels = pod["metadata"].get("labels") or {}
    created = str(pod["metadata"].get("creationTimestamp") or "")
    return int(labels.get(ATTEMPT_LABEL, 0)), -int(labels.get(_NODE_INDEX_LABEL, 0)), created
