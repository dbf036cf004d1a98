"""Training pages and their API: starting, following, stopping and comparing."""

import re
from pathlib import Path

import httpx
import pytest

from sentops_backoffice.training_form import HYPERPARAMETERS, ONLY_FINE_TUNE, read_training_form
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import Hyperparameters, Method, unused_hyperparameters
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.training_jobs import TrainingJobs
from tests.services.backoffice.model_pages import add_running, add_texts, add_trained
from tests.services.backoffice.support import XSS, Browser, RecordingTrainer, a_backoffice
from tests.support.builders import a_fast_path_report, a_training_job
from tests.support.postgres import a_free_port

pg = pytest.mark.pg


# The form


def test_an_empty_form_asks_for_the_defaults() -> None:
    found = read_training_form({"dataset_id": "v1", "csrf": "x", "epochs": " "})
    assert (found.body, found.mistakes) == ({"dataset_id": "v1"}, {})


def test_a_full_form_says_all_that_the_api_takes() -> None:
    found = read_training_form(
        {
            "dataset_id": "v2",
            "name": "slow-one",
            "method": "FineTune",
            "base": "other",
            "base_uri": "hf://org/name@main",
            "epochs": "6",
            "learning_rate": "5e-5",
            "weight_decay": "0,05",
            "gate_macro_f1": "0.7",
            "gate_accuracy": ".6",
            "gate_drop": "0.01",
            "gate_recall": "0.5",
            "gate_rows": "200",
            "must_pass": "negative: it arrived: broken\n\nPositive: great",
            "fast_path": "Off",
            "promotion": "Manual",
            "takeover": "in_steps",
            "shadow_minutes": "30",
            "min_votes": "50",
        }
    )
    assert found.mistakes == {}
    assert found.body["hyperparameters"] == {
        "epochs": 6,
        "learningRate": "5e-5",
        "weightDecay": "0.05",
    }
    assert found.body["gate"] == {
        "minSamples": 200,
        "metrics": [
            {"name": "macro_f1", "min": "0.7", "maxDropVsChampion": "0.01"},
            {"name": "accuracy", "min": "0.6", "maxDropVsChampion": "0.01"},
        ],
        "perClassMin": {"recall": "0.5"},
        "mustPass": [
            {"label": "negative", "text": "it arrived: broken"},
            {"label": "positive", "text": "great"},
        ],
    }
    assert found.body["fast_path"] == "Off"
    rollout = found.body["promotion"]["rollout"]
    assert (rollout["shadowSeconds"], rollout["minSamples"]) == (1800, 50)
    assert {"analysis": True} in rollout["steps"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", "0"),
        ("epochs", "1.5"),
        ("epochs", "١"),
        ("learning_rate", "0"),
        ("learning_rate", "1"),
        ("learning_rate", "nan"),
        ("seed", "-1"),
        ("seed", "9" * 30),
        ("gate_recall", "2"),
        ("name", "Not A Name"),
        ("name", XSS),
        ("base", "huge"),
        ("must_pass", "no label here"),
        ("must_pass", "negative: x\n" * 101),
        ("promotion", "Maybe"),
        ("fast_path", "Sometimes"),
        ("takeover", "quickly"),
        ("min_votes", "3"),
    ],
)
def test_a_value_that_cannot_be_is_a_mistake_of_its_field(field: str, value: str) -> None:
    assert set(read_training_form({field: value}).mistakes) == {field}


def test_the_quick_method_refuses_what_the_api_refuses() -> None:
    values = dict.fromkeys(HYPERPARAMETERS, "10") | {
        "learning_rate": "0.001",
        "weight_decay": "0.1",
        "warmup_ratio": "0.1",
    }
    given = Hyperparameters.model_validate(
        {name: int(value) if value.isdigit() else value for name, value in values.items()}
    )
    refused = unused_hyperparameters(Method.LINEAR, given)
    assert len(refused) == len(ONLY_FINE_TUNE)
    found = read_training_form({"method": "Linear", **values})
    assert set(found.mistakes) == set(ONLY_FINE_TUNE)


