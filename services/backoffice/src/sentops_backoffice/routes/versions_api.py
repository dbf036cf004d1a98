"""Model versions and lineage for programs."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Body as FromBody
from fastapi.responses import PlainTextResponse
from pydantic import Field

from sentops_backoffice.access import ActorDep
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.operations import change_version
from sentops_backoffice.version_views import (
    VersionAction,
    serving_spells,
    version_line,
    version_lines,
    version_page,
)
from sentops_core.domain.base import Body, Moment, ResourceName
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.resources import ModelVersion
from sentops_core.store.lineage import lineage, prediction_uuid, version_lineage
from sentops_core.store.pool import transaction

router = APIRouter(prefix="/api", tags=["versions"])

_VERSION: Any = {"examples": ["sentiment-v3"]}
_WISHES: Any = {
    "plain": {"summary": "Do it", "value": {}},
    "reason": {
        "summary": "Do it, and write down why",
        "value": {"reason": "Better on short texts."},
    },
    "against the gate": {
        "summary": "Promote what the gate did not let pass",
        "value": {"force": True, "reason": "The held-out rows are out of date."},
    },
}


class Versions(Body):
    versions: list[ModelVersion]
    next: int | None = Field(
        default=None, description="Give it back as `before` for the next page."
    )


class Version(Body):
    """The whole document as `kubectl get` would show it, and what follows from it."""

    version: ModelVersion
    champion: bool = Field(description="Whether people are answered by it.")
    traffic_percent: int = Field(ge=0, le=100)
    training_job: str | None
    created_by: str
    actions: list[VersionAction] = Field(description="What can be asked of it now.")
    evaluation: Evaluation | None = Field(description="Absent where its artefact cannot be read.")
    fast_path: FastPathReport | None = Field(
        description="What its fast path is worth on the same rows; absent where none was trained."
    )


class Wish(Body):
    """`force` and `clear_quarantine` are for promote, and need a reason."""

    reason: str = Field(default="", max_length=500)
    force: bool = Field(default=False, description="Against the gate's verdict.")
    clear_quarantine: bool = Field(default=False, description="Try a quarantined version again.")


class ServingSpell(Body):
    version: str = Field(json_schema_extra=_VERSION)
    since: Moment
    until: Moment | None = Field(description="Absent while it serves.")
    taken_back: str = Field(description="Why it was taken back; empty when another one took over.")


class ServingSpells(Body):
    spells: list[ServingSpell]


@router.get(
    "/versions", summary="Model versions, highest number first", response_model_exclude_none=True
)
async def get_versions(
    parts: PartsDep,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> Versions:
    lines = await version_lines(parts, before=before, limit=limit)
    return Versions(
        versions=[line.version for line in lines],
        next=lines[-1].version.spec.version if len(lines) == limit else None,
    )


@router.get("/serving-history", summary="Which version served when, oldest first")
async def get_serving_history(parts: PartsDep) -> ServingSpells:
    return ServingSpells(
        spells=[ServingSpell(**asdict(spell)) for spell in await serving_spells(parts)]
    )


@router.get("/versions/{name}", summary="One model version", response_model_exclude_none=True)
async def get_version(name: ResourceName, parts: PartsDep) -> Version:
    found = await version_page(parts, name)
    line = found.line
    return Version(
        version=line.version,
        champion=line.champion,
        traffic_percent=line.variant.weight if line.variant else 0,
        training_job=line.row.training_job,
        created_by=line.row.created_by,
        actions=list(found.actions),
        evaluation=found.evaluation,
        fast_path=found.fast_path,
    )


@router.get(
    "/versions/{name}/card",
    summary="The model card, in Markdown",
    response_class=PlainTextResponse,
)
async def get_card(name: ResourceName, parts: PartsDep) -> PlainTextResponse:
    async with transaction(parts.pool) as connection:
        line = await version_line(connection, name)
    return PlainTextResponse(await parts.artefacts.card(line.version.spec.artifact))


@router.get("/versions/{name}/lineage", summary="From a version to the rows behind it")
async def get_version_lineage(name: ResourceName, connection: Connection) -> dict[str, Any]:
    """Model version, training job, dataset version, and its rows by source."""
    return asdict(await version_lineage(connection, name))


@router.post(
    "/versions/{name}/{action}",
    status_code=202,
    summary="Approve, promote, archive or roll back a version",
    response_model=None,
    responses={202: {"model": ModelVersion}},
)
async def post_version(
    name: ResourceName,
    action: VersionAction,
    actor: ActorDep,
    parts: PartsDep,
    body: Annotated[Wish | None, FromBody(openapi_examples=_WISHES)] = None,
) -> dict[str, Any]:
    """Answers with the version's document; of a rollback, with that of the version that will serve."""
    wanted = body.model_dump(exclude_defaults=True) if body else {}
    if action is not VersionAction.PROMOTE and wanted.keys() - {"reason"}:
        raise InvalidInput(
            f"'force' and 'clear_quarantine' are for promote; leave them out of {action}."
        )
    return await change_version(parts, name, action, wanted, actor=actor.name)


@router.get("/lineage/{prediction_id}", summary="From an answer to the rows behind it")
async def get_lineage(prediction_id: str, connection: Connection) -> dict[str, Any]:
    """Prediction, votes, model version, training job, dataset version, sources and annotators."""
    return asdict(await lineage(connection, prediction_uuid(prediction_id)))
