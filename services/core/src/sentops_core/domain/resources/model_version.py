"""ModelVersion: one artefact that serves, may serve, or has served."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from sentops_core.domain.base import (
    INT32_MAX,
    Digest,
    Document,
    Integer,
    ModelName,
    Moment,
    Percentage,
    StoreUri,
)
from sentops_core.domain.conditions import Condition
from sentops_core.domain.resources.common import (
    API_VERSION,
    DEFAULT_LABELS,
    Labels,
    Metadata,
    Metric,
    NameRef,
)
from sentops_core.domain.resources.gate import GateResult, Verdict
from sentops_core.domain.resources.rollout import Approval, Rollout


class DesiredState(StrEnum):
    CANDIDATE = "Candidate"
    CHAMPION = "Champion"
    ARCHIVED = "Archived"


class ArtifactRef(Document):
    storage_uri: StoreUri
    digest: Digest
    size_bytes: Integer = Field(ge=0, le=2**53)


class ModelVersionSpec(Document):
    """Immutable except `desiredState` and `approval`."""

    model_name: ModelName
    version: Integer = Field(ge=1, le=INT32_MAX)
    artifact: ArtifactRef
    training_job_ref: NameRef | None = None
    dataset_hash: Digest
    labels: Labels = DEFAULT_LABELS
    gate_result: GateResult | None = None
    desired_state: DesiredState = DesiredState.CANDIDATE
    approval: Approval | None = None
    rollout: Rollout = Rollout()


class ModelVersionPhase(StrEnum):
    PENDING = "Pending"
    VERIFYING = "Verifying"
    SHADOW = "Shadow"
    CANARY = "Canary"
    LIVE = "Live"
    PAUSED = "Paused"
    ROLLED_BACK = "RolledBack"
    QUARANTINED = "Quarantined"
    ARCHIVED = "Archived"

    @property
    def final(self) -> bool:
        return self is self.QUARANTINED


class CompletionStatus(StrEnum):
    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    ROLLED_BACK = "RolledBack"


class AnalysisResult(Document):
    verdict: Verdict
    reason: str
    metrics: tuple[Metric, ...] = ()


class ModelVersionStatus(Document):
    """Conditions: ArtifactVerified, Loaded, CanaryHealthy, Promoted, Ready."""

    observed_generation: Integer = 0
    phase: ModelVersionPhase = ModelVersionPhase.PENDING
    traffic_percent: Percentage = 0
    current_step_index: Integer = Field(default=0, ge=0)
    step_started_at: Moment | None = None
    phase_started_at: Moment | None = None
    switch_started_at: Moment | None = None
    previous_version: str | None = None
    served_digest: Digest | None = None
    analysis: AnalysisResult | None = None
    completion_status: CompletionStatus | None = None
    conditions: tuple[Condition, ...] = ()


class ModelVersion(Document):
    api_version: Literal["sentops.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelVersion"] = "ModelVersion"
    metadata: Metadata
    spec: ModelVersionSpec
    status: ModelVersionStatus = ModelVersionStatus()
