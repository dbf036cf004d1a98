"""Kubeflow Trainer's status protocol: runs report how far they are, with a token of their own job."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from sentops_core.domain.base import Document
from sentops_core.domain.resources import TrainerStatus
from sentops_core.http import bearer_token
from sentops_trainer.deps import Control

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
    control: Control,
) -> ProgressReport:
    """Answers with what was understood, as Kubeflow's server does; a report never changes the outcome."""
    await control.report_progress(name, presented, report.trainer_status)
    return report
