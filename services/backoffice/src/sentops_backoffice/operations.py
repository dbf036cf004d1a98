"""What staff can set going; pages and API share it. The control plane writes down who asked for what."""

from collections.abc import Mapping
from typing import Any

from sentops_backoffice.deps import Parts
from sentops_core.datasets.building import BuildRequest, Built, build_from_feedback
from sentops_core.domain.resources import RetrainPolicySpec


async def build_feedback_version(
    parts: Parts, *, actor: str, dataset: str | None = None, parent: str | None = None
) -> Built:
    request = BuildRequest(
        store_uri=parts.settings.store_uri, actor=actor, dataset=dataset, parent=parent
    )
    async with parts.building:
        return await build_from_feedback(parts.pool, request, detect_language=parts.detect_language)


async def start_training(parts: Parts, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
    """The trainer's answer: the job's name and where its state can be read."""
    return await parts.trainer.post("/train", actor=actor, body=dict(body))


async def change_job(parts: Parts, name: str, action: str, *, actor: str) -> dict[str, Any]:
    """`action`: suspend, resume or cancel. The job as the control plane has it now."""
    return await parts.trainer.post(f"/training-jobs/{name}/{action}", actor=actor)


async def change_version(
    parts: Parts, name: str, action: str, body: Mapping[str, Any], *, actor: str
) -> dict[str, Any]:
    """`action`: approve, promote, archive or rollback. Of a rollback, the version that will serve."""
    given = dict(body) or None
    return await parts.trainer.post(f"/model-versions/{name}/{action}", actor=actor, body=given)


async def put_policy(
    parts: Parts, name: str, spec: RetrainPolicySpec, *, generation: int | None, actor: str
) -> dict[str, Any]:
    """The policy's document. `generation` is the one that was looked at, 0 for a new one; Conflict if it has another."""
    body: dict[str, Any] = {"spec": spec.to_document()}
    if generation is not None:
        body["metadata"] = {"generation": generation}
    return await parts.trainer.put(f"/retrain-policies/{name}", actor=actor, body=body)


async def delete_policy(parts: Parts, name: str, *, actor: str) -> None:
    """Trainings that it started go on."""
    await parts.trainer.delete(f"/retrain-policies/{name}", actor=actor)
