"""TrainingJob: one model to be trained, judged and registered."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from sentops_core.domain.base import Document, Flag, Integer, ModelName, Moment, Percentage
from sentops_core.domain.conditions import Condition
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPathMode, FastPathReport
from sentops_core.domain.resources.common import (
    API_VERSION,
    Deadline,
    Metadata,
    Metric,
    NameRef,
    Seconds,
)
from sentops_core.domain.resources.gate import Gate, GateResult
from sentops_core.domain.resources.rollout import Promotion
from sentops_core.domain.resources.trainer import (
    BaseModelRef,
    DatasetRef,
    Output,
    PodTemplate,
    Trainer,
)


class TrainingJobSpec(Document):
    """All but `suspend`, `ttlSecondsAfterFinished` and `approval` are immutable once started."""

    model_name: ModelName
    base_model: BaseModelRef
    dataset: DatasetRef
    trainer: Trainer = Trainer()
    pod_template: PodTemplate = PodTemplate()
    output: Output
    gate: Gate = Gate()
    promotion: Promotion = Promotion()
    fast_path: FastPathMode = FastPathMode.AUTO
    suspend: Flag = False
    backoff_limit: Integer = Field(default=2, ge=0, le=20)
    active_deadline_seconds: Deadline | None = None
    ttl_seconds_after_finished: Seconds = Field(
        default=86_400,
        description="Then the run's leftovers go; job, version and artefact stay.",
    )

    @model_validator(mode="after")
    def _must_pass_labels_exist(self) -> "TrainingJobSpec":
        known = set(self.dataset.labels)
        for example in self.gate.must_pass:
            if example.label not in known:
                raise ValueError(
                    f"gate.mustPass names the label '{example.label}'; the dataset has {', '.join(sorted(known))}"
                )
        return self


class TrainingJobPhase(StrEnum):
    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    EVALUATING = "Evaluating"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    REJECTED = "Rejected"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        return self in {self.SUCCEEDED, self.REJECTED, self.FAILED}


class TrainerStatus(Document):
    """Kubeflow Trainer's progress document, as stock transformers posts it."""

    model_config = Document.model_config | {"extra": "ignore"}

    progress_percentage: Percentage | None = None
    estimated_remaining_seconds: Integer | None = Field(default=None, ge=0)
    metrics: tuple[Metric, ...] = ()
    last_updated_time: Moment | None = None


class TrainingJobStatus(Document):
    """Conditions: Suspended, Trained, GatePassed, Complete, Failed."""

    observed_generation: Integer = 0
    phase: TrainingJobPhase = TrainingJobPhase.PENDING
    attempt: Integer = 0
    failed: Integer = Field(default=0, description="Attempts that count against backoffLimit.")
    start_time: Moment | None = None
    completion_time: Moment | None = None
    job_name: str | None = None
    trainer_status: TrainerStatus | None = None
    evaluation: Evaluation | None = None
    fast_path: FastPathReport | None = None
    gate_result: GateResult | None = None
    model_version_ref: NameRef | None = None
    conditions: tuple[Condition, ...] = ()


class TrainingJob(Document):
    api_version: Literal["sentops.dev/v1alpha1"] = API_VERSION
    kind: Literal["TrainingJob"] = "TrainingJob"
    metadata: Metadata
    spec: TrainingJobSpec
    status: TrainingJobStatus = TrainingJobStatus()
