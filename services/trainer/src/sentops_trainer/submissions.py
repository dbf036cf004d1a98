"""What people send to /train, turned into a TrainingJob."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationError
from uuid_utils import uuid4

from sentops_core.domain.base import Body, Document, ResourceName, StorageUri
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.resources import (
    API_VERSION,
    BaseModelRef,
    DatasetRef,
    Gate,
    Hyperparameters,
    Metadata,
    Method,
    Output,
    Promotion,
    Trainer,
    TrainingJob,
    TrainingJobSpec,
)

Base = Literal["multilingual-small", "english-small"]
_SHORT_BASE = "named://"


class TrainingJobManifest(Document):
    """A TrainingJob as people apply it: no status."""

    api_version: Literal["sentops.dev/v1alpha1"] = API_VERSION
    kind: Literal["TrainingJob"] = "TrainingJob"
    metadata: Metadata
    spec: TrainingJobSpec


class TrainRequest(Body):
    """The short form: a dataset version, and only what should differ from the defaults."""

    dataset_id: str | None = Field(
        default=None, description="Dataset version, such as v1; the newest when left out."
    )
    name: ResourceName | None = None
    method: Method = Method.FINE_TUNE
    base: Base | StorageUri = Field(
        default="multilingual-small",
        description="A named base model, or a URI: hf://org/name@rev, file://, package://.",
    )
    hyperparameters: Hyperparameters = Hyperparameters()
    gate: Gate = Gate()
    promotion: Promotion = Promotion()
    fast_path: FastPathMode = FastPathMode.AUTO


def _form(body: object) -> str:
    is_manifest = isinstance(body, TrainingJobManifest) or (
        isinstance(body, dict) and ("spec" in body or "kind" in body)
    )
    return "manifest" if is_manifest else "request"


Submission = Annotated[
    Annotated[TrainingJobManifest, Tag("manifest")] | Annotated[TrainRequest, Tag("request")],
    Discriminator(_form),
]


def to_training_job(
    request: TrainRequest, dataset: DatasetRef, *, dataset_id: str, model_name: str, output: str
) -> TrainingJob:
    """The full document of a short request."""
    suffix = str(uuid4())[:6]
    name = request.name or f"{model_name}-{dataset_id}-{request.method.lower()}-{suffix}"
    base = request.base if "://" in request.base else f"{_SHORT_BASE}{request.base}"
    try:
        spec = TrainingJobSpec(
            model_name=model_name,
            base_model=BaseModelRef(storage_uri=base),
            dataset=dataset,
            trainer=Trainer(method=request.method, hyperparameters=request.hyperparameters),
            output=Output(storage_uri=output),
            gate=request.gate,
            promotion=request.promotion,
            fast_path=request.fast_path,
        )
    except ValidationError as error:
        # Each field was checked; what is left is how they fit together.
        why = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInput(why.removeprefix("Value error, ")) from error
    return TrainingJob(metadata=Metadata(name=name), spec=spec)


def job_of_manifest(manifest: TrainingJobManifest) -> TrainingJob:
    return TrainingJob(metadata=manifest.metadata, spec=manifest.spec)
