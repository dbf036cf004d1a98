"""Training and versions: the backoffice asks the control plane, in the person's name."""

import re
from pathlib import Path

import httpx
import pytest

from tests.services.backoffice.support import Browser, RecordingTrainer, a_backoffice
from tests.support.postgres import a_free_port

pytestmark = pytest.mark.pg


async def test_a_training_is_asked_for_in_the_words_it_came_in(
    api: httpx.AsyncClient, trainer: RecordingTrainer
) -> None:
    body = {
        "dataset_id": "v1",
        "method": "Linear",
        "hyperparameters": {"epochs": 2, "learningRate": "5e-5"},
    }
    answer = await api.post("/backoffice/api/train", json=body)
    assert (answer.status_code, answer.json()["name"]) == (202, "a-job")
    ((path, sent, actor),) = trainer.asked
    assert (path, actor) == ("/train", "api")
    assert sent == {
        "dataset_id": "v1",
        "method": "Linear",
        "hyperparameters": {"epochs": 2, "learningRate": "5e-5", "seed": 42},
    }


async def test_the_command_names_the_person_it_asks_for(
    api: httpx.AsyncClient, trainer: RecordingTrainer
) -> None:
    headers = {"x-sentops-actor": "cli:ada"}
    await api.post("/backoffice/api/train", headers=headers)
    assert trainer.asked == [("/train", {}, "cli:ada")]


async def test_a_proxy_of_the_environment_never_hears_the_trainers_token(
    database_url: str,
    tmp_path: Path,
    trainer: RecordingTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{a_free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with (
        a_backoffice(database_url, tmp_path, trainer.url) as backoffice,
        backoffice.api() as api,
    ):
        assert (await api.post("/backoffice/api/train")).status_code == 202


async def test_a_training_needs_no_body(api: httpx.AsyncClient, trainer: RecordingTrainer) -> None:
    assert (await api.post("/backoffice/api/train")).status_code == 202
    assert trainer.asked == [("/train", {}, "api")]


async def test_a_bad_training_is_refused_here(
    api: httpx.AsyncClient, trainer: RecordingTrainer
) -> None:
    for body in (
        {"colour": 1},
        {"hyperparameters": {"learningRate": "9"}},
        {"hyperparameters": {"epochs": 0}},
        {"method": "x"},
    ):
        assert (await api.post("/backoffice/api/train", json=body)).status_code == 422, body
    assert trainer.asked == []


async def test_a_refusal_of_the_control_plane_keeps_its_sentence(
    api: httpx.AsyncClient, trainer: RecordingTrainer
) -> None:
    for refused, answered in ((404, 404), (409, 409), (422, 422), (503, 503), (500, 503)):
        trainer.refuse = (refused, "There is no dataset version v9.")
        answer = await api.post("/backoffice/api/train", json={"dataset_id": "v9"})
        assert answer.status_code == answered
        assert answer.json()["detail"] == "There is no dataset version v9."
    lines = (await api.get("/backoffice/api/audit")).json()["lines"]
    assert [line["action"] for line in lines] == ["user.created"]


async def test_a_control_plane_that_is_away_is_said_to_be(
    database_url: str, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{a_free_port()}"
    async with a_backoffice(database_url, tmp_path, nobody) as backoffice, backoffice.api() as api:
        answer = await api.post("/backoffice/api/train")
    assert (answer.status_code, "does not answer" in answer.json()["detail"]) == (503, True)
    assert answer.headers["retry-after"]


async def test_the_buttons_ask_in_the_name_of_the_person(
    admin: Browser, trainer: RecordingTrainer
) -> None:
    assert (await admin.send("/backoffice/train", dataset_id="v1")).status_code == 303
    for path, shown in (
        ("versions/m-1/promote", "versions/m-1"),
        ("versions/m-1/rollback", "versions/m-1"),
        ("versions/m-1/archive", "versions/m-1"),
        ("training/j-1/cancel", "training/j-1"),
    ):
        answer = await admin.send(f"/backoffice/{path}")
        assert answer.headers["location"].startswith(f"/backoffice/{shown}?done=")
    assert trainer.asked == [
        ("/train", {"dataset_id": "v1"}, "admin"),
        ("/model-versions/m-1/promote", None, "admin"),
        ("/model-versions/m-1/rollback", None, "admin"),
        ("/model-versions/m-1/archive", None, "admin"),
        ("/training-jobs/j-1/cancel", None, "admin"),
    ]


async def test_an_unknown_action_is_no_address_of_the_control_plane(
    admin: Browser, trainer: RecordingTrainer
) -> None:
    for path in ("versions/m-1/delete", "versions/..%2f..%2fx/promote", "training/j/log"):
        assert (await admin.send(f"/backoffice/{path}")).status_code in {404, 422}
    assert trainer.asked == []


async def test_a_refused_button_says_why_on_a_page(
    admin: Browser, trainer: RecordingTrainer
) -> None:
    trainer.refuse = (409, "m-1 is quarantined.")
    answer = await admin.send("/backoffice/versions/m-1/promote")
    assert (answer.status_code, "m-1 is quarantined." in answer.text) == (409, True)


async def test_lineage_of_nothing_known_is_refused(api: httpx.AsyncClient) -> None:
    for prediction in ("hello", "0" * 32 + "-" + "0" * 16):
        answer = await api.get(f"/backoffice/api/lineage/{prediction}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_values_that_no_column_can_hold_are_bad_input(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    for path in (
        "/backoffice/audit?before=99999999999999999999",
        "/backoffice/api/audit?subject=%00",
        "/backoffice/api/datasets/v%00",
    ):
        answer = await api.get(path)
        assert answer.status_code == 422, path
        if "/api/" in path:
            assert "cannot hold" in answer.text
    token = {"name": "a\0", "scope": "viewer"}
    assert (await api.post("/backoffice/api/tokens", json=token)).status_code == 422
    page = await anyone.get("/backoffice/login")
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
    form = {"csrf": csrf, "name": "a\0", "password": "b"}
    cookies = {"cookie": f"sentops_login={csrf}"}
    assert (await anyone.post("/backoffice/login", data=form, headers=cookies)).status_code == 422
