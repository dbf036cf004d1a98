"""On an engine: ask, log in, train, correct and look, through the edge and from the server itself."""

import json
import re
import shlex
import shutil
import subprocess

import pytest

from tests.compose.composition import GUIDE, ROOT, composition
from tests.compose.platform import FIRST, Platform
from tests.compose.project import Project
from tests.support.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

NEW_PASSWORD = "a-Long-enough-sentence-of-17-words"


async def test_before_a_first_version_a_question_gets_a_problem_and_no_made_up_answer(
    platform: Platform,
) -> None:
    answer = await platform.edge.post("/api/predict", json={"text": "ottimo prodotto"})
    if answer.is_success:
        pytest.skip("another test has trained a version already")
    assert answer.status_code == 503
    assert answer.json()["code"] == "no_model"
    assert answer.json()["detail"]


def field_of(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page[:500]
    return found[1]


async def log_in(platform: Platform, password: str) -> str:
    """Where the back office leads then; nowhere with a wrong password."""
    page = (await platform.edge.get("/backoffice/login")).text
    form = {"csrf": field_of(page, "csrf"), "name": "admin", "password": password}
    origin = {"origin": str(platform.edge.base_url).rstrip("/")}
    answer = await platform.edge.post("/backoffice/login", data=form, headers=origin)
    if answer.status_code == 303:
        assert "secure" in answer.headers["set-cookie"].lower(), "the program knows of HTTPS"
    return answer.headers.get("location", "")


async def test_the_first_login_makes_the_administrator_choose_a_password(
    platform: Platform,
) -> None:
    first = platform.project.settings["FIRST_ADMIN_PASSWORD"]
    assert await log_in(platform, first) == "/backoffice/password"
    page = (await platform.edge.get("/backoffice/password")).text
    form = {"csrf": field_of(page, "csrf"), "current": first}
    form |= {"new": NEW_PASSWORD, "again": NEW_PASSWORD}
    changed = await platform.edge.post("/backoffice/password", data=form)
    assert (changed.status_code, changed.headers["location"]) == (303, "/backoffice/index")
    assert (await platform.edge.get("/backoffice/index")).status_code == 200
    platform.edge.cookies.clear()
    assert await log_in(platform, first) == ""
    assert await log_in(platform, NEW_PASSWORD) == "/backoffice/index"


async def test_a_version_trained_here_answers_with_https_and_a_correction_counts(
    live: Platform,
) -> None:
    answer = await live.ask("lovely product")
    assert answer["model_version"] == FIRST
    wrong = next(label for label in answer["scores"] if label != answer["label"])
    vote = {"prediction_id": answer["prediction_id"], "feedback": wrong}
    assert (await live.edge.post("/api/feedback", json=vote)).status_code == 201

    async def counted() -> bool:
        report = await live.get("monitor", "/quality")
        return any(
            one["model_version"] == FIRST and one.get("accuracy", {}).get("votes", 0) >= 1
            for one in report["versions"]
        )

    await eventually(counted, within=60, every=1)


async def test_the_command_asks_and_looks_around(live: Platform) -> None:
    said = json.loads(live.project.sentops("predict", "ottimo prodotto", "--json"))
    assert FIRST in str(said)
    assert FIRST in live.project.sentops("status")
    assert FIRST in live.project.sentops("versions")


async def test_metrics_stay_inside(platform: Platform) -> None:
    for path in ("/metrics", "/backoffice/metrics"):
        assert (await platform.edge.get(path)).status_code == 404
    inside = await platform.inside.get(f"{platform.project.url('web')}/metrics")
    assert "sentops_web_" in inside.text


# ---- the servers around it


async def test_mlflow_shows_the_run_and_who_is_champion(live: Platform) -> None:
    async def champion() -> str:
        address = f"{live.project.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
        parameters = {"name": "sentiment", "alias": "champion"}
        answer = await live.inside.get(address, params=parameters)
        assert answer.is_success, answer.text
        run: str = answer.json()["model_version"]["run_id"]
        return run

    run = await eventually(champion, within=60, every=1)
    found = await live.get("mlflow", "/api/2.0/mlflow/runs/get", params={"run_id": run})
    assert found["run"]["info"]["status"] == "FINISHED"
    assert {one["key"] for one in found["run"]["data"]["metrics"]} >= {"macro_f1"}


async def test_prometheus_has_every_target_and_every_rule(live: Platform) -> None:
    async def up() -> bool:
        targets = (await live.get("prometheus", "/api/v1/targets"))["data"]["activeTargets"]
        down = {one["labels"]["job"]: one["lastError"] for one in targets if one["health"] != "up"}
        assert not down, down
        return len(targets) >= 8

    await eventually(up, within=60, every=1)
    groups = (await live.get("prometheus", "/api/v1/rules"))["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    said = live.project.compose(
        "exec",
        "-T",
        "prometheus",
        "promtool",
        "check",
        "config",
        "/etc/prometheus/config/prometheus.yml",
    )
    assert "SUCCESS" in said


async def test_an_alert_goes_to_people_by_mail(platform: Platform) -> None:
    address = f"{platform.project.url('alertmanager')}/api/v2/alerts"
    alert = {"labels": {"alertname": "SentopsTest"}, "annotations": {"summary": "a test"}}
    assert (await platform.inside.post(address, json=[alert])).is_success

    async def routed() -> bool:
        found = (await platform.inside.get(address)).json()
        return [one["receivers"] for one in found] == [[{"name": "people"}]]

    await eventually(routed, within=10)
    status = await platform.get("alertmanager", "/api/v2/status")
    assert "ops@example.org" in status["config"]["original"]
    assert "smtp_auth_password_file" in status["config"]["original"]


# ---- as written


def documented_requests() -> list[str]:
    """Every curl of the guides that is meant for this machine, with its continued lines."""
    commands = []
    for text in (GUIDE, (ROOT / "README.md").read_text()):
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            commands += [line for line in lines if re.match(r"curl\b.*127\.0\.0\.1:", line)]
    return commands


def as_moved(command: str, project: Project) -> str:
    """With the ports of this project."""
    for service in composition():
        if service.name != "caddy":
            for port in service.ports:
                moved = project.settings[f"{service.name.upper()}_PORT"]
                command = command.replace(f"127.0.0.1:{port.host}", f"127.0.0.1:{moved}")
    return command


def printed(command: str) -> dict[str, str]:
    """The JSON that it prints."""
    answer = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{command}: {answer.stdout} {answer.stderr}"
    content: dict[str, str] = json.loads(answer.stdout)
    assert "urn:sentops:problem" not in content.get("type", ""), f"{command}: {content}"
    return content


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
async def test_every_documented_request_works_as_it_is_written(live: Platform) -> None:
    commands = documented_requests()
    assert len(commands) >= 6
    last = ""
    for command in commands:
        ready = as_moved(command, live.project).replace("…", last)
        last = printed(ready).get("prediction_id", last)
