"""TrainingJob and ModelVersion: the custom resources, which are also the API's and the database's documents."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from sentops_core.domain.base import (
    INT32_MAX,
    BaseModelUri,
    DecimalString,
    Digest,
    Document,
    Flag,
    Integer,
    Label,
    ModelName,
    Moment,
    Percentage,
    ResourceName,
    StoreUri,
)
from sentops_core.domain.conditions import Condition
from sentops_core.domain.evaluation import Evaluation

API_VERSION: Literal["sentops.dev/v1alpha1"] = "sentops.dev/v1alpha1"
DEFAULT_LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        raise ValueError("each label is named once")
    return labels


def _quantity_text(value: object) -> object:
    """Kubernetes takes `cpu: 2` for `cpu: "2"`."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Labels = Annotated[tuple[Label, ...], Field(min_length=2, max_length=32), AfterValidator(_distinct)]
Seconds = Annotated[Integer, Field(ge=0, le=INT32_MAX)]
Deadline = Annotated[Integer, Field(ge=1, le=INT32_MAX)]
Quantity = Annotated[
    str,
    BeforeValidator(_quantity_text),
    StringConstraints(
        pattern=r"^[+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$",
        max_length=32,
    ),
]
LabelValue = Annotated[
    str,
    StringConstraints(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", max_length=63),
]
PodLabels = Annotated[dict[str, LabelValue], Field(max_length=32)]
ImageName = Annotated[
    str, StringConstraints(pattern=r"^[^ \t\r\n\f\v]+$", min_length=1, max_length=512)
]
PriorityClassName = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$",
        max_length=253,
    ),
]


class Metadata(Document):
    """The part of Kubernetes' ObjectMeta that both substrates keep."""

    model_config = Document.model_config | {"extra": "ignore"}

    name: ResourceName
    namespace: str | None = None
    uid: str | None = None
    generation: Integer = 1
    resource_version: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: Moment | None = None
    deletion_timestamp: Moment | None = None


class SecretRef(Document):
    name: ResourceName


class Method(StrEnum):
    LINEAR = "Linear"  # frozen encoder, regularised linear head: about a minute
    FINE_TUNE = "FineTune"


class Hyperparameters(Document):
    """What may be set; what is left out is chosen by the method (see services/trainer/README.md)."""

    learning_rate: DecimalString | None = Field(
        default=None, description="Over 0, at most 0.01; for example 5e-5."
    )
    epochs: Integer | None = Field(default=None, ge=1, le=100)
    batch_size: Integer | None = Field(default=None, ge=1, le=1024)
    max_length: Integer | None = Field(
        default=None, ge=8, le=512, description="Tokens per text; longer texts are cut."
    )
    weight_decay: DecimalString | None = Field(default=None, description="From 0 to 1.")
    warmup_ratio: DecimalString | None = Field(default=None, description="From 0 to 0.5.")
    early_stopping_patience: Integer | None = Field(default=None, ge=1, le=20)
    seed: Integer = Field(default=42, ge=0, le=INT32_MAX)

    @model_validator(mode="after")
    def _in_range(self) -> "Hyperparameters":
        if self.learning_rate is not None and not 0 < float(self.learning_rate) <= 0.01:
            raise ValueError("learningRate must be over 0 and at most 0.01; try 5e-5")
        if self.weight_decay is not None and not 0 <= float(self.weight_decay) <= 1:
            raise ValueError("weightDecay must be from 0 to 1; try 0.01")
        if self.warmup_ratio is not None and not 0 <= float(self.warmup_ratio) <= 0.5:
            raise ValueError("warmupRatio must be from 0 to 0.5; try 0.1")
        return self


_USED_BY_LINEAR = {"seed", "maxLength"}


def unused_hyperparameters(method: Method, given: Hyperparameters) -> list[str]:
    """The names, as the API writes them, that were set though the method has no use for them."""
    if method is Method.FINE_TUNE:
        return []
    return [name for name in given.to_document() if name not in _USED_BY_LINEAR]


class BaseModelRef(Document):
    storage_uri: BaseModelUri
    secret_ref: SecretRef | None = None


class DatasetRef(Document):
    """A materialised dataset version: its folder in the artefact store, and the hash it must have."""

    storage_uri: StoreUri
    content_hash: Digest
    labels: Labels = DEFAULT_LABELS


class Resources(Document):
    """Of one run's pod, as in a container: cpu, memory, nvidia.com/gpu, ..."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}


class Trainer(Document):
    method: Method = Method.FINE_TUNE
    hyperparameters: Hyperparameters = Hyperparameters()
    image: ImageName | None = None
    num_nodes: Integer = Field(default=1, ge=1, le=64)
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _method_uses_it_all(self) -> "Trainer":
        if self.method is not Method.LINEAR:
            return self
        if self.num_nodes > 1:
            raise ValueError("the method Linear trains on one node; leave numNodes out")
        if names := unused_hyperparameters(self.method, self.hyperparameters):
            raise ValueError(
                f"The method Linear does not use {', '.join(names)}; leave them out, "
                "or train with FineTune."
            )
        return self


class Toleration(Document):
    """As in a pod; what Kubernetes would refuse there is refused here."""

    key: Annotated[str, StringConstraints(max_length=316)] = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Toleration":
        if not self.key and self.operator != "Exists":
            raise ValueError("a toleration without key tolerates every taint: set operator: Exists")
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with operator Exists has no value")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds needs effect: NoExecute")
        return self


class PodTemplate(Document):
    """Where the run's pods may go. Kubernetes only: one machine refuses a job that sets any of it."""

    node_selector: PodLabels = {}
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    affinity: dict[
        Literal["nodeAffinity", "podAffinity", "podAntiAffinity"], dict[str, object]
    ] = {}
    priority_class_name: PriorityClassName | None = None
    labels: PodLabels = {}


