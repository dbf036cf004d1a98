"""TrainingJobs as people write them; a test names only what it is about."""

from typing import Any

from tests.e2e.support.kubectl import Manifest
from tests.e2e.support.release import MODEL, STORE
from tests.e2e.support.scripts import NEAR_THE_ARTIFACTS

# For trainings whose version nobody shall see served.
SPARE_MODEL = "spare"
LENIENT_GATE: Manifest = {
    "minSamples": 1,
    "metrics": [{"name": "macro_f1", "min": "0", "maxDropVsChampion": "1"}],
}
# About a minute of small steps that get better too slowly to be stopped early.
SLOW: Manifest = {
    "method": "FineTune",
    "hyperparameters": {
        "epochs": 100,
        "batchSize": 2,
        "maxLength": 32,
        "learningRate": "1e-5",
        "earlyStoppingPatience": 20,
    },
}


def a_training_job(
    name: str,
    *,
    base: str,
    dataset: Manifest,
    model: str = MODEL,
    seed: int = 1,
    trainer: Manifest | None = None,
    pod_template: Manifest | None = None,
    promotion: Manifest | None = None,
    **spec: Any,
) -> Manifest:
    quick = {"method": "Linear", "hyperparameters": {"maxLength": 32, "seed": seed}}
    return {
        "apiVersion": "sentops.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "modelName": model,
            "baseModel": {"storageUri": base},
            "dataset": dataset,
            "trainer": {**quick, **(trainer or {})},
            "podTemplate": {"affinity": NEAR_THE_ARTIFACTS, **(pod_template or {})},
            "output": {"storageUri": STORE},
            "gate": LENIENT_GATE,
            "promotion": promotion or {"mode": "Auto"},
            **spec,
        },
    }


def a_retrain_policy(
    name: str,
    *,
    base: str,
    triggers: Manifest,
    guards: Manifest | None = None,
    dry_run: bool = False,
) -> Manifest:
    """Of trainings whose version nobody shall see served."""
    return {
        "apiVersion": "sentops.dev/v1alpha1",
        "kind": "RetrainPolicy",
        "metadata": {"name": name},
        "spec": {
            "modelName": MODEL,
            "dryRun": dry_run,
            "triggers": triggers,
            "guards": {
                "cooldownSeconds": 3600,
                "maxPerDay": 1,
                "minNewLabels": 5,
                **(guards or {}),
            },
            "template": {
                "baseModel": {"storageUri": base},
                "trainer": {"method": "Linear", "hyperparameters": {"maxLength": 32}},
                "podTemplate": {"affinity": NEAR_THE_ARTIFACTS},
                "gate": LENIENT_GATE,
                "promotion": {"mode": "Never"},
            },
        },
    }


def condition(resource: Manifest, kind: str) -> tuple[str, str, str]:
    """(status, reason, message) of a condition; all empty while there is none."""
    for one in (resource.get("status") or {}).get("conditions") or []:
        if one["type"] == kind:
            return one["status"], one["reason"], one.get("message", "")
    return "", "", ""


def phase(resource: Manifest) -> str:
    return str((resource.get("status") or {}).get("phase", ""))
