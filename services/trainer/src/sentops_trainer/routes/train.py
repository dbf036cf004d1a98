"""Start a training."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Body

from sentops_core.domain.base import Body as ApiBody
from sentops_core.domain.resources import TrainingJob
from sentops_trainer.deps import Actor, Loop, ResourcesDep, SettingsDep
from sentops_trainer.submissions import (
    Submission,
    TrainingJobManifest,
    TrainRequest,
    require_one_machine,
    to_training_job,
    with_identity,
)

router = APIRouter(tags=["training"])

_EXAMPLES = {
    "short": {"summary": "A dataset version with the defaults", "value": {"dataset_id": "v1"}},
    "quick": {
        "summary": "A first model in a minute",
        "value": {"dataset_id": "v1", "method": "Linear"},
    },
}


class Accepted(ApiBody):
    name: str
    status_url: str


@router.post("/train", status_code=202, summary="Start a training")
async def post_train(
    resources: ResourcesDep,
    loop: Loop,
    settings: SettingsDep,
    actor: Actor,
    submission: Annotated[Submission, Body(openapi_examples=_EXAMPLES)],
) -> Accepted:
    """Takes the short form, or a whole TrainingJob document as `kubectl apply` would."""
    if isinstance(submission, TrainRequest):
        dataset_id, dataset = await resources.dataset(submission.dataset_id)
        job = to_training_job(
            submission,
            dataset,
            dataset_id=dataset_id,
            model_name=settings.model_name,
            output=settings.store_uri,
        )
    else:
        job = _to_job(submission)
    require_one_machine(job.spec, settings.model_name)
    job = with_identity(job, str(uuid4()), datetime.now(UTC))
    await resources.create_job(job, actor=actor)
    loop.wake()
    return Accepted(name=job.metadata.name, status_url=f"/training-jobs/{job.metadata.name}")


def _to_job(manifest: TrainingJobManifest) -> TrainingJob:
    return TrainingJob(metadata=manifest.metadata, spec=manifest.spec)
