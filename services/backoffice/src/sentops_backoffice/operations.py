"""What staff can set going; pages and API share it, and each deed is written down."""

from collections.abc import Mapping
from typing import Any

from sentops_backoffice.deps import Parts
from sentops_core.datasets.building import BuildRequest, Built, build_from_feedback
from sentops_core.store.audit import Audit
from sentops_core.store.pool import transaction


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
    answer = await parts.trainer.post("/train", actor=actor, body=dict(body))
    await _write_down(parts, actor, "training_job.requested", str(answer["name"]), dict(body))
    return answer


async def act_on_version(parts: Parts, name: str, action: str, *, actor: str) -> None:
    await parts.trainer.post(f"/model-versions/{name}/{action}", actor=actor)
    await _write_down(parts, actor, f"model_version.{action}_requested", name, {})


async def act_on_job(parts: Parts, name: str, action: str, *, actor: str) -> None:
    await parts.trainer.post(f"/training-jobs/{name}/{action}", actor=actor)
    await _write_down(parts, actor, f"training_job.{action}_requested", name, {})


async def _write_down(
    parts: Parts, actor: str, action: str, subject: str, evidence: dict[str, Any]
) -> None:
    async with transaction(parts.pool) as connection:
        await Audit(connection).record(actor, action, subject, evidence)
