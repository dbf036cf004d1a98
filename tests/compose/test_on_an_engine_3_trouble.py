"""On an engine: each container in turn is killed while people ask; who serves goes on, and nothing acknowledged is lost."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.compose.load import Load
from tests.compose.platform import FIRST, Platform
from tests.compose.project import PROGRAMS, Project
from tests.images.engine import docker, image_of
from tests.support.eventually import eventually
from tests.support.postgres import a_free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

SERVICES = (
    "web",
    "backoffice",
    "model",
    "trainer",
    "monitor",
    "postgres",
    "mlflow",
    "prometheus",
    "alertmanager",
    "caddy",
)
# Without these three there is nobody to ask; a request that is under way when they end may fail.
IN_THE_WAY = {"web", "model", "caddy"}
ENOUGH = 5  # answers

_load: list[Load] = []


@pytest_asyncio.fixture
async def load(live: Platform) -> Load:
    """People who ask and correct, from the first test here to the last."""
    if not _load:
        _load.append(Load(live.project.edge, live.project.trusting_the_edge()))
        _load[0].start()
    return _load[0]


@pytest.fixture(scope="module", autouse=True)
def _end() -> Any:
    yield
    for load in _load:
        load.stop()


@contextmanager
def also_called(tag: str) -> Iterator[None]:
    """Our images under another tag, as if they were newer."""
    names = {one: image_of(one).rpartition(":")[0] + f":{tag}" for one in PROGRAMS}
    for program, name in names.items():
        assert docker("tag", image_of(program), name).returncode == 0
    try:
        yield
    finally:
        docker("image", "rm", "--no-prune", *names.values())


async def answered(load: Load, phase: str, within: float = 60) -> None:
    """A few questions were answered in this phase."""
    await eventually(lambda: load.answered[phase] >= ENOUGH, within=within, every=0.1)


async def comes_back(project: Project, load: Load, phase: str, service: str) -> None:
    await project.healthy(service)
    load.phase = f"after {phase}"
    await answered(load, load.phase)
    load.phase = "calm"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_crashed_program_is_started_again_by_docker(
    live: Platform, load: Load, service: str
) -> None:
    before = live.project.inspect(service)
    load.phase = phase = f"{service} crashes"
    live.project.crash(service)
    await eventually(
        lambda: live.project.inspect(service)["RestartCount"] > before["RestartCount"],
        within=60,
        every=0.2,
    )
    await comes_back(live.project, load, phase, service)
    assert live.project.inspect(service)["Id"] == before["Id"]
    if service not in IN_THE_WAY:
        assert load.failed_in(phase) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_container_is_missed_by_nobody_who_does_not_need_it_and_up_brings_it_back(
    live: Platform, load: Load, service: str
) -> None:
    load.phase = phase = f"{service} is killed"
    live.project.kill(service)
    if service in IN_THE_WAY:
        load.phase = f"{service} is away"
    else:
        await answered(load, phase)
        assert not live.project.inspect(service)["State"]["Running"]
    live.project.up()
    await comes_back(live.project, load, phase, service)
    if service not in IN_THE_WAY:
        assert load.failed_in(phase) == []


async def test_a_training_under_way_survives_the_trainer(live: Platform, load: Load) -> None:
    slow = {
        "epochs": 60,
        "batchSize": 4,
        "maxLength": 32,
        "learningRate": "1e-5",
        "earlyStoppingPatience": 20,
    }
    name = await live.train(
        dataset_id="v1", method="FineTune", hyperparameters=slow, promotion={"mode": "Never"}
    )

    async def under_way() -> bool:
        status = (await live.job(name))["status"]
        assert status["phase"] not in {"Succeeded", "Failed"}, status
        return bool((status.get("trainerStatus") or {}).get("progressPercentage", 0) >= 5)

    await eventually(under_way, within=90, every=0.2)
    live.project.crash("trainer")
    job = await live.finished(name, within=180)
    assert job["status"]["phase"] == "Succeeded", job["status"]
    assert job["status"]["attempt"] == 2
    assert first_epoch(live.project, attempt=2) > 1, "it began anew"
    await live.project.healthy("trainer")


def first_epoch(project: Project, *, attempt: int) -> float:
    """Where this attempt of the only job that was tried so often began, by its log."""
    code = f"from pathlib import Path; print(*(f.read_text() for f in Path('/work').rglob('log-{attempt}.txt')))"
    log = project.compose("exec", "-T", "trainer", "python", "-c", code)
    return float(re.findall(r"'epoch': '([\d.]+)'", log)[0])


async def test_a_changed_setting_replaces_its_service_alone_and_costs_no_request(
    live: Platform, load: Load
) -> None:
    project = live.project
    before = {service: project.inspect(service) for service in project.lasting}
    project.set(WEB_PORT=a_free_port())
    load.phase = "web is replaced"
    project.up("--remove-orphans", "--wait")
    load.phase = "calm"
    after = {service: project.inspect(service) for service in project.lasting}
    assert [one for one in before if before[one]["Id"] != after[one]["Id"]] == ["web"]
    started = [one for one in before if before[one]["State"]["Pid"] != after[one]["State"]["Pid"]]
    assert started == ["web"]
    assert load.failed_in("web is replaced") == []
    assert await live.get("web", "/health/ready")


async def test_an_update_replaces_every_program_while_people_wait_a_little(
    live: Platform, load: Load
) -> None:
    project = live.project
    older, newer = project.settings["TAG"], f"{project.settings['TAG']}-{project.name}"
    edge = project.inspect("caddy")["Id"]
    with also_called(newer):
        for tag in (newer, older):
            project.set(TAG=tag)
            load.phase = phase = f"web and model become {tag}"
            try:
                project.up("--remove-orphans", "--wait")
            finally:
                project.set(TAG=older)
            for service in project.lasting:
                if project.stack[service].ours:
                    assert project.inspect(service)["Config"]["Image"].endswith(f":{tag}")
            await comes_back(project, load, phase, "web")
            # How many had to wait longer than they wanted hangs on the machine; the edge was open to all.
            assert [one for one in load.failed_in(phase) if "ConnectError" in one.what] == []
    assert project.inspect("caddy")["Id"] == edge


async def test_nothing_that_was_acknowledged_is_lost(live: Platform, load: Load) -> None:
    load.stop()
    assert len(load.predictions) > 100
    assert len(load.votes) > 20

    async def all_there() -> bool:
        rows = await asyncio.to_thread(live.project.sql, "SELECT id FROM predictions")
        missing = {str(one) for one in load.predictions} - {row for (row,) in rows}
        assert not missing, missing
        found = await asyncio.to_thread(
            live.project.sql, "SELECT prediction_id, label FROM feedback"
        )
        wanted = {(str(one), label) for one, label in load.votes.items()}
        assert wanted <= {(one, label) for one, label in found}
        return True

    await eventually(all_there, within=30, every=0.5)
    others = [one for one in load.failures if not any(name in one.phase for name in IN_THE_WAY)]
    assert others == []
    served = (await live.ask())["model_version"]
    assert served == FIRST
