"""The base of every model that crosses an edge, and the scalar types they share."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
)
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """A custom-resource or API document: camelCase outside, unknown fields refused, immutable inside."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def to_document(self) -> dict[str, object]:
        """The JSON-ready form that Kubernetes and the API show: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Body(BaseModel):
    """A request or answer body of the HTTP API: snake_case, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_RFC_3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[-+]\d{2}:\d{2})", re.ASCII
)


def _as_kubernetes_writes_it(moment: object) -> object:
    if isinstance(moment, str) and not _RFC_3339.fullmatch(moment):
        raise ValueError("a moment is written like 2026-11-21T12:00:00Z")
    if not isinstance(moment, str | datetime):
        raise ValueError("a moment is text like 2026-11-21T12:00:00Z")  # noqa: TRY004 - pydantic wants it
    return moment


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[
    AwareDatetime, BeforeValidator(_as_kubernetes_writes_it), AfterValidator(_in_utc)
]
# As in a custom resource: "3" is no number and 1 is no truth value.
Integer = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
# What Kubernetes' 32-bit counters and seconds can hold.
INT32_MAX = 2**31 - 1
ResourceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
]
# Begins with a letter, as a Service's name must, and leaves room for what is appended to it:
# "-candidate" for a Deployment, "-v12" for a version.
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)
]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
StorageUri = Annotated[
    str,
    StringConstraints(
        pattern=r"^(file|s3|gs|https|hf|pvc|package|mlflow|named)://\S+$", max_length=1024
    ),
]


def _address(*schemes: str, advice: str) -> AfterValidator:
    # Spaces are named one by one: the API server's \s is ASCII's, Python's is Unicode's.
    pattern = re.compile(rf"({'|'.join(schemes)})://[^ \t\r\n\f\v]+")

    def check(address: str) -> str:
        if not pattern.fullmatch(address):
            raise ValueError(f"'{address}' is {advice}")
        return address

    return AfterValidator(check)


# What the engine and the store can use (trainer's base_models, core.artifacts.places).
BaseModelUri = Annotated[
    str,
    StringConstraints(max_length=1024),
    _address(
        *("named", "hf", "package", "file", "pvc"),
        advice="no base model: use named://multilingual-small, hf://org/name@revision, package://package/path, "
        "file:///folder or pvc://claim/path",
    ),
]
StoreUri = Annotated[
    str,
    StringConstraints(max_length=1024),
    _address(
        *("file", "s3", "pvc"),
        advice="no place for artefacts: use s3://bucket/prefix, pvc://claim/path or file:///folder",
    ),
]
# Kubernetes has no portable float: numbers with a fraction travel as strings, as in Kubeflow's TrainJob.
DecimalString = Annotated[
    str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$", max_length=24)
]
Percentage = Annotated[Integer, Field(ge=0, le=100)]
