"""Say when to train again without being told; see what was decided."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Path, Request

from sentops_core.domain.base import Document, Integer, ResourceName
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import (
    API_VERSION,
    Metadata,
    RetrainPolicy,
    RetrainPolicySpec,
)
from sentops_trainer.deps import Actor, Control, SettingsDep
from sentops_trainer.retraining.loop import RetrainLoop
from sentops_trainer.retraining.template import job_spec_to_try

router = APIRouter(prefix="/retrain-policies", tags=["retraining"])

_EXAMPLES = {
    "labels": {
        "summary": "A quick training for every 200 new labels, at most twice a day",
        "value": {
            "spec": {
                "modelName": "sentiment",
                "triggers": {"newLabels": {"min": 200}},
                "template": {"trainer": {"method": "Linear"}},
            }
        },
    },
    "quality": {
        "summary": "Only say what would be done when people agree too rarely or the texts have changed",
        "value": {
            "spec": {
                "modelName": "sentiment",
                "dryRun": True,
                "triggers": {
                    "quality": {
                        "metric": "accuracy",
                        "floor": "0.75",
                        "window": "7d",
                        "minVotes": 100,
                    },
                    "drift": {"window": "24h", "windows": 2},
                },
            }
        },
    },
    "schedule": {
        "summary": "Sunday nights, when there is something new; a person approves the result",
        "value": {
            "spec": {
                "modelName": "sentiment",
                "triggers": {"schedule": {"cron": "0 3 * * SUN", "timeZone": "Europe/Rome"}},
                "guards": {"cooldownSeconds": 86400, "maxPerDay": 1, "minNewLabels": 50},
                "template": {"promotion": {"mode": "Manual"}},
            }
        },
    },
}

Name = Annotated[ResourceName, Path(description="Of the policy.")]


async def _look_soon(request: Request) -> AsyncIterator[None]:
    yield
    loop: RetrainLoop = request.state.retrain_loop
    loop.wake()


# Asked for before the control plane, so that its turn comes after the change is committed.
LookedAtSoon = Annotated[None, Depends(_look_soon, scope="function")]


class PutMetadata(Metadata):
    """What may come back of an answer; `generation`: refuse if the policy was changed since."""

    name: ResourceName | None = None  # type: ignore[assignment]
    generation: Integer | None = None  # type: ignore[assignment]


class RetrainPolicyManifest(Document):
    """A RetrainPolicy as people apply it: no status. Only `spec` is needed."""

    api_version: Literal["sentops.dev/v1alpha1"] = API_VERSION
    kind: Literal["RetrainPolicy"] = "RetrainPolicy"
    metadata: PutMetadata = PutMetadata()
    spec: RetrainPolicySpec


@router.get("", summary="Retraining policies, by name", response_model_exclude_none=True)
async def get_policies(control: Control) -> list[RetrainPolicy]:
    """Each with what was decided last, and on which figures."""
    return await control.policies()


@router.get("/{name}", summary="One retraining policy", response_model_exclude_none=True)
async def get_policy(name: Name, control: Control) -> RetrainPolicy:
    return await control.policy(name)


@router.put(
    "/{name}", summary="Make or change a retraining policy", response_model_exclude_none=True
)
async def put_policy(
    _: LookedAtSoon,
    name: Name,
    control: Control,
    settings: SettingsDep,
    actor: Actor,
    manifest: Annotated[RetrainPolicyManifest, Body(openapi_examples=_EXAMPLES)],
) -> RetrainPolicy:
    """On one machine. In a cluster policies are applied as RetrainPolicy resources, and this is refused."""
    if manifest.metadata.name not in {None, name}:
        raise InvalidInput(
            f"The address names the policy {name}, metadata.name {manifest.metadata.name}."
        )
    control.require_accepted(job_spec_to_try(manifest.spec, settings.store_uri))
    return await control.put_policy(
        name, manifest.spec, generation=manifest.metadata.generation, actor=actor
    )


@router.delete("/{name}", status_code=204, summary="Delete a retraining policy")
async def delete_policy(name: Name, control: Control, actor: Actor) -> None:
    """Trainings that it started go on."""
    await control.delete_policy(name, actor=actor)
