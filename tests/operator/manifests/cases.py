"""The cases of data/: what a builder is given (NAME.in.yaml), and every manifest that comes out (NAME.out.yaml)."""

from pathlib import Path
from typing import Any

import yaml

from sentops_core.domain.resources import ModelVersion, PodTemplate, Resources, TrainingJob
from sentops_core.domain.run import RunSpec
from sentops_operator.manifests.job import (
    RunSettings,
    build_job,
    build_rendezvous_service,
    build_work_claim,
)
from sentops_operator.manifests.serving import (
    ServingSettings,
    build_autoscaler,
    build_deployment,
    build_disruption_budget,
    build_service,
)

DATA = Path(__file__).parent / "data"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in DATA.glob("*.in.yaml"))
Manifest = dict[str, Any]


def given(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DATA / f"{name}.in.yaml").read_text())
    return document


def expected(name: str) -> list[Manifest]:
    return list(yaml.safe_load_all((DATA / f"{name}.out.yaml").read_text()))


def built(name: str) -> list[Manifest]:
    """All that is made of a case, in the order in which the operator applies it."""
    case = given(name)
    return _of_a_run(case) if "job" in case else _of_a_version(case)


def pod_template(manifest: Manifest) -> Manifest | None:
    template: Manifest | None = manifest.get("spec", {}).get("template")
    return template


def _of_a_run(case: dict[str, Any]) -> list[Manifest]:
    job = TrainingJob.model_validate(case["job"])
    settings = RunSettings(**_typed(case["settings"]))
    spec = run_spec_of(job, **case.get("run", {}))
    made = [
        build_work_claim(job, settings),
        build_rendezvous_service(job, spec.attempt),
        build_job(job, spec, settings),
    ]
    return [manifest for manifest in made if manifest is not None]


def _of_a_version(case: dict[str, Any]) -> list[Manifest]:
    version = ModelVersion.model_validate(case["version"])
    settings = ServingSettings(**_typed(case["settings"]))
    slot, model_name = case["slot"], version.spec.model_name
    namespace = version.metadata.namespace or ""
    made = [
        build_service(model_name, namespace, slot),
        build_deployment(version, slot, settings, annotations=case.get("annotations", {})),
    ]
    if slot == "champion":
        made += [
            build_autoscaler(model_name, namespace, settings),
            build_disruption_budget(model_name, namespace, settings),
        ]
    return [manifest for manifest in made if manifest is not None]


def _typed(settings: dict[str, Any]) -> dict[str, Any]:
    typed = dict(settings)
    if "resources" in typed:
        typed["resources"] = Resources.model_validate(typed["resources"])
    if "pod" in typed:
        typed["pod"] = PodTemplate.model_validate(typed["pod"])
    if "image_pull_secrets" in typed:
        typed["image_pull_secrets"] = tuple(typed["image_pull_secrets"])
    return typed


def run_spec_of(job: TrainingJob, **run: Any) -> RunSpec:
    spec = job.spec
    return RunSpec.model_validate(
        {
            "training_job": job.metadata.name,
            "attempt": 1,
            "model_name": spec.model_name,
            "base_model_uri": spec.base_model.storage_uri,
            "dataset_uri": spec.dataset.storage_uri,
            "dataset_hash": spec.dataset.content_hash,
            "labels": spec.dataset.labels,
            "method": spec.trainer.method,
            "hyperparameters": spec.trainer.hyperparameters,
            "fast_path": spec.fast_path,
            "must_pass": spec.gate.must_pass,
            "output_uri": spec.output.storage_uri,
            **run,
        }
    )
