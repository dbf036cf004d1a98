"""What goes wrong with a training is said in its conditions, within seconds, and costs nothing else."""

import pytest

from tests.e2e.support.documents import SLOW, SPARE_MODEL, a_training_job, condition, phase
from tests.e2e.support.platform import JOB, VERSION, Platform
from tests.e2e.support.waiting import NeverAgain, holds, until

NEVER = {"mode": "Never"}
SECONDS = 60


def test_a_job_deleted_while_it_trains_is_made_again_and_the_training_completes(
    platform: Platform,
) -> None:
    platform.train("deleted", model=SPARE_MODEL, trainer=SLOW, promotion=NEVER)
    platform.running("deleted")
    (job,) = platform.children("deleted")
    platform.kubectl.delete("job", job["metadata"]["name"], "--wait=false")
    until(
        lambda: platform.children("deleted"),
        lambda jobs: jobs and all(one["metadata"]["uid"] != job["metadata"]["uid"] for one in jobs),
        seconds=SECONDS,
        every=0.5,
    )
    version = platform.version_of("deleted", seconds=280)
    made = [
        one
        for one in platform.kubectl.list(VERSION)
        if one["spec"].get("trainingJobRef", {}).get("name") == "deleted"
    ]
    assert [one["metadata"]["name"] for one in made] == [version]


def test_an_operator_killed_while_a_training_runs_makes_no_second_job(platform: Platform) -> None:
    platform.train("survivor", model=SPARE_MODEL, trainer=SLOW, promotion=NEVER)
    platform.running("survivor")
    (job,) = platform.children("survivor")
    operator = {"app.kubernetes.io/component": "operator", "app.kubernetes.io/instance": "sentops"}
    for pod in platform.kubectl.list("pods", operator):
        platform.kubectl.delete("pod", pod["metadata"]["name"], "--force", "--grace-period=0")
    finished = platform.succeeded("survivor", seconds=280)
    (same,) = platform.children("survivor")
    assert same["metadata"]["uid"] == job["metadata"]["uid"]
    assert finished["status"]["attempt"] == 1
    platform.kubectl.run(
        "rollout", "status", "deployment/sentops-operator", "--timeout=120s", seconds=150
    )


def test_a_running_training_shows_its_progress_and_ends_when_it_is_cancelled(
    platform: Platform,
) -> None:
    """Progress comes from the run itself, with a token that is good for this one job."""
    platform.train("cancelled", model=SPARE_MODEL, trainer=SLOW, promotion=NEVER)
    platform.running("cancelled")

    def progress() -> object:
        job = platform.job("cancelled")
        if condition(job, "Complete")[0] == "True":
            raise NeverAgain("it completed before any progress was seen")
        return (job["status"].get("trainerStatus") or {}).get("progressPercentage")

    until(progress, lambda percent: percent is not None, seconds=120)
    platform.kubectl.run("annotate", JOB, "cancelled", "sentops.dev/cancel=e2e")
    job = platform.finished("cancelled", seconds=SECONDS)
    assert condition(job, "Failed")[:2] == ("True", "Cancelled")
    until(lambda: not platform.active_pods("cancelled"), seconds=150)
    platform.kubectl.wait(f"{JOB}/cancelled", "condition=Failed", 5)


def test_a_suspended_training_frees_its_node_and_goes_on_when_it_is_resumed(
    platform: Platform,
) -> None:
    platform.train("paused", model=SPARE_MODEL, trainer=SLOW, promotion=NEVER)
    platform.running("paused")
    platform.kubectl.patch(JOB, "paused", {"spec": {"suspend": True}})
    platform.condition_becomes("paused", "Suspended", ("True", "Suspended"), seconds=SECONDS)
    assert phase(platform.job("paused")) == "Suspended"
    until(lambda: not platform.active_pods("paused"), seconds=150)
    holds(lambda: phase(platform.job("paused")), lambda one: one == "Suspended", seconds=5)
    platform.kubectl.patch(JOB, "paused", {"spec": {"suspend": False}})
    platform.condition_becomes("paused", "Suspended", ("False", "Resumed"), seconds=SECONDS)
    platform.running("paused")
    platform.kubectl.run("annotate", JOB, "paused", "sentops.dev/cancel=e2e")
    platform.finished("paused", seconds=SECONDS)


