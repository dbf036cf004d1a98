"""What is trained from what, with which settings, and where its pods may go."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from sentops_core.domain.base import (
    INT32_MAX,
    BaseModelUri,
    DecimalString,
    Digest,
    Document,
    Integer,
    StoreUri,
)
from sentops_core.domain.resources.common import DEFAULT_LABELS, Labels, Seconds, SecretRef


def _quantity_text(value: object) -> object:
    """Kubernetes takes `cpu: 2` for `cpu: "2"`."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


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


class HyperparameterDefaults(Document):
    """What is taken for a field that was left out; chosen on validation parts of the Amazon training file."""

    learning_rate: DecimalString = "1e-4"
    epochs: int = 3
    batch_size: int = 32
    max_length: int = 256
    weight_decay: DecimalString = "0.01"
    warmup_ratio: DecimalString = "0.1"
    early_stopping_patience: int = 2


DEFAULTS = HyperparameterDefaults()


def settled_hyperparameters(method: Method, given: Hyperparameters) -> dict[str, str]:
    """All that the method uses, by the names of the API, what was left out with its default."""
    chosen = {**DEFAULTS.to_document(), **given.to_document()}
    return {
        name: str(value)
        for name, value in chosen.items()
        if method is Method.FINE_TUNE or name in _USED_BY_LINEAR
    }


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
