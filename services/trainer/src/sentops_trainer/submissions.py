"""What people send to /train, turned into a TrainingJob; and what one machine cannot do is refused, not ignored."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationError
from uuid_utils import uuid4

from sentops_core.artifacts.places import place_at
from sentops_core.domain.base import Body, Document, ResourceName, StorageUri
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import (
    API_VERSION,
    BaseModelRef,
    DatasetRef,
    Gate,
    Hyperparameters,
    Metadata,
    Method,
    Output,
    PodTemplate,
    Promotion,
    Resources,
    Trainer,
    TrainingJob,
    TrainingJobSpec,
)
from sentops_trainer.hyperparameters import unused

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
        )
    except ValidationError as error:
        # Each field was checked; what is left is how they fit together.
        why = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInput(why.removeprefix("Value error, ")) from error
    return TrainingJob(metadata=Metadata(name=name), spec=spec)


def with_identity(job: TrainingJob, uid: str, now: datetime) -> TrainingJob:
    """What the API server of a cluster would fill in."""
    fields = {"uid": uid, "generation": 1, "creation_timestamp": now, "deletion_timestamp": None}
    return job.model_copy(update={"metadata": job.metadata.model_copy(update=fields)})


def require_one_machine(spec: TrainingJobSpec, model_name: str) -> None:
    """InvalidInput for whatever only a cluster can honour; one machine serves one model."""
    if spec.model_name != model_name:
        raise InvalidInput(
            f"This machine serves the model '{model_name}', not '{spec.model_name}': set modelName to it."
        )
    for uri in (spec.dataset.storage_uri, spec.output.storage_uri):
        place_at(uri)
    if names := unused(spec.trainer.method, spec.trainer.hyperparameters):
        raise InvalidInput(
            f"The method {spec.trainer.method} does not use {', '.join(names)}; leave them out."
        )
    refused = [
        (spec.pod_template != PodTemplate(), "podTemplate"),
        (spec.trainer.num_nodes != 1, "trainer.numNodes over 1"),
        (spec.trainer.image is not None, "trainer.image"),
        (spec.trainer.resources != Resources(), "trainer.resources"),
        (spec.base_model.secret_ref is not None, "baseModel.secretRef (set HF_TOKEN instead)"),
        (spec.base_model.storage_uri.startswith("pvc://"), "a baseModel on pvc://"),
    ]
    found = [name for is_set, name in refused if is_set]
    if found:
        raise InvalidInput(
            f"On one machine this cannot be honoured: {', '.join(found)}. Leave it out."
        )
