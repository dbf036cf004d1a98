"""Which versions are served, and changing them while requests go on."""

from datetime import datetime

from fastapi import APIRouter

from sentops_core.domain.base import Body
from sentops_model_server.deps import CONTROL, TheService
from sentops_model_server.slots import SlotName, SlotStatus, WantedVersion


class SlotsStatus(Body):
    champion: SlotStatus
    candidate: SlotStatus


class ModelFacts(Body):
    """The champion, and where it comes from."""

    model_name: str
    model_version: str
    digest: str
    labels: tuple[str, ...]
    precision: str
    max_length: int
    temperature: float
    base_model: str
    method: str
    training_job: str
    dataset_hash: str
    created_at: datetime
    accuracy: float
    macro_f1: float
    rows_evaluated: int


router = APIRouter(tags=["slots"])


@router.get("/slots", summary="Show what each slot serves")
async def get_slots(service: TheService) -> SlotsStatus:
    return SlotsStatus(
        champion=service.slots.status(SlotName.CHAMPION),
        candidate=service.slots.status(SlotName.CANDIDATE),
    )


@router.put(
    "/slots/{slot}", summary="Load, verify and serve a version in a slot", dependencies=CONTROL
)
async def put_slot(slot: SlotName, wanted: WantedVersion, service: TheService) -> SlotStatus:
    return await service.slots.put(slot, wanted)


@router.delete("/slots/candidate", summary="Unload the candidate", dependencies=CONTROL)
async def delete_candidate(service: TheService) -> SlotStatus:
    return await service.slots.clear(SlotName.CANDIDATE)


@router.get("/model", summary="Describe the champion")
async def get_model(service: TheService) -> ModelFacts:
    serving = service.slots.serving(SlotName.CHAMPION)
    manifest, config = serving.model.manifest, serving.model.scorer.config
    return ModelFacts(
        model_name=manifest.model_name,
        model_version=serving.model_version,
        digest=serving.model.digest,
        labels=config.labels,
        precision=config.precision,
        max_length=config.max_length,
        temperature=config.temperature,
        base_model=manifest.base_model,
        method=manifest.method,
        training_job=manifest.training_job,
        dataset_hash=manifest.dataset_hash,
        created_at=manifest.created_at,
        accuracy=manifest.evaluation.accuracy,
        macro_f1=manifest.evaluation.macro_f1,
        rows_evaluated=manifest.evaluation.rows,
    )