@pg
async def test_the_simple_case_is_one_button(
    admin: Browser, api: httpx.AsyncClient, trainer: RecordingTrainer
) -> None:
    from tests.services.backoffice.support import labelled_csv

    page = (await admin.client.get("/backoffice/training")).text
    assert "There is no dataset yet" in page
    await api.post("/backoffice/api/datasets", files={"file": ("t.csv", labelled_csv(120))})
    page = (await admin.client.get("/backoffice/training")).text
    assert "Train on v1" in page
    answer = await admin.send("/backoffice/train", dataset_id="v1")
    assert answer.headers["location"] == "/backoffice/training?done=training.started"
    assert trainer.asked == [("/train", {"dataset_id": "v1"}, "admin")]


@pg
async def test_mistakes_are_said_at_their_fields_in_the_readers_language_and_nothing_is_lost(
    admin: Browser, trainer: RecordingTrainer
) -> None:
    answer = await admin.send(
        "/backoffice/train?lang=it", method="Linear", epochs="3", weight_decay="2", must_pass=XSS
    )
    assert answer.status_code == 422
    assert trainer.asked == []
    assert "Il metodo lineare non lo usa" in answer.text
    assert 'value="3"' in answer.text
    assert XSS not in answer.text
    assert "&lt;script&gt;" in answer.text


@pg
async def test_a_refusal_of_the_trainer_keeps_what_was_typed(
    admin: Browser, trainer: RecordingTrainer
) -> None:
    trainer.refuse = (409, "A training job named x exists already; choose another name.")
    answer = await admin.send("/backoffice/train", name="x", epochs="7")
    assert (answer.status_code, 'value="7"' in answer.text) == (409, True)
    assert "choose another name" in answer.text


@pg
async def test_a_trainer_that_is_away_costs_neither_the_form_nor_the_page_of_a_job(
    database_url: str, tmp_path: Path, pool: Pool
) -> None:
    from tests.services.backoffice.support import FIRST_PASSWORD, PASSWORD

    async with transaction(pool) as connection:
        await add_running(connection)
    nobody = f"http://127.0.0.1:{a_free_port()}"
    async with (
        a_backoffice(database_url, tmp_path, nobody) as backoffice,
        backoffice.client() as client,
    ):
        admin = Browser(client)
        await admin.log_in("admin", FIRST_PASSWORD)
        await admin.choose_password(FIRST_PASSWORD, PASSWORD)
        answer = await admin.send("/backoffice/train", epochs="7")
        assert (answer.status_code, 'value="7"' in answer.text) == (503, True)
        assert "Nothing you entered is lost" in answer.text
        page = await client.get("/backoffice/training/running")
        assert (page.status_code, "the log cannot be shown" in page.text) == (200, True)
        assert "Macro-F1 when checked" in page.text
        answer = await admin.send("/backoffice/training/running/cancel")
        assert (answer.status_code, "does not answer just now" in answer.text) == (503, True)
        api = await client.get("/backoffice/api/training-jobs/running/log")
        assert (api.status_code, api.headers["retry-after"]) == (503, "5")


# One job


@pg
async def test_a_running_job_shows_progress_state_curve_and_log(
    admin: Browser, trainer: RecordingTrainer, pool: Pool, api: httpx.AsyncClient
) -> None:
    async with transaction(pool) as connection:
        await add_running(connection)
    page = (await admin.client.get("/backoffice/training/running")).text
    assert 'value="50"' in page
    assert "About 10 minutes left." in page
    assert "It computes." in page
    assert "Attempt 1 is running." in page
    assert 'data-live="3"' in page
    assert page.count("<polyline") >= 1
    assert "a-job" in page  # what the recording trainer gives as its log
    assert ("/training-jobs/running/log", None, None) in trainer.asked
    points = (await api.get("/backoffice/api/training-jobs/running/curve")).json()["points"]
    assert len(points) == 10
    assert points[4]["values"]["eval_macro_f1"] == 0.61
    assert "eval_macro_f1" not in points[5]["values"]
    events = (await api.get("/backoffice/api/training-jobs/running/events")).json()["events"]
    assert [one["reason"] for one in events][:2] == ["Created", "RunStarted"]
    job = (await api.get("/backoffice/api/training-jobs/running")).json()
    assert job["job"]["status"]["phase"] == "Running"


