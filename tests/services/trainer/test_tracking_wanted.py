"""What MLflow should say, from documents alone."""

from datetime import datetime, timedelta

import pytest

from sentops_core.domain.plan import StartRun, TrainingObservation, plan
from sentops_core.domain.resources import (
    GateResult,
    Hyperparameters,
    Method,
    Routing,
    Trainer,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
    Variant,
    Verdict,
)
from sentops_core.domain.run import Run, RunExit, RunState
from sentops_core.store.model_versions import ModelVersionRow
from sentops_core.store.routing import RoutingRow
from sentops_core.store.training_jobs import TrainingEvent, TrainingJobRow
from sentops_trainer.news import moved
from sentops_trainer.tracking.wanted import (
    WantedRun,
    fingerprint,
    wanted_aliases,
    wanted_runs,
    wanted_version,
)
from tests.support.builders import (
    NOW,
    a_digest,
    a_fast_path_report,
    a_model_version,
    a_result,
    a_run,
    a_training_job,
)


class Story:
    """A job whose statuses the real plan writes; its events are those that the tables get."""

    def __init__(self, job: TrainingJob | None = None) -> None:
        self.job = job or a_training_job()
        self.events: list[TrainingEvent] = []
        self.now = NOW

    def sees(self, run: Run | None, **seen: object) -> "Story":
        """Another minute has gone by, and this is what is seen."""
        self.now += timedelta(minutes=1)
        for _ in range(4):
            step = plan(self.job, TrainingObservation(run=run, **seen), now=self.now)
            for condition in moved(self.job.status.conditions, step.status.conditions):
                self.event(condition.reason, condition.message)
            self.job = self.job.model_copy(update={"status": step.status})
            if run is None or any(isinstance(one, StartRun) for one in step.actions):
                break
        return self

    def progress(self, percent: int, **metrics: object) -> "Story":
        self.now += timedelta(seconds=10)
        listed = [{"name": name, "value": value} for name, value in metrics.items()]
        self.event("Progress", "x", {"progressPercentage": percent, "metrics": listed})
        return self

    def event(self, reason: str, message: str, progress: dict[str, object] | None = None) -> None:
        number = len(self.events) + 1
        self.events.append(TrainingEvent(number, "job", self.now, reason, message, progress))

    @property
    def row(self) -> TrainingJobRow:
        return TrainingJobRow(self.job, "v1", False, "ada", self.now)

    def runs(self) -> list[WantedRun]:
        return list(wanted_runs(self.row, self.events))


def a_finished_run(attempt: int = 1, **fields: object) -> Run:
    return a_run(RunState.FINISHED, attempt=attempt, result=a_result(**fields))


def metrics(run: WantedRun) -> dict[str, float]:
    return {point.key: point.value for point in run.points}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_a_job_that_has_not_run_is_nothing_yet() -> None:
    assert Story().sees(None).runs() == []


def test_a_run_under_way_shows_its_settings_and_its_progress() -> None:
    story = Story().sees(None).sees(a_run()).progress(30, loss="0.9", step="reading")
    story.progress(60, loss="0.4", eval_loss="nan", grad="inf", odd=None)
    (run,) = story.runs()
    assert (run.status, run.end) == ("RUNNING", None)
    assert run.name == "job-1"
    assert run.start == milliseconds(NOW + timedelta(minutes=2))
    assert run.params["method"] == "FineTune"
    assert run.params["base"] == "named://english-small"
    assert run.params["dataset"] == "v1"
    assert run.params["dataset_hash"] == a_digest("d")
    assert run.params["learning_rate"] == "0.0001"
    assert run.params["seed"] == "42"
    assert "batch_size" not in run.params  # nobody chose one: it goes by the rows
    assert run.tags["mlflow.user"] == "ada"
    told = [(point.key, point.value, point.step) for point in run.points]
    assert told == [
        ("training.loss", 0.9, 10),
        ("training.progress", 30.0, 10),
        ("training.loss", 0.4, 20),
        ("training.progress", 60.0, 20),
    ]


def test_progress_that_comes_before_the_run_is_seen_belongs_to_it() -> None:
    (run,) = Story().sees(None).progress(5).sees(a_run()).progress(10).runs()
    assert [point.value for point in run.points] == [5.0, 10.0]


def test_what_is_trained_is_judged_before_its_run_is_over() -> None:
    (run,) = Story().sees(None).sees(a_run()).sees(a_finished_run()).runs()
    assert run.status == "RUNNING"
    assert run.tags["sentops.dev/phase"] == "Evaluating"
    assert metrics(run)["macro_f1"] == 0.75
    assert not [name for name in metrics(run) if name.startswith("fast_path")]


def test_what_the_fast_path_is_worth_is_told_beside_the_full_model() -> None:
    judged = a_finished_run(fast_path=a_fast_path_report(used=False))
    (run,) = Story().sees(None).sees(a_run()).sees(judged).runs()
    told = {name: value for name, value in metrics(run).items() if name.startswith("fast_path")}
    assert told == {
        "fast_path.used": 0,
        "fast_path.share": 0.625,
        "fast_path.macro_f1": 0.748,
        "fast_path.full_macro_f1": 0.75,
        "fast_path.agreement": 0.985,
    }