class Output(Document):
    storage_uri: StoreUri


class GateMetric(Document):
    """One measured value on the frozen rows, its floor, and how far it may be under the champion's."""

    name: Literal["macro_f1", "accuracy"] = "macro_f1"
    min: DecimalString = "0.5"
    max_drop_vs_champion: DecimalString = "0.03"

    @model_validator(mode="after")
    def _are_shares(self) -> "GateMetric":
        if not (0 <= float(self.min) <= 1 and 0 <= float(self.max_drop_vs_champion) <= 1):
            raise ValueError("min and maxDropVsChampion are shares from 0 to 1, such as 0.7")
        return self


class PerClassMin(Document):
    recall: DecimalString = "0"

    @model_validator(mode="after")
    def _is_a_share(self) -> "PerClassMin":
        if not 0 <= float(self.recall) <= 1:
            raise ValueError("perClassMin.recall is a share from 0 to 1, such as 0.5")
        return self


class MustPassExample(Document):
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    label: Label


class Gate(Document):
    """What a candidate must show on the dataset's frozen held-out rows before it may serve."""

    min_samples: Integer = Field(default=50, ge=1, le=INT32_MAX)
    metrics: tuple[GateMetric, ...] = Field(default=(GateMetric(),), min_length=1, max_length=2)
    per_class_min: PerClassMin = PerClassMin()
    must_pass: tuple[MustPassExample, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _metrics_are_distinct(self) -> "Gate":
        if len({metric.name for metric in self.metrics}) < len(self.metrics):
            raise ValueError("gate.metrics names each metric once")
        return self


class RolloutStep(Document):
    """One of: send this share of traffic; wait; wait until feedback on both versions can be compared."""

    set_weight: Percentage | None = None
    pause_seconds: Seconds | None = None
    analysis: Literal[True] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "RolloutStep":
        if (
            sum(value is not None for value in (self.set_weight, self.pause_seconds, self.analysis))
            != 1
        ):
            raise ValueError("a step sets exactly one of setWeight, pauseSeconds, analysis")
        return self


class OnInconclusive(StrEnum):
    HOLD = "Hold"
    PROMOTE = "Promote"
    ROLL_BACK = "RollBack"


class Rollout(Document):
    """No steps: verify, then switch at once. `shadow` lets the candidate answer in silence first."""

    shadow_seconds: Seconds = 0
    steps: tuple[RolloutStep, ...] = Field(default=(), max_length=20)
    progress_deadline_seconds: Deadline = 600
    min_samples: Integer = Field(
        default=200, ge=1, le=INT32_MAX, description="Votes per variant that an analysis needs."
    )
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD


class PromotionMode(StrEnum):
    AUTO = "Auto"
    MANUAL = "Manual"
    NEVER = "Never"


class Promotion(Document):
    """What becomes of a version that passed the gate, and how it is rolled out when it is wanted."""

    mode: PromotionMode = PromotionMode.AUTO
    rollout: Rollout = Rollout()


class Approval(Document):
    """A person's word; who and when come from the access layer, never from the document alone."""

    approved: Flag
    by: str = Field(default="", max_length=100)
    reason: str = Field(default="", max_length=500)
    skip_steps: Flag = Field(
        default=False, description="Pass over what remains of shadow and canary."
    )
    clear_quarantine: Flag = Field(
        default=False, description="Try a quarantined version once more."
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


class Metric(Document):
    name: str
    value: str


class TrainerStatus(Document):
    """Kubeflow Trainer's progress document, as stock transformers posts it."""

    model_config = Document.model_config | {"extra": "ignore"}

    progress_percentage: Percentage | None = None
    estimated_remaining_seconds: Integer | None = Field(default=None, ge=0)
    metrics: tuple[Metric, ...] = ()
    last_updated_time: Moment | None = None


class Verdict(StrEnum):
    PASS = "Pass"  # noqa: S105 - not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


class GateMetricResult(Document):
    name: str
    value: DecimalString
    champion: DecimalString | None = None
    difference: DecimalString | None = None
    low: DecimalString | None = None
    high: DecimalString | None = None


class GateResult(Document):
    """The verdict with the numbers it stands on; `reasons` are sentences, the deciding ones first."""

    verdict: Verdict
    reasons: tuple[str, ...] = Field(max_length=200)
    samples: Integer
    champion_version: str | None = None
    champion_digest: Digest | None = None
    p_value: DecimalString | None = Field(
        default=None, description="Exact McNemar test, two-sided."
    )
    metrics: tuple[GateMetricResult, ...] = Field(default=(), max_length=16)


class NameRef(Document):
    name: ResourceName


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
    gate_result: GateResult | None = None
    model_version_ref: NameRef | None = None
    conditions: tuple[Condition, ...] = ()


class TrainingJob(Document):
    api_version: Literal["sentops.dev/v1alpha1"] = API_VERSION
    kind: Literal["TrainingJob"] = "TrainingJob"
    metadata: Metadata
    spec: TrainingJobSpec
    status: TrainingJobStatus = TrainingJobStatus()


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


class Variant(Document):
    """One answer to "who serves": web posts to `<url>/predict`."""

    name: Literal["champion", "candidate"]
    url: str
    model_version: str
    digest: Digest
    weight: Percentage
    shadow: bool = False


class Routing(Document):
    """GET /routing of the trainer. No variants: nothing is live yet. Weights add up to 100 otherwise."""

    revision: Integer = Field(ge=0)
    variants: tuple[Variant, ...] = ()
