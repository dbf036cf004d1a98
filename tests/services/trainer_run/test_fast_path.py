"""A student answers what it is sure of, if the two together are as good as the full model alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sentops_core.domain.fast_path import FastPath, FastPathMode
from sentops_core.inference import Scored, Scorer
from sentops_trainer.engine.cascade import Both, fit_threshold
from sentops_trainer.engine.student_lessons import Frame, phrases, variations
from sentops_trainer.rows import Rows, read_dataset
from tests.support.artifacts import build_artifact
from tests.support.training_runs import LABELS, Done

ROWS = 300


def _probabilities(labels: npt.NDArray[np.int64], sure: float) -> npt.NDArray[np.floating]:
    return np.where(np.eye(3)[labels] == 1, sure, (1 - sure) / 2)


@pytest.fixture
def full() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
    """Labels, and a full model that is right about nine rows in ten and says so."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, ROWS)
    answers = np.where(generator.random(ROWS) < 0.9, labels, (labels + 1) % 3)
    return labels, _probabilities(answers, 0.9)


def test_a_student_that_knows_what_it_does_not_know_answers_the_rest(
    full: tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]],
) -> None:
    labels, probabilities = full
    easy = np.arange(ROWS) % 3 > 0  # two rows in three; of the others it knows nothing
    logits = np.where(easy[:, None], np.log(probabilities), np.linspace(0, 0.01, 3))

    fitted = fit_threshold(Both(logits, probabilities, labels))

    assert fitted.allowed
    assert fitted.share == pytest.approx(2 / 3)
    assert fitted.expected_loss == pytest.approx(0, abs=1e-6)
    assert fitted.agreement == 1


def test_a_student_that_is_sure_of_the_wrong_is_allowed_nothing(
    full: tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]],
) -> None:
    labels, probabilities = full
    fitted = fit_threshold(Both(np.log(np.roll(probabilities, 1, axis=1)), probabilities, labels))
    assert not fitted.allowed
    assert fitted.expected_loss > 0.3


def test_variations_keep_the_frame_and_the_longest_input_and_follow_the_seed() -> None:
    rows = [[1, 7, *range(10 + n, 22 + n), 2] for n in range(12)]
    frame = Frame.of(rows)
    made = variations(rows, frame, 50, 12, np.random.default_rng(5))

    assert (frame.before, frame.after) == ([1, 7], [2])
    assert all(row[:2] == [1, 7] and row[-1] == 2 and 3 < len(row) <= 12 for row in made)
    assert made == variations(rows, frame, 50, 12, np.random.default_rng(5))
    assert made != variations(rows, frame, 50, 12, np.random.default_rng(6))
    short = phrases(rows, frame, 50, np.random.default_rng(5))
    assert {len(frame.inside(row)) for row in short} == {2, 3, 4, 5, 6}


@pytest.mark.torch
def test_a_student_hears_the_order_of_words_and_not_the_company_of_a_batch(tmp_path: Path) -> None:
    import torch

    from sentops_core.inference.session import open_session
    from sentops_trainer.engine.student import ByteRows, Student
    from sentops_trainer.engine.tracing import trace

    torch.manual_seed(1)
    student = Student(ByteRows(torch.randn(30, 12)), labels=3).eval()
    ids = torch.tensor([[2, 7, 8, 9, 3, 0, 0], [2, 8, 7, 9, 3, 5, 3]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1] * 7])
    alone, turned = ids[:1, :5], torch.tensor([[2, 8, 7, 9, 3]])
    ones = torch.ones_like(alone)
    with torch.inference_mode():
        expected = student(alone, ones)
        assert torch.allclose(student(ids, mask)[:1], expected, atol=1e-6)
        assert not torch.allclose(student(turned, ones), expected, atol=1e-3)

    trace(student, tmp_path / "student.onnx")
    session = open_session(tmp_path / "student.onnx", 1)
    feeds = {"input_ids": alone.numpy(), "attention_mask": ones.numpy()}
    assert session.run(["logits"], feeds)[0] == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.torch
def test_a_run_reports_the_cascade_that_it_publishes(linear: Done) -> None:
    folder = linear.folder / "artifact"
    report, config = linear.result.fast_path, json.loads((folder / "config.json").read_text())
    assert report is not None
    assert report.used
    assert set(config["fast_path"]) == {"temperature", "threshold"}

    holdout = read_dataset(Path(linear.spec.dataset_uri.removeprefix("file://")), linear.spec)
    answers = Scorer.load(folder).score(holdout.holdout.texts)
    exact = Scorer.load(folder, fast_path=False).score(holdout.holdout.texts)
    early = [answer.path == "fast" for answer in answers]
    same = [one.label == other.label for one, other in zip(answers, exact, strict=True)]
    assert report.share == pytest.approx(np.mean(early), abs=1e-6)
    assert report.share > 0
    assert report.agreement == pytest.approx(np.mean(same), abs=1e-6)
    assert linear.result.evaluation is not None
    assert report.macro_f1 == linear.result.evaluation.macro_f1
    assert len(linear.result.model_dump_json()) < 4096
    assert "## Fast path" in (folder / "card.md").read_text()
    measured = json.loads((folder / "metrics.json").read_text())["fast_path"]["milliseconds"]
    assert set(measured) == {"student", "full", "cascade"}


@pytest.mark.torch
def test_without_a_fast_path_there_is_no_student(train: Callable[..., Done]) -> None:
    done = train(method="Linear", fast_path="Off")
    folder = done.folder / "artifact"
    assert done.result.fast_path is None
    assert not (folder / "student.onnx").exists()
    assert "fast_path" not in (folder / "config.json").read_text()
    assert "Fast path" not in (folder / "card.md").read_text()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("mode", "wrong", "used"),
    [
        (FastPathMode.AUTO, 0, True),
        (FastPathMode.AUTO, 9, False),
        (FastPathMode.FORCED, 9, True),
    ],
)
def test_a_cascade_that_loses_half_a_point_serves_only_when_forced(
    tmp_path: Path, mode: FastPathMode, wrong: int, used: bool
) -> None:
    from sentops_trainer.engine.cascade_packing import Serving, compared

    fast_path = FastPath(temperature=1.0, threshold=0.8)
    scorer = Scorer.load(build_artifact(tmp_path / "built", fast_path=fast_path).folder)
    labels = np.arange(60) % 3
    rows = Rows([""] * 60, [""] * 60, labels, [""] * 60, np.ones(60))
    exact = [_answer(int(label)) for label in labels]
    together = [
        _answer((int(label) + (n < wrong)) % 3, fast=n < 30) for n, label in enumerate(labels)
    ]

    report = compared(Serving(scorer, exact), together, rows, mode)

    assert report.used is used
    assert (report.share, report.full_macro_f1) == (0.5, 1)
    assert report.agreement == pytest.approx(1 - wrong / 60)
    assert ("forced" in report.message) == (mode is FastPathMode.FORCED)


def _answer(label: int, *, fast: bool = False) -> Scored:
    return Scored(LABELS[label], 0.9, {}, truncated=False, path="fast" if fast else "full")
