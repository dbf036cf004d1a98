"""Argo CD's health of our kinds, by the script that it would run."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from sentops_core.domain.conditions import set_condition
from sentops_core.domain.resources import (
    ModelVersionPhase,
    ModelVersionStatus,
    RetrainPolicyStatus,
    TrainingJobPhase,
    TrainingJobStatus,
)
from tests.k8s.documents import a_model_version, a_retrain_policy, a_training_job
from tests.support.builders import NOW

FOLDER = Path(__file__).parents[2] / "k8s" / "argo-cd"
# Argo CD opens these alone: no string, no io.
_CLOSED = ("string", "io", "math", "debug", "coroutine", "dofile", "loadfile", "require")


def health_of(document: dict[str, Any]) -> tuple[str, str]:
    """Status and message, from Lua 5.1 as Argo CD runs it."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    for name in _CLOSED:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(document, recursive=True)
    answer = lua.execute((FOLDER / "health.lua").read_text())
    return answer["status"], answer["message"]


def a_status(kind: type[Any], phase: str, seen: int, *conditions: tuple[str, str, str]) -> Any:
    found: tuple[Any, ...] = ()
    for name, value, message in conditions:
        found = set_condition(found, name, value, "Serving", message, now=NOW)
    fields = {"phase": phase, "observed_generation": seen, "conditions": found}
    return kind.model_validate(fields).to_document()


def a_job(phase: str, *conditions: tuple[str, str, str], seen: int = 2) -> dict[str, Any]:
    document = a_training_job()
    document["metadata"]["generation"] = 2
    return document | {"status": a_status(TrainingJobStatus, phase, seen, *conditions)}


def a_version(
    phase: str, *conditions: tuple[str, str, str], seen: int = 2, **spec: Any
) -> dict[str, Any]:
    document = a_model_version(**{"desiredState": "Champion", **spec})
    document["metadata"]["generation"] = 2
    return document | {"status": a_status(ModelVersionStatus, phase, seen, *conditions)}


def a_policy(*conditions: tuple[str, str, str], seen: int = 2) -> dict[str, Any]:
    document = a_retrain_policy()
    document["metadata"]["generation"] = 2
    found: tuple[Any, ...] = ()
    for name, value, message in conditions:
        found = set_condition(found, name, value, "Watching", message, now=NOW)
    status = RetrainPolicyStatus(observed_generation=seen, conditions=found)
    return document | {"status": status.to_document()}


READY = ("Ready", "True", "The served digest is the wanted one.")
APPROVED = {"desiredState": "Candidate", "approval": {"approved": True}}


@pytest.mark.parametrize(
    ("document", "status", "message"),
    [
        (a_training_job() | {"status": {"phase": "Pending"}}, "Progressing", "operator"),
        (a_training_job(), "Progressing", "operator"),
        (a_job("Pending", ("Trained", "Unknown", "0/3 nodes fit.")), "Progressing", "0/3 nodes fit."),
        (a_job("Queued"), "Progressing", "Queued"),
        (a_job("Running", ("Trained", "Unknown", "Attempt 1.")), "Progressing", "Attempt 1."),
        (a_job("Evaluating"), "Progressing", "Evaluating"),
        (a_job("Suspended", ("Suspended", "True", "Suspended.")), "Suspended", "Suspended."),
        (a_job("Suspended", ("Suspended", "True", "Suspended."), seen=1), "Progressing", "change"),
        (a_job("Succeeded", ("Complete", "True", "Registered.")), "Healthy", "Registered."),
        (a_job("Succeeded", ("Complete", "True", "Registered."), seen=1), "Healthy", "Registered."),
        (a_job("Rejected", ("GatePassed", "False", "F1 0.4.")), "Healthy", "F1 0.4."),
        (a_job("Failed", ("Failed", "True", "Out of memory.")), "Degraded", "Out of memory."),
        (a_version("Live", READY), "Healthy", "digest"),
        (a_version("Live", READY, seen=1), "Progressing", "change"),
        (a_version("Live", ("Ready", "False", "Crashes.")), "Degraded", "Crashes."),
        (a_version("Live"), "Progressing", "Live"),
        (a_version("Verifying"), "Progressing", "Verifying"),
        (a_version("Shadow"), "Progressing", "Shadow"),
        (a_version("Canary"), "Progressing", "Canary"),
        (a_version("Paused", ("CanaryHealthy", "Unknown", "On hold.")), "Suspended", "On hold."),
        (a_version("Quarantined", ("Ready", "False", "Worse.")), "Degraded", "Worse."),
        (a_version("RolledBack", ("Ready", "False", "Worse.")), "Degraded", "Worse."),
        (a_version("RolledBack", desiredState="Archived"), "Healthy", "RolledBack"),
        (a_version("Archived"), "Healthy", "Archived"),
        (a_version("Pending"), "Progressing", "Pending"),
        (a_version("Pending", **APPROVED), "Progressing", "Pending"),
        (a_version("Pending", desiredState="Candidate"), "Suspended", "approve"),
        (a_retrain_policy(), "Progressing", "control plane"),
        (a_retrain_policy() | {"status": {"observedGeneration": 0}}, "Progressing", "change"),
        (a_policy(("Ready", "True", "Looked at."), seen=1), "Progressing", "change"),
        (a_policy(("Ready", "True", "Looked at.")), "Healthy", "Looked at."),
        (a_policy(("Ready", "False", "No cron.")), "Degraded", "No cron."),
        (a_policy(("Ready", "Unknown", "Votes are tied.")), "Progressing", "tied"),
        (a_policy(("Ready", "Unknown", ""), ("Suspended", "True", "Nothing.")), "Suspended", "Nothing."),
    ],
)  # fmt: skip
def test_argo_cd_is_told_what_a_person_would_say(
    document: dict[str, Any], status: str, message: str
) -> None:
    told, why = health_of(document)
    assert told == status
    assert message in why


@pytest.mark.parametrize(
    ("phases", "build"), [(TrainingJobPhase, a_job), (ModelVersionPhase, a_version)]
)
def test_no_phase_is_unknown_to_the_script(phases: Any, build: Any) -> None:
    known = {"Healthy", "Progressing", "Degraded", "Suspended"}
    assert {health_of(build(phase.value))[0] for phase in phases} <= known


def test_the_snippet_gives_every_kind_the_script() -> None:
    snippet = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (generated,) = snippet["configMapGenerator"]
    assert generated["name"] == "argocd-cm"
    assert generated["files"] == [
        f"resource.customizations.health.sentops.dev_{kind}=health.lua"
        for kind in ("TrainingJob", "ModelVersion", "RetrainPolicy")
    ]
