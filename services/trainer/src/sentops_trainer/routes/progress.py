"""Kubeflow Trainer's status protocol: runs report how far they are, with a token of their own job."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from sentops_core.domain.base import Document
from sentops_core.domain.errors import Unauthenticated
from sentops_core.domain.resources import TrainerStatus
from sentops_core.http import bearer_token
from sentops_trainer.deps import ResourcesDep, RunProcesses

router = APIRouter(tags=["runs"])


class ProgressReport(Document):
    """`{"trainerStatus": {...}}`, as stock transformers posts it; fields we do not know are let pass."""

    model_config = Document.model_config | {"extra": "ignore"}

    trainer_status: TrainerStatus = Field(default=TrainerStatus())


@router.post("/training-jobs/{name}/progress", summary="A run reports its progress")
async def post_progress(
    name: str,
    report: ProgressReport,
    presented: Annotated[str, Depends(bearer_token)],
    processes: RunProcesses,
    resources: ResourcesDep,
) -> ProgressReport:
    """Answers with what was understood, as Kubeflow's server does; a report never changes the outcome."""
    expected = processes.token(name)
    if expected is None or not hmac.compare_digest(presented.encode(), expected.encode()):
        raise Unauthenticated("This token does not belong to a run of this job.")
    processes.write_progress(name, report.trainer_status)
    await resources.add_progress_event(name, report.trainer_status)
    return report
