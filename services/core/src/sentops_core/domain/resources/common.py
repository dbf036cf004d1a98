"""What the kinds have in common."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sentops_core.domain.base import INT32_MAX, Document, Integer, Label, Moment, ResourceName

API_VERSION: Literal["sentops.dev/v1alpha1"] = "sentops.dev/v1alpha1"


DEFAULT_LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        raise ValueError("each label is named once")
    return labels


Labels = Annotated[tuple[Label, ...], Field(min_length=2, max_length=32), AfterValidator(_distinct)]


Seconds = Annotated[Integer, Field(ge=0, le=INT32_MAX)]


Deadline = Annotated[Integer, Field(ge=1, le=INT32_MAX)]


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


class NameRef(Document):
    name: ResourceName


class Metric(Document):
    name: str
    value: str
