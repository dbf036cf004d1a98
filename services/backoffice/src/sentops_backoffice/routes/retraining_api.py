"""Retraining policies for programs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Body as FromBody
from pydantic import Field

from sentops_backoffice.access import ActorDep
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.operations import delete_policy, put_policy
from sentops_backoffice.policies import (
    PolicyAction,
    change_policy,
    decisions_of,
    policy_line,
    policy_lines,
    policy_page,
)
from sentops_core.domain.base import Body, Integer, Moment, ResourceName
from sentops_core.domain.resources import RetrainPolicy, RetrainPolicySpec, TrainingJobPhase
from sentops_core.store.pool import transaction

router = APIRouter(prefix="/api/retrain-policies", tags=["retraining"])

_EXAMPLES: Any = {
    "labels": {
        "summary": "A training for every 200 new labels; only said at first, not done",
        "value": {
            "spec": {
                "modelName": "sentiment",
                "dryRun": True,
                "triggers": {"newLabels": {"min": 200}},
            }
        },
    },
    "quality": {
        "summary": "When people surely agree with fewer than 75 of 100 answers, or every Sunday night",
        "value": {
            "spec": {
                "modelName": "sentiment",
                "triggers": {
                    "quality": {"floor": "0.75", "window": "7d", "minVotes": 100},
                    "schedule": {"cron": "0 3 * * SUN", "timeZone": "Europe/Rome"},
                },
                "guards": {"cooldownSeconds": 86400, "maxPerDay": 1, "minNewLabels": 50},
            }
        },
    },
}


class Policy(Body):
    """The whole document as `kubectl get` would show it, and what only the tables know."""

    policy: RetrainPolicy
    created_by: str = Field(json_schema_extra={"examples": ["anna"]})
    updated_at: Moment


class Policies(Body):
    policies: list[Policy]


class PutPolicy(Body):
    """`generation`: refuse if the policy was changed since; 0: it must be a new one."""

    spec: RetrainPolicySpec
    generation: Integer | None = Field(default=None, ge=0)


class Decided(Body):
    """As it was written down: what was started, and each change of mind."""

    id: int
    at: Moment
    evidence: dict[str, Any] = Field(
        json_schema_extra={"examples": [{"outcome": "Wait", "reason": "No new labels."}]}
    )


class Decisions(Body):
    decisions: list[Decided]
    next: int | None = Field(description="Give it back as `before` for the next page.")


class Training(Body):
    name: str = Field(json_schema_extra={"examples": ["weekly-3f2a9c10"]})
    phase: TrainingJobPhase
    model_version: str | None
    dataset_version: str | None
    created_at: Moment


class Trainings(Body):
    trainings: list[Training]


@router.get("", summary="Retraining policies, by name", response_model_exclude_none=True)
async def get_policies(parts: PartsDep) -> Policies:
    """Each with what was decided last, and on which figures."""
    return Policies(
        policies=[
            Policy(policy=one.policy, created_by=one.row.created_by, updated_at=one.row.updated_at)
            for one in await policy_lines(parts)
        ]
    )


@router.get("/{name}", summary="One retraining policy", response_model_exclude_none=True)
async def get_policy(name: ResourceName, parts: PartsDep) -> Policy:
    one = await policy_line(parts, name)
    return Policy(policy=one.policy, created_by=one.row.created_by, updated_at=one.row.updated_at)


@router.put(
    "/{name}",
    summary="Make or change a retraining policy",
    response_model=None,
    responses={200: {"model": RetrainPolicy}},
)
async def put_policy_(
    name: ResourceName,
    actor: ActorDep,
    parts: PartsDep,
    body: Annotated[PutPolicy, FromBody(openapi_examples=_EXAMPLES)],
) -> dict[str, Any]:
    """On one machine. In a cluster policies are applied as RetrainPolicy resources, and this is refused."""
    return await put_policy(parts, name, body.spec, generation=body.generation, actor=actor.name)


@router.delete("/{name}", status_code=204, summary="Delete a retraining policy")
async def delete_policy_(name: ResourceName, actor: ActorDep, parts: PartsDep) -> None:
    """Trainings that it started go on."""
    await delete_policy(parts, name, actor=actor.name)


@router.post(
    "/{name}/{action}",
    summary="Suspend a policy, let it go on, let it start what it says",
    response_model_exclude_none=True,
)
async def post_action(
    name: ResourceName,
    action: Literal["suspend", "resume", "go-live"],
    actor: ActorDep,
    parts: PartsDep,
) -> Policy:
    """A policy with `dryRun` starts nothing until it goes live."""
    await change_policy(parts, name, PolicyAction(action), actor=actor.name)
    return await get_policy(name, parts)


@router.get("/{name}/decisions", summary="What a policy decided, newest first")
async def get_decisions(
    name: ResourceName,
    parts: PartsDep,
    before: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="The `next` of a page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Decisions:
    """Also of policies that were deleted."""
    async with transaction(parts.pool) as connection:
        found = await decisions_of(connection, name, before=before, limit=limit)
    return Decisions(
        decisions=[Decided(id=one.id, at=one.at, evidence=one.evidence) for one in found],
        next=found[-1].id if len(found) == limit else None,
    )


@router.get("/{name}/trainings", summary="Trainings that a policy started, newest first")
async def get_trainings(name: ResourceName, parts: PartsDep) -> Trainings:
    shown = await policy_page(parts, name)
    return Trainings(trainings=[Training(**vars(one)) for one in shown.trainings])
