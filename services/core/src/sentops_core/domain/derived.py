"""What follows from a job on every substrate: what its run is told, whom it is compared with, the version made of it."""

from sentops_core.domain.plan import RegisterVersion
from sentops_core.domain.resources import (
    ArtifactRef,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionSpec,
    NameRef,
    TrainingJob,
)
from sentops_core.domain.run import ChampionRef, RunSpec

# Names of jobs are used again; what a ModelVersion was made from is this one TrainingJob.
TRAINING_JOB_UID_LABEL = "sentops.dev/training-job-uid"


def to_run_spec(job: TrainingJob, attempt: int, champion: ChampionRef | None) -> RunSpec:
    spec = job.spec
    return RunSpec(
        training_job=job.metadata.name,
        attempt=attempt,
        model_name=spec.model_name,
        base_model_uri=spec.base_model.storage_uri,
        dataset_uri=spec.dataset.storage_uri,
        dataset_hash=spec.dataset.content_hash,
        labels=spec.dataset.labels,
        method=spec.trainer.method,
        hyperparameters=spec.trainer.hyperparameters,
        fast_path=spec.fast_path,
        must_pass=spec.gate.must_pass,
        champion=champion,
        output_uri=spec.output.storage_uri,
    )


def to_champion_ref(champion: ModelVersion | None) -> ChampionRef | None:
    """Whom to compare with; one that cannot be loaded must not stand in its successor's way."""
    if champion is None or champion.status.phase is ModelVersionPhase.QUARANTINED:
        return None
    return ChampionRef(
        model_version=champion.metadata.name,
        storage_uri=champion.spec.artifact.storage_uri,
        digest=champion.spec.artifact.digest,
    )


def name_of_version(model_name: str, number: int) -> str:
    return f"{model_name}-v{number}"


def registered_spec(job: TrainingJob, action: RegisterVersion, number: int) -> ModelVersionSpec:
    """The version that a job's artefact becomes."""
    return ModelVersionSpec(
        model_name=job.spec.model_name,
        version=number,
        artifact=ArtifactRef.model_validate(action.artifact.model_dump()),
        training_job_ref=NameRef(name=job.metadata.name),
        dataset_hash=job.spec.dataset.content_hash,
        labels=job.spec.dataset.labels,
        gate_result=action.gate_result,
        desired_state=action.desired_state,
        rollout=job.spec.promotion.rollout,
    )