@pg
async def test_a_finished_job_is_not_followed_and_has_the_curve_of_its_artefact(
    admin: Browser, pool: Pool, tmp_path: Path, api: httpx.AsyncClient
) -> None:
    async with transaction(pool) as connection:
        fast_path = a_fast_path_report()
        await add_trained(connection, tmp_path, 1, wrong=(1, 2, 3), fast_path=fast_path)
    page = (await admin.client.get("/backoffice/training/training-1")).text
    assert "Macro-F1 without it" in page
    assert "data-live=" not in page
    assert "sentiment-v1" in page
    points = (await api.get("/backoffice/api/training-jobs/training-1/curve")).json()["points"]
    assert [one["epoch"] for one in points] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert points[1]["values"] == {"loss": 0.8, "eval_macro_f1": 0.6, "eval_loss": 0.8}


@pg
async def test_what_can_be_lost_is_asked_about_first(
    admin: Browser, pool: Pool, trainer: RecordingTrainer
) -> None:
    async with transaction(pool) as connection:
        await add_running(connection, "thorough")
        await add_running(connection, "quick", trainer={"method": "Linear"})
    page = (await admin.client.get("/backoffice/training/thorough")).text
    assert 'action="/backoffice/training/thorough/suspend"' in page
    assert 'href="/backoffice/training/thorough/cancel"' in page
    page = (await admin.client.get("/backoffice/training/quick")).text
    assert 'href="/backoffice/training/quick/suspend"' in page
    assert trainer.asked == [
        ("/training-jobs/thorough/log", None, None),
        ("/training-jobs/quick/log", None, None),
    ]
    trainer.asked.clear()
    for name, action, said in (
        ("thorough", "cancel", "50.0\N{NO-BREAK SPACE}% of the work"),
        ("quick", "suspend", "begins that part anew"),
    ):
        question = await admin.client.get(f"/backoffice/training/{name}/{action}")
        assert said in question.text
        assert trainer.asked == []
        answer = await admin.send(f"/backoffice/training/{name}/{action}")
        assert answer.headers["location"] == f"/backoffice/training/{name}?done=training.{action}"
        assert trainer.asked == [(f"/training-jobs/{name}/{action}", None, "admin")]
        trainer.asked.clear()


