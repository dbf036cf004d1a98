"""A result fits a pod's termination message, whatever the number and the length of labels."""

import json
import os
from pathlib import Path

import pytest

from sentops_core.domain.evaluation import ClassScores, Evaluation, MustPass, PairedComparison
from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import PublishedArtifact, RunExit, RunResult
from sentops_trainer import report
from sentops_trainer.report import MAX_BYTES, as_line, deliver
from tests.support.builders import a_fast_path_report


def a_result(labels: int, *, must_pass: int = 0, label_length: int = 8) -> RunResult:
    names = [f"l{number:02d}".ljust(label_length, "x") for number in range(labels)]
    scores = ClassScores(precision=0.123456, recall=0.234567, f1=0.345678, support=1234)
    worst = scores.model_copy(update={"recall": 0.000001})
    evaluation = Evaluation(
        rows=100_000,
        accuracy=0.777777,
        macro_f1=0.666666,
        per_class=dict.fromkeys(names, scores) | {names[-1]: worst},
        confusion=tuple(tuple(12_345 for _ in names) for _ in names),
        calibration_error=0.012345,
    )
    paired = PairedComparison(
        champion_version="reviews-it-12",
        champion_digest="sha256:" + "1" * 64,
        champion=evaluation,
        both_right=70_000,
        only_candidate_right=5_000,
        only_champion_right=4_000,
        neither_right=21_000,
        macro_f1_difference=0.012345,
        macro_f1_difference_low=-0.001234,
        macro_f1_difference_high=0.023456,
    )
    return RunResult(
        exit=RunExit.OK,
        reason=Reason.RUN_FINISHED,
        message="macro-F1 0.667 on 100000 held-out rows",
        artifact=PublishedArtifact(
            storage_uri="s3://bucket/" + "p" * 200, digest="sha256:" + "2" * 64, size_bytes=10**9
        ),
        evaluation=evaluation,
        fast_path=a_fast_path_report(used=False, message="è" * 300),
        paired=paired,
        must_pass=MustPass(total=100, failed=("é" * 80,) * must_pass),
        seconds=1234.5,
    )


def test_three_labels_fit_as_they_are() -> None:
    result = a_result(3, must_pass=5)
    assert RunResult.model_validate_json(as_line(result)) == result


@pytest.mark.parametrize("labels", [3, 8, 16, 32])
@pytest.mark.parametrize("must_pass", [0, 100])
@pytest.mark.parametrize("label_length", [4, 40])
def test_any_result_fits_and_keeps_what_the_gate_counts(
    labels: int, must_pass: int, label_length: int
) -> None:
    result = a_result(labels, must_pass=must_pass, label_length=label_length)
    line = as_line(result)
    assert len(line) <= MAX_BYTES
    read = RunResult.model_validate_json(line)
    assert read.artifact == result.artifact
    assert read.evaluation is not None
    assert result.evaluation is not None
    assert read.evaluation.macro_f1 == result.evaluation.macro_f1
    assert min(scores.recall for scores in read.evaluation.per_class.values()) == 0.000001
    assert read.must_pass is not None
    assert bool(read.must_pass.failed) == bool(must_pass)
    assert read.paired is not None
    assert read.paired.only_candidate_right == 5_000
    assert read.fast_path is not None
    assert read.fast_path.share == 0.625


def test_the_file_and_stdout_carry_the_same_line(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    deliver(a_result(3), writing, folder=tmp_path, attempt=2)
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == (tmp_path / "result-2.json").read_text() + "\n"


def test_a_stopped_run_leaves_no_result_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    stopped = RunResult(exit=RunExit.CANCELLED, reason=Reason.CANCELLED, message="stopped")
    deliver(stopped, writing, folder=tmp_path, attempt=1)
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert json.loads(stream.read())["exit"] == 143
    assert list(tmp_path.iterdir()) == []


def test_a_process_stopped_for_another_s_failure_leaves_that_one_s_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of one pod share the termination message; whoever is stopped comes last and knows least."""
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(report, "_TERMINATION_LOG", log)
    failed = RunResult(exit=RunExit.BAD_DATA, reason=Reason.BAD_DATA, message="no rows")
    stopped = RunResult(exit=RunExit.CANCELLED, reason=Reason.CANCELLED, message="stopped")
    with Path(os.devnull).open("wb") as nowhere:
        deliver(stopped, nowhere.fileno(), folder=tmp_path, attempt=1)
        assert log.read_bytes() == as_line(stopped), "alone, it is all there is to say"
        deliver(failed, nowhere.fileno(), folder=tmp_path, attempt=1)
        deliver(stopped, nowhere.fileno(), folder=tmp_path, attempt=1)
    assert log.read_bytes() == as_line(failed)