def test_a_job_no_node_takes_says_so_and_leaves_nothing_when_it_is_deleted(
    platform: Platform,
) -> None:
    selector = {"nodeSelector": {"sentops.dev/no-such-node": "true"}}
    platform.train("nowhere", model=SPARE_MODEL, pod_template=selector, promotion=NEVER)
    message = platform.condition_becomes(
        "nowhere", "Trained", ("Unknown", "Unschedulable"), seconds=30
    )
    assert "node" in message
    assert phase(platform.job("nowhere")) == "Pending"
    platform.kubectl.delete(JOB, "nowhere")
    until(
        lambda: not platform.children("nowhere") and not platform.children("nowhere", "pods,pvc"),
        seconds=120,
    )


def test_an_image_that_cannot_be_pulled_is_named(platform: Platform) -> None:
    image = "registry.invalid/no-such-image:0"
    platform.train("no-image", model=SPARE_MODEL, trainer={"image": image}, promotion=NEVER)
    message = platform.condition_becomes(
        "no-image", "Trained", ("Unknown", "ImagePullFailed"), seconds=90
    )
    assert image in message
    platform.kubectl.delete(JOB, "no-image")


def test_a_run_that_needs_more_memory_than_it_may_have_says_so(platform: Platform) -> None:
    little = {"requests": {"memory": "48Mi"}, "limits": {"memory": "48Mi"}}
    platform.train(
        "too-small",
        model=SPARE_MODEL,
        trainer={"resources": little},
        promotion=NEVER,
        backoffLimit=0,
    )
    job = platform.finished("too-small", seconds=120)
    assert condition(job, "Failed")[:2] == ("True", "BackoffLimitExceeded")
    assert condition(job, "Trained")[:2] == ("False", "OutOfMemory")


def test_a_dataset_with_another_hash_fails_at_once_and_is_not_tried_again(
    platform: Platform,
) -> None:
    other = {**platform.dataset, "contentHash": "sha256:" + "0" * 64}
    job = a_training_job(
        "other-data", base=platform.base, dataset=other, model=SPARE_MODEL, promotion=NEVER
    )
    platform.kubectl.apply(job)
    found = platform.finished("other-data", seconds=120)
    assert condition(found, "Failed")[:2] == ("True", "BadData")
    assert found["status"]["attempt"] == 1
    assert len(platform.children("other-data")) == 1


def test_leftovers_go_after_their_time_and_nothing_else_does(platform: Platform) -> None:
    platform.train("short-lived", model=SPARE_MODEL, promotion=NEVER, ttlSecondsAfterFinished=5)
    version = platform.version_of("short-lived")
    uid = platform.job("short-lived")["metadata"]["uid"]
    until(
        lambda: (
            not platform.children("short-lived")
            and not platform.children("short-lived", "pods")
            and not platform.children("short-lived", "pvc")
        ),
        seconds=150,
    )
    holds(lambda: platform.children("short-lived"), lambda jobs: not jobs, seconds=10)
    job = platform.job("short-lived")
    assert (job["metadata"]["uid"], phase(job)) == (uid, "Succeeded")
    assert phase(platform.version(version)) == "Pending", "a candidate that nobody asked for"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"trainer": {"method": "FineTune", "hyperparameters": {"learningRate": "5"}}},
            "learningRate must be",
        ),
        ({"trainer": {"method": "FineTune", "hyperparameters": {"epochs": 0}}}, "epochs"),
        ({"output": {"storageUri": "ftp://somewhere"}}, "No place for artefacts"),
        (
            {"trainer": {"method": "Linear", "hyperparameters": {"epochs": 3}}},
            "The method Linear uses only",
        ),
        (
            {"gate": {"mustPass": [{"text": "bello", "label": "unheard-of"}]}},
            "gate.mustPass names a label",
        ),
        ({"gaet": {}}, "gaet"),
    ],
    ids=[
        "out-of-range",
        "below-minimum",
        "unknown-place",
        "unused",
        "unknown-label",
        "unknown-field",
    ],
)
def test_an_invalid_training_job_is_refused_with_a_sentence(
    platform: Platform, change: dict[str, object], sentence: str
) -> None:
    job = a_training_job("invalid", base=platform.base, dataset=platform.dataset)
    job["spec"].update(change)
    assert sentence in platform.kubectl.refusal(job)
    assert platform.kubectl.get(JOB, "invalid") is None


def test_a_job_that_has_started_cannot_be_made_another_one(platform: Platform, first: str) -> None:
    change = {"spec": {"modelName": "something-else"}}
    with pytest.raises(AssertionError, match="has started, so only suspend"):
        platform.kubectl.patch(JOB, "first", change)
    with pytest.raises(AssertionError, match="only desiredState and approval can change"):
        platform.kubectl.patch(VERSION, first, {"spec": {"version": 99}})
