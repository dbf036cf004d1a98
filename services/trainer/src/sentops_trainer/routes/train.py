"""Start a training."""

from typing import Annotated

from fastapi import APIRouter, Body

from sentops_core.domain.base import Body as ApiBody
from sentops_trainer.deps import Actor, Control, SettingsDep
from sentops_trainer.submissions import (
    Submission,
    TrainRequest,
    job_of_manifest,
    to_training_job,
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
    control: Control,
    settings: SettingsDep,
    actor: Actor,
    submission: Annotated[Submission, Body(openapi_examples=_EXAMPLES)],
) -> Accepted:
    """Takes the short form, or a whole TrainingJob document as `kubectl apply` would."""
    if isinstance(submission, TrainRequest):
        dataset_id, dataset = await control.dataset(submission.dataset_id)
        job = to_training_job(
            submission,
            dataset,
            dataset_id=dataset_id,
            model_name=settings.model_name,
            output=settings.store_uri,
        )
    else:
        job = job_of_manifest(submission)
    control.require_accepted(job.spec)
    await control.create_job(job, actor=actor)
    return Accepted(name=job.metadata.name, status_url=f"/training-jobs/{job.metadata.name}")
