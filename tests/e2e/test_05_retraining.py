"""Nobody starts a training: people correct answers, and the policy does."""

from tests.e2e.support.documents import a_retrain_policy, condition
from tests.e2e.support.platform import JOB, RETRAIN_POLICY, Platform
from tests.e2e.support.waiting import holds, until
from tests.support.reviews import some_reviews

LABEL = "sentops.dev/retrain-policy"


def trainings(platform: Platform, policy: str) -> list[str]:
    jobs = platform.kubectl.list(JOB, {LABEL: policy})
    return [job["metadata"]["name"] for job in jobs]


def test_corrections_that_people_send_become_a_training(platform: Platform, first: str) -> None:
    by_labels = {"newLabels": {"min": 6}}
    try:
        platform.kubectl.apply(
            a_retrain_policy("by-labels", base=platform.base, triggers=by_labels)
        )
        platform.decides("by-labels", "Wait", words="of 6 wanted")
        platform.correct(some_reviews(12, seed=31))
        [name] = until(lambda: trainings(platform, "by-labels"), seconds=120)
        status = until(
            lambda: platform.kubectl.there(RETRAIN_POLICY, "by-labels")["status"],
            lambda status: status.get("lastTrainingJob") == name,
            seconds=30,
        )
        assert status["trainingsToday"] == 1
        job = platform.succeeded(name)
        assert job["metadata"]["labels"][LABEL] == "by-labels"
        assert job["spec"]["dataset"]["contentHash"] != platform.dataset["contentHash"]
        assert job["status"]["gateResult"]["verdict"] == "Pass"
        assert platform.champion() == first, "mode Never leaves serving alone"
        with platform.backoffice() as client:
            lines = client.get("/backoffice/api/audit", params={"subject": "by-labels"}).text
        assert "policy:by-labels" in lines
        assert "retrain_policy.decided" in lines
        platform.correct(some_reviews(12, seed=32))
        platform.decides("by-labels", "Wait", words="began less than 3600 s before", seconds=120)
        holds(lambda: trainings(platform, "by-labels"), lambda found: found == [name], seconds=12)
    finally:
        platform.kubectl.delete(RETRAIN_POLICY, "by-labels")


def test_a_dry_run_only_says_what_it_would_do(platform: Platform, first: str) -> None:
    soon = {"schedule": {"cron": "* * * * *", "timeZone": "Europe/Rome"}}
    try:
        platform.kubectl.apply(
            a_retrain_policy(
                "dry",
                base=platform.base,
                triggers=soon,
                guards={"minNewLabels": 0},
                dry_run=True,
            )
        )
        status = platform.decides("dry", "Wait", words="began less than", seconds=150)
        assert [start["dryRun"] for start in status["recentStarts"]] == [True]
        assert trainings(platform, "dry") == []
    finally:
        platform.kubectl.delete(RETRAIN_POLICY, "dry")


def test_a_policy_that_cannot_be_is_told_so(platform: Platform) -> None:
    document = a_retrain_policy(
        "odd", base=platform.base, triggers={"schedule": {"cron": "0 99 * * *"}}
    )
    try:
        platform.kubectl.apply(document)
        platform.kubectl.wait(f"{RETRAIN_POLICY}/odd", "condition=Ready=False", 60)
        found = platform.kubectl.there(RETRAIN_POLICY, "odd")
        assert condition(found, "Ready")[1] == "InvalidSpec"
        assert "is no cron expression" in condition(found, "Ready")[2]
    finally:
        platform.kubectl.delete(RETRAIN_POLICY, "odd")
