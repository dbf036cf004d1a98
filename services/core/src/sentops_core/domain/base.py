"""The base of every model that crosses an edge, and the scalar types they share."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
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


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
ResourceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
]
# Leaves room for what is appended: "-candidate" for a Deployment, "-v12" for a version.
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)
]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
StorageUri = Annotated[
    str,
    StringConstraints(
        pattern=r"^(file|s3|gs|https|hf|pvc|package|mlflow|named)://\S+$", max_length=1024
    ),
]
# Kubernetes has no portable float: numbers with a fraction travel as strings, as in Kubeflow's TrainJob.
DecimalString = Annotated[
    str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$", max_length=24)
]
Percentage = Annotated[int, Field(ge=0, le=100)]
