"""kubectl apply, and a model serves: the way everybody goes first."""

from tests.e2e.support.documents import LENIENT_GATE, SPARE_MODEL, condition, phase
from tests.e2e.support.platform import JOB, VERSION, Platform, predict
from tests.e2e.support.release import MODEL
from tests.e2e.support.waiting import until


def test_an_applied_training_job_completes_and_names_its_version(
    platform: Platform, first: str
) -> None:
    platform.kubectl.wait(f"{JOB}/first", "condition=Complete", 10)
    job = platform.job("first")
    assert phase(job) == "Succeeded"
    assert condition(job, "Trained")[:2] == ("True", "RunFinished")
    assert condition(job, "GatePassed")[:2] == ("True", "GatePassed")
    status = job["status"]
    assert status["observedGeneration"] == job["metadata"]["generation"]
    assert status["gateResult"]["verdict"] == "Pass"
    assert 0 < status["evaluation"]["macroF1"] <= 1
    assert status["modelVersionRef"]["name"] == first


def test_its_version_is_live_with_the_digest_it_was_trained_to(
    platform: Platform, first: str
) -> None:
    platform.kubectl.wait(f"{VERSION}/{first}", "condition=Ready", 10)
    version = platform.version(first)
    digest = version["spec"]["artifact"]["digest"]
    assert version["status"]["servedDigest"] == digest
    assert version["status"]["trafficPercent"] == 100
    assert version["spec"]["trainingJobRef"]["name"] == "first"
    deployment = platform.kubectl.there("deployment", f"{MODEL}-model")
    assert deployment["metadata"]["annotations"]["sentops.dev/champion"] == first
    template = deployment["spec"]["template"]["metadata"]["annotations"]
    assert template["sentops.dev/artifact-digest"] == digest
    platform.kubectl.run(
        "rollout", "status", f"deployment/{MODEL}-model", "--timeout=60s", seconds=90
    )


def test_web_answers_with_that_version_and_the_server_with_that_digest(
    platform: Platform, first: str
) -> None:
    answer = platform.answered_by(first)
    assert answer["label"] in {"negative", "neutral", "positive"}
    assert abs(sum(answer["scores"].values()) - 1) < 0.01
    with platform.http(f"{MODEL}-model", 8501) as client:
        served = client.post("/predict", json={"text": "lovely product"}).json()
    assert (served["model_version"], served["digest"]) == (first, platform.digest(first))
    assert served["label"] == answer["label"]
    with platform.trainer() as client:
        (variant,) = client.get("/routing").json()["variants"]
    assert (variant["modelVersion"], variant["weight"]) == (first, 100)
    assert variant["digest"] == platform.digest(first)


def test_feedback_on_a_prediction_is_taken_and_its_lineage_leads_to_the_training(
    platform: Platform, first: str
) -> None:
    prediction = platform.answered_by(first)
    vote = {"prediction_id": prediction["prediction_id"], "feedback": "negative", "note": "e2e"}
    with platform.web() as client:
        answer = client.post("/api/feedback", json=vote)
        assert answer.status_code == 201, answer.text
        forged = {**vote, "prediction_id": vote["prediction_id"][:-4] + "0000"}
        assert client.post("/api/feedback", json=forged).status_code == 404

    def lineage() -> str:
        with platform.backoffice() as client:
            answer = client.get(f"/backoffice/api/lineage/{prediction['prediction_id']}")
        assert answer.status_code == 200, answer.text
        return answer.text

    until(lineage, lambda text: first in text and '"first"' in text, seconds=120, every=5)


def test_what_happened_is_told_as_events(platform: Platform, first: str) -> None:
    def reasons() -> set[str]:
        events = platform.kubectl.list("events.events.k8s.io")
        ours = {"first", first}
        return {one["reason"] for one in events if one.get("regarding", {}).get("name") in ours}

    until(reasons, lambda found: {"VersionRegistered", "Serving"} <= found, seconds=30)


def test_children_are_labelled_and_owned_so_that_people_find_them(
    platform: Platform, first: str
) -> None:
    (job,) = platform.children("first")
    labels = job["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "sentops-operator"
    assert labels["app.kubernetes.io/part-of"] == "sentops"
    assert labels["sentops.dev/attempt"] == "1"
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("TrainingJob", "first")
    assert owner["uid"] == platform.job("first")["metadata"]["uid"]
    for container in job["spec"]["template"]["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_training_asked_for_over_http_is_a_resource_too(platform: Platform, first: str) -> None:
    request = {
        "name": "by-http",
        "base": platform.base,
        "method": "Linear",
        "gate": LENIENT_GATE,
        "promotion": {"mode": "Never"},
    }
    with platform.trainer() as client:
        answer = client.post("/train", json=request)
        assert answer.status_code == 202, answer.text
        assert platform.job("by-http")["spec"]["modelName"] == MODEL
        version = platform.version_of("by-http")
        shown = client.get("/training-jobs/by-http").json()
        listed = client.get("/model-versions").text
    assert shown["status"]["phase"] == "Succeeded"
    assert version in listed
    assert platform.champion() == first, "mode Never leaves serving alone"


def test_two_nodes_train_one_model_together(platform: Platform) -> None:
    trainer = {
        "method": "FineTune",
        "numNodes": 2,
        "hyperparameters": {"epochs": 2, "maxLength": 32, "learningRate": "5e-3"},
    }
    platform.train("two-nodes", model=SPARE_MODEL, trainer=trainer, promotion={"mode": "Never"})
    platform.version_of("two-nodes", seconds=280)
    (job,) = platform.children("two-nodes")
    assert (job["spec"]["completionMode"], job["status"]["succeeded"]) == ("Indexed", 2)


def test_predictions_of_many_texts_come_in_order(platform: Platform, first: str) -> None:
    texts = ["good lovely ottimo", "bad broken pessimo"] * 4
    platform.answered_by(first)
    with platform.web() as client:
        answers = client.post("/api/predict/batch", json={"texts": texts}).json()["predictions"]
        alone = [predict(client, text)["label"] for text in texts[:2]]
    assert [one["label"] for one in answers] == alone * 4
