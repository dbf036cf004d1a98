"""What a fresh platform does by itself, decided purely."""

from datetime import UTC, datetime

import pytest

from sentops_cli import sample
from sentops_cli.first_run import Dataset, Step, free_name, next_step
from sentops_core.domain.resources import (
    BaseModelRef,
    DatasetRef,
    Metadata,
    Output,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobSpec,
    TrainingJobStatus,
)

SAMPLE = Dataset("v1", sample.NAME)
THEIRS = Dataset("v1", "our-reviews")


def a_job(name: str, phase: TrainingJobPhase = TrainingJobPhase.SUCCEEDED) -> TrainingJob:
    return TrainingJob(
        metadata=Metadata(name=name, creation_timestamp=datetime(2026, 1, 1, tzinfo=UTC)),
        spec=TrainingJobSpec(
            model_name="sentiment",
            base_model=BaseModelRef(storage_uri="named://english-small"),
            dataset=DatasetRef(storage_uri="file:///d", content_hash="sha256:" + "0" * 64),
            output=Output(storage_uri="file:///store"),
        ),
        status=TrainingJobStatus(phase=phase),
    )


@pytest.mark.parametrize(
    ("datasets", "jobs", "step"),
    [
        ([], [], Step.UPLOAD),
        ([SAMPLE], [], Step.TRAIN_LINEAR),
        ([SAMPLE], [a_job("first-linear")], Step.TRAIN_FINE_TUNE),
        ([SAMPLE], [a_job("first-linear", TrainingJobPhase.REJECTED)], Step.TRAIN_FINE_TUNE),
        ([SAMPLE], [a_job("first-fine-tune"), a_job("first-linear")], Step.NOTHING),
    ],
)
def test_each_step_follows_the_one_that_was_done(
    datasets: list[Dataset], jobs: list[TrainingJob], step: Step
) -> None:
    assert next_step(datasets, jobs) is step


def test_a_first_training_that_failed_is_tried_again_under_the_next_name() -> None:
    failed = [a_job("first-linear", TrainingJobPhase.FAILED)]
    assert next_step([SAMPLE], failed) is Step.TRAIN_LINEAR
    assert free_name("first-linear", failed) == "first-linear-2"


def test_peoples_own_data_or_jobs_end_the_first_run() -> None:
    assert next_step([THEIRS], []) is Step.NOTHING
    assert next_step([SAMPLE], [a_job("sentiment-v1-linear-abc")]) is Step.NOTHING


def test_a_dataset_built_from_the_sample_later_changes_nothing() -> None:
    later = [Dataset("v2", sample.NAME), SAMPLE]
    done = [a_job("first-linear"), a_job("first-fine-tune")]
    assert next_step(later, done) is Step.NOTHING