@pg
async def test_the_api_suspends_resumes_and_cancels(
    api: httpx.AsyncClient, trainer: RecordingTrainer
) -> None:
    for action in ("suspend", "resume", "cancel"):
        answer = await api.post(f"/backoffice/api/training-jobs/j-1/{action}")
        assert answer.status_code == 202
    assert [path for path, _, _ in trainer.asked] == [
        f"/training-jobs/j-1/{action}" for action in ("suspend", "resume", "cancel")
    ]
    trainer.refuse = (409, "Training job j-1 is failed and cannot be cancelled any more.")
    refused = await api.post("/backoffice/api/training-jobs/j-1/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


@pg
async def test_a_job_that_was_deleted_from_the_cluster_is_history(
    admin: Browser, pool: Pool, trainer: RecordingTrainer
) -> None:
    from sentops_core.domain.resources import Metadata
    from tests.services.backoffice.model_pages import NOW

    job = a_training_job("gone")
    metadata = Metadata(name="gone", namespace="team", deletion_timestamp=NOW)
    job = job.model_copy(update={"metadata": metadata})
    async with transaction(pool) as connection:
        await TrainingJobs(connection).create(job, created_by="ada")
    page = (await admin.client.get("/backoffice/training/gone")).text
    assert "was deleted from the cluster" in page
    assert "data-live=" not in page
    assert "/cancel" not in page
    assert trainer.asked == []


@pg
async def test_jobs_come_in_pages(api: httpx.AsyncClient, pool: Pool) -> None:
    async with transaction(pool) as connection:
        for number in range(5):
            await TrainingJobs(connection).create(a_training_job(f"job-{number}"), created_by="ada")
    names, before = [], ""
    while True:
        query = {"limit": 2, "before": before}
        page = (await api.get("/backoffice/api/training-jobs", params=query)).json()
        names += [one["job"]["metadata"]["name"] for one in page["jobs"]]
        before = page.get("next")
        if not before:
            break
    assert sorted(names) == [f"job-{number}" for number in range(5)]
    assert (await api.get("/backoffice/api/training-jobs?before=x")).status_code == 422


# Comparing


@pg
async def test_trainings_are_compared_side_by_side(
    admin: Browser, api: httpx.AsyncClient, pool: Pool, tmp_path: Path
) -> None:
    async with transaction(pool) as connection:
        await add_texts(connection)
        await add_trained(connection, tmp_path, 1, wrong=(1, 2, 3, 4))
        await add_trained(
            connection, tmp_path, 2, wrong=(3, 4, 5), trainer={"hyperparameters": {"epochs": 9}}
        )
        await add_trained(connection, tmp_path, 3, answers=False)
    address = "/backoffice/compare?job=training-1&job=training-2"
    page = (await admin.client.get(address)).text
    rows = re.findall(r"<tr class=\"differs\"><th scope=\"row\">([^<]+)", page)
    assert rows == ["Epochs"]
    assert page.count("<script>alert") == 0
    assert "&lt;script&gt;alert(5)" in page
    assert page.count('class="confusion"') == 2
    found = (await api.get(f"/backoffice/api/training-comparison?{address.split('?')[1]}")).json()
    assert [run["letter"] for run in found["runs"]] == ["A", "B"]
    assert found["same_rows"] is False  # their dataset is not known here
    measured = found["runs"][0]["measured"]["macro_f1"]
    assert measured["low"] < measured["value"] < measured["high"]
    query = "first=training-1&second=training-2"
    differ = (await api.get(f"/backoffice/api/training-disagreements?{query}")).json()
    assert (differ["rows"], differ["both_right"], differ["neither_right"]) == (30, 25, 2)
    assert (differ["only_first_right"], differ["only_second_right"]) == (1, 2)
    assert sorted(row["who"] for row in differ["disagreements"]) == ["first", "second", "second"]
    only = (await api.get(f"/backoffice/api/training-disagreements?{query}&who=first")).json()
    assert [row["text"][:15] for row in only["disagreements"]] == ["Review number 5"]
    first = (await api.get(f"/backoffice/api/training-disagreements?{query}&limit=2")).json()
    rest = await api.get(
        f"/backoffice/api/training-disagreements?{query}&limit=2&after={first['next']}"
    )
    assert len(first["disagreements"]) == 2
    assert len(rest.json()["disagreements"]) == 1
    assert rest.json()["next"] is None
    three = (await admin.client.get(f"{address}&job=training-3&pair=AC&who=")).text
    assert "What C answered row by row is not there" in three
    missing = await api.get(
        "/backoffice/api/training-disagreements?first=training-1&second=training-3"
    )
    assert missing.status_code == 404


@pg
async def test_an_erased_text_is_not_shown_again(
    admin: Browser, pool: Pool, tmp_path: Path
) -> None:
    async with transaction(pool) as connection:
        await add_texts(connection)
        await add_trained(connection, tmp_path, 1, wrong=(3,))
        await add_trained(connection, tmp_path, 2)
    page = (await admin.client.get("/backoffice/compare?job=training-1&job=training-2")).text
    assert "<em>erased</em>" in page
    assert "Review number" not in page


@pg
async def test_one_or_seven_trainings_are_no_comparison(
    admin: Browser, api: httpx.AsyncClient
) -> None:
    for names in (["a"], [f"job-{n}" for n in range(7)], ["a", "a"]):
        answer = await admin.client.get("/backoffice/compare", params={"job": names})
        assert answer.headers["location"] == "/backoffice/training?done=training.choose"
    for query in ("job=a", "job=a&job=a", "job=a&job=b"):
        answer = await api.get(f"/backoffice/api/training-comparison?{query}")
        assert answer.status_code in {404, 422}


@pg
async def test_viewers_look_and_admins_act(
    admin: Browser, api: httpx.AsyncClient, pool: Pool, backoffice: object
) -> None:
    from sentops_core.store.tokens import ApiTokens, Role

    async with transaction(pool) as connection:
        await add_running(connection)
        token = await ApiTokens(connection).create("v", Role.VIEWER, created_by="ada")
    headers = {"authorization": f"Bearer {token.secret}"}
    for path in ("training", "training/running", "versions", "lineage"):
        assert (await api.get(f"/backoffice/{path}", headers=headers)).status_code == 200, path
    assert "/cancel" not in (await api.get("/backoffice/training/running", headers=headers)).text
    for path in ("train", "training/running/cancel", "versions/v/promote"):
        assert (await api.get(f"/backoffice/{path}", headers=headers)).status_code == 403, path
    for path in ("train", "api/train", "training/running/cancel", "api/training-jobs/a/cancel"):
        assert (await api.post(f"/backoffice/{path}", headers=headers)).status_code == 403, path


def test_before_is_what_a_page_gave() -> None:
    from sentops_backoffice.trainings import parse_before

    assert parse_before("") is None
    with pytest.raises(InvalidInput):
        parse_before("yesterday,job")