def test_a_finished_job_shows_all_its_numbers() -> None:
    story = Story().sees(None).sees(a_run()).sees(a_finished_run())
    story.sees(a_finished_run(), version_name="sentiment-v1")
    (run,) = story.runs()
    assert run.status == "FINISHED"
    assert run.end == milliseconds(story.now)
    found = metrics(run)
    for name, value in {
        "accuracy": 0.75,
        "macro_f1": 0.75,
        "calibration_error": 0.04,
        "holdout_rows": 600,
        "precision.negative": 0.7,
        "recall.neutral": 0.7,
        "f1.positive": 0.7,
        "support.positive": 200,
        "gate.samples": 600,
        "gate.macro_f1": 0.75,
    }.items():
        assert found[name] == value, name
    assert "gate.p_value" not in found, "nothing was compared: unknown is absent"
    assert run.tags["sentops.dev/verdict"] == "Pass"
    assert run.tags["sentops.dev/model-version"] == "sentiment-v1"
    assert run.tags["sentops.dev/phase"] == "Succeeded"


def test_each_attempt_is_a_run_that_ends_as_it_ended() -> None:
    story = Story().sees(None).sees(a_run()).progress(50)
    story.sees(a_finished_run(exit_code=RunExit.FAILED))  # and attempt 2 is started
    story.sees(a_run(attempt=2)).progress(20)
    story.sees(a_run(RunState.LOST, attempt=2, disrupted=True))
    story.sees(a_run(attempt=3))
    first, second, third = story.runs()
    assert [run.status for run in (first, second, third)] == ["FAILED", "KILLED", "RUNNING"]
    assert first.tags["sentops.dev/message"] == "Attempt 1 failed: It broke."
    assert first.end is not None
    assert first.end <= second.start < second.end < third.start
    assert metrics(first) == {"training.progress": 50}
    assert metrics(second) == {"training.progress": 20}
    assert "macro_f1" not in metrics(third)


@pytest.mark.parametrize(
    ("seen", "status"),
    [({"cancel_requested": True}, "KILLED"), ({"spec_error": "No."}, "FAILED")],
)
def test_a_job_that_is_ended_ends_its_run(seen: dict[str, object], status: str) -> None:
    (run,) = Story().sees(None).sees(a_run()).sees(a_run(), **seen).runs()
    assert run.status == status
    assert run.end is not None
    assert run.tags["sentops.dev/phase"] == "Failed"


def test_a_suspended_run_was_killed_and_goes_on_as_another() -> None:
    job = a_training_job()
    story = Story(job).sees(None).sees(a_run())
    story.job = job.model_copy(
        update={"status": story.job.status, "spec": job.spec.model_copy(update={"suspend": True})}
    )
    story.sees(a_run())
    assert [run.status for run in story.runs()] == ["KILLED"]


def test_an_attempt_that_nobody_saw_run_is_there_once_the_job_is_past_it() -> None:
    status = TrainingJobStatus(
        phase=TrainingJobPhase.FAILED, attempt=2, start_time=NOW, completion_time=NOW
    )
    runs = Story(a_training_job(status=status)).runs()
    assert [(run.name, run.status) for run in runs] == [("job-1", "FAILED"), ("job-2", "FAILED")]


def test_settings_that_the_method_does_not_know_are_shown_all_the_same() -> None:
    trainer = Trainer.model_construct(
        method=Method.LINEAR, hyperparameters=Hyperparameters(epochs=3), num_nodes=1
    )
    story = Story().sees(None).sees(a_run())
    spec = story.job.spec.model_copy(update={"trainer": trainer})
    story.job = story.job.model_copy(update={"spec": spec})
    assert story.runs()[0].params["epochs"] == "3"


def test_what_is_too_long_is_cut_and_odd_names_are_made_fit() -> None:
    story = Story().sees(None).sees(a_run()).progress(1, **{"<script>é": "1", "x" * 400: "2"})
    story.job = a_training_job(
        status=story.job.status, base_model={"storageUri": "file:///" + "b" * 900}
    )
    story.event("Retrying", "y" * 9000)
    (run,) = story.runs()
    assert len(run.tags["sentops.dev/message"]) == 5000
    assert run.tags["sentops.dev/message"].endswith("…")
    keys = [point.key for point in run.points]
    assert keys[0] == "training._script__"
    assert max(map(len, keys)) == 250


def test_the_same_words_have_the_same_fingerprint_and_others_another() -> None:
    story = Story().sees(None).sees(a_run())
    before = fingerprint(*story.runs())
    assert fingerprint(*story.runs()) == before
    assert fingerprint(*story.progress(3).runs()) != before


def test_a_version_tells_its_digest_phase_and_verdict() -> None:
    gate = GateResult(verdict=Verdict.INCONCLUSIVE, reasons=("Too few.", "Wait."), samples=9)
    version = a_model_version(3, gate_result=gate)
    wanted = wanted_version(ModelVersionRow(version, None, "ada", NOW))
    assert wanted.model == "sentiment"
    assert wanted.identity == {
        "sentops.dev/model-version": "sentiment-v3",
        "sentops.dev/digest": version.spec.artifact.digest,
    }
    assert wanted.tags["sentops.dev/phase"] == "Pending"
    assert wanted.tags["sentops.dev/verdict"] == "Inconclusive"
    assert wanted.tags["sentops.dev/gate-reasons"] == "Too few. Wait."


def test_aliases_follow_the_routing() -> None:
    def routed(*variants: tuple[str, str], champion: str | None) -> RoutingRow:
        made = tuple(
            Variant(name=name, url="http://m", model_version=version, digest=a_digest(), weight=50)
            for name, version in variants
        )
        return RoutingRow(Routing(revision=1, variants=made), champion)

    assert wanted_aliases(routed(champion=None)) == {}
    assert wanted_aliases(routed(("champion", "v1"), champion="v1")) == {"champion": "v1"}
    both = routed(("champion", "v1"), ("candidate", "v2"), champion="v1")
    assert wanted_aliases(both) == {"champion": "v1", "candidate": "v2"}
