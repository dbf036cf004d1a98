"""Valid documents with defaults; a test names only what it is about."""

from datetime import UTC, datetime

from sentops_core.domain.evaluation import ClassScores, Evaluation, PairedComparison
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ArtifactRef,
    BaseModelRef,
    DatasetRef,
    Gate,
    Metadata,
    ModelVersion,
    ModelVersionSpec,
    ModelVersionStatus,
    Output,
    TrainingJob,
    TrainingJobSpec,
    TrainingJobStatus,
)
from sentops_core.domain.run import (
    ChampionRef,
    PublishedArtifact,
    Run,
    RunExit,
    RunResult,
    RunState,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_digest(letter: str = "a") -> str:
    return "sha256:" + letter * 64


def a_training_job(
    name: str = "job", status: TrainingJobStatus | None = None, **spec: object
) -> TrainingJob:
    fields: dict[str, object] = {
        "model_name": "sentiment",
        "base_model": BaseModelRef(storage_uri="named://english-small"),
        "dataset": DatasetRef(storage_uri="file:///data/v1", content_hash=a_digest("d")),
        "output": Output(storage_uri="file:///store"),
        **spec,
    }
    return TrainingJob(
        metadata=Metadata(name=name),
        spec=TrainingJobSpec.model_validate(fields),
        status=status or TrainingJobStatus(),
    )


def a_model_version(
    number: int = 1,
    *,
    digest: str | None = None,
    generation: int = 1,
    status: ModelVersionStatus | None = None,
    **spec: object,
) -> ModelVersion:
    fields: dict[str, object] = {
        "model_name": "sentiment",
        "version": number,
        "artifact": ArtifactRef(
            storage_uri="file:///store/artifacts/x",
            digest=digest or a_digest("abcdef"[number % 6]),
            size_bytes=1,
        ),
        "dataset_hash": a_digest("d"),
        **spec,
    }
    return ModelVersion(
        metadata=Metadata(name=f"sentiment-v{number}", generation=generation),
        spec=ModelVersionSpec.model_validate(fields),
        status=status or ModelVersionStatus(),
    )


def an_evaluation(
    macro_f1: float = 0.75, *, rows: int = 600, recall: float = 0.7, accuracy: float | None = None
) -> Evaluation:
    scores = ClassScores(precision=0.7, recall=recall, f1=0.7, support=rows // 3)
    return Evaluation(
        rows=rows,
        accuracy=macro_f1 if accuracy is None else accuracy,
        macro_f1=macro_f1,
        per_class={"negative": scores, "neutral": scores, "positive": scores},
        confusion=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        calibration_error=0.04,
    )


def a_fast_path_report(**fields: object) -> FastPathReport:
    defaults: dict[str, object] = {
        "used": True,
        "message": "Used: as good as the full model.",
        "share": 0.625,
        "macro_f1": 0.748,
        "full_macro_f1": 0.75,
        "agreement": 0.985,
    }
    return FastPathReport.model_validate({**defaults, **fields})


def a_comparison(
    champion: Evaluation | None = None,
    *,
    digest: str | None = None,
    better: int = 40,
    worse: int = 20,
    difference: float = 0.03,
    spread: float = 0.02,
) -> PairedComparison:
    return PairedComparison(
        champion_version="sentiment-v1",
        champion_digest=digest or a_digest("c"),
        champion=champion or an_evaluation(0.72),
        both_right=400,
        only_candidate_right=better,
        only_champion_right=worse,
        neither_right=140,
        macro_f1_difference=difference,
        macro_f1_difference_low=difference - spread,
        macro_f1_difference_high=difference + spread,
    )


def a_champion(letter: str = "c") -> ChampionRef:
    return ChampionRef(
        model_version="sentiment-v1",
        storage_uri="file:///store/artifacts/c",
        digest=a_digest(letter),
    )


def a_result(exit_code: RunExit = RunExit.OK, **fields: object) -> RunResult:
    defaults: dict[str, object] = {
        "exit": exit_code,
        "reason": Reason.RUN_FINISHED,
        "message": "Done.",
    }
    if exit_code is RunExit.OK:
        defaults["artifact"] = PublishedArtifact(
            storage_uri="file:///store/artifacts/x", digest=a_digest("e"), size_bytes=10
        )
        defaults["evaluation"] = an_evaluation()
    else:
        defaults |= {"reason": Reason.RUN_FAILED, "message": "It broke."}
    return RunResult.model_validate({**defaults, **fields})


def a_run(state: RunState = RunState.RUNNING, *, attempt: int = 1, **fields: object) -> Run:
    return Run.model_validate({"attempt": attempt, "state": state, "started_at": NOW, **fields})


def a_lenient_gate() -> Gate:
    return Gate.model_validate(
        {"minSamples": 1, "metrics": [{"name": "macro_f1", "min": "0", "maxDropVsChampion": "1"}]}
    )
