"""Web as a program: killed without mercy, started twice, started wrongly."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sentops_core.store.pool import Pool
from tests.services.web.conftest import KEY, NO_DATABASE
from tests.services.web.fakes import FakeModel, FakeTrainer
from tests.support.eventually import eventually
from tests.support.postgres import a_free_port

STORED = "SELECT replace(id::text, '-', '') FROM predictions"
VOTED = "SELECT replace(prediction_id::text, '-', '') FROM feedback"


def environment(folder: Path, trainer_url: str, database_url: str, port: int) -> dict[str, str]:
    return os.environ | {
        "SENTOPS_WEB_PORT": str(port),
        "SENTOPS_WEB_DATABASE_URL": database_url,
        "SENTOPS_WEB_TRAINER_URL": trainer_url,
        "SENTOPS_WEB_SIGNING_KEY": KEY,
        "SENTOPS_WEB_SPOOL_DIR": str(folder / "spool"),
        "SENTOPS_WEB_BURST_TEXTS": "100000",
        "SENTOPS_WEB_BURST_VOTES": "100000",
    }


@contextmanager
def a_process(folder: Path, trainer_url: str, database_url: str) -> Iterator[tuple[int, str]]:
    """(process id, URL) of a real web, gone with SIGKILL at the end."""
    port = a_free_port()
    with (folder / "web.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sentops_web"],
            env=environment(folder, trainer_url, database_url, port),
            stdout=log,
            stderr=log,
        )
        try:
            yield process.pid, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


async def is_live(url: str) -> bool:
    async with httpx.AsyncClient() as http:
        try:
            return (await http.get(f"{url}/health/live")).status_code == 200
        except httpx.TransportError:
            return False


async def ask_until_cut_off(url: str, worker: int, answered: set[str], voted: set[str]) -> None:
    """Ask and vote as fast as answers come; only what was acknowledged counts."""
    async with httpx.AsyncClient(base_url=url, headers={"x-client-id": f"worker-{worker}"}) as http:
        number = 0
        while True:
            number += 1
            try:
                texts = [f"great {worker} {number} {part}" for part in range(3)]
                answer = await http.post("/api/predict/batch", json={"texts": texts})
                if answer.status_code != 200:
                    continue
                ids = [one["prediction_id"] for one in answer.json()["predictions"]]
                answered |= {one.split("-")[0] for one in ids}
                body = {"prediction_id": ids[0], "feedback": "neutral"}
                if (await http.post("/api/feedback", json=body)).status_code == 201:
                    voted.add(ids[0].split("-")[0])
            except httpx.TransportError:
                return


@pytest.mark.pg
@pytest.mark.timeout(240)
@pytest.mark.parametrize("database", ["up", "away"])
async def test_kill_9_under_load_loses_no_acknowledged_row(
    tmp_path: Path, trainer_url: str, database_url: str, pool: Pool, database: str
) -> None:
    answered: set[str] = set()
    voted: set[str] = set()
    for _ in range(2):
        url_of_database = database_url if database == "up" else NO_DATABASE
        with a_process(tmp_path, trainer_url, url_of_database) as (process, url):
            await eventually(lambda url=url: is_live(url), within=60)
            before = len(answered)
            workers = [
                asyncio.create_task(ask_until_cut_off(url, n, answered, voted)) for n in range(8)
            ]
            await eventually(lambda before=before: len(answered) > before + 150, within=60)
            os.kill(process, signal.SIGKILL)
            await asyncio.gather(*workers)
    assert len(answered) > 300
    assert voted
    with a_process(tmp_path, trainer_url, database_url) as (_, url):
        await eventually(lambda: is_live(url), within=60)

        async def all_stored() -> bool:
            stored = {row[0] for row in await pool.fetch(STORED)}
            return answered <= stored

        await eventually(all_stored, within=60)

        async def all_votes_stored() -> bool:
            return voted <= {row[0] for row in await pool.fetch(VOTED)}

        await eventually(all_votes_stored, within=60)
    assert "great " not in (tmp_path / "web.log").read_text(), "texts are never logged"


@pytest.mark.pg
@pytest.mark.timeout(60)
async def test_a_polite_stop_ends_quickly_and_keeps_everything(
    tmp_path: Path, trainer_url: str, trainer: FakeTrainer, model: FakeModel
) -> None:
    with a_process(tmp_path, trainer_url, NO_DATABASE) as (process, url):
        await eventually(lambda: is_live(url), within=60)
        async with httpx.AsyncClient(base_url=url) as http:
            answer = (await http.post("/api/predict", json={"text": "great"})).json()
            os.kill(process, signal.SIGTERM)
            await eventually(lambda: is_gone(url), within=20)
    with a_process(tmp_path, trainer_url, NO_DATABASE) as (_, url):
        await eventually(lambda: is_live(url), within=60)
        async with httpx.AsyncClient(base_url=url) as http:
            found = await http.get(f"/api/predictions/{answer['prediction_id']}")
            assert found.json()["text"] == "great"


async def is_gone(url: str) -> bool:
    return not await is_live(url)


def run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sentops_web"],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )


async def test_a_second_web_on_one_spool_is_refused_with_one_line(
    tmp_path: Path, trainer_url: str
) -> None:
    with a_process(tmp_path, trainer_url, NO_DATABASE) as (_, url):
        await eventually(lambda: is_live(url), within=60)
        second = run(environment(tmp_path, trainer_url, NO_DATABASE, a_free_port()))
    assert second.returncode == 1
    assert second.stderr.strip().count("\n") == 0
    assert "its own folder" in second.stderr


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = run(environment(tmp_path, "http://127.0.0.1:9", NO_DATABASE, port))
    assert failed.returncode == 1
    assert "SENTOPS_WEB_PORT" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_missing_settings_are_named_and_values_are_not_shown(tmp_path: Path) -> None:
    environ = environment(tmp_path, "http://127.0.0.1:9", NO_DATABASE, 0)
    environ["SENTOPS_WEB_SIGNING_KEY"] = "too-short-secret"
    del environ["SENTOPS_WEB_DATABASE_URL"]
    failed = run(environ)
    assert failed.returncode == 1
    assert "SENTOPS_WEB_DATABASE_URL" in failed.stderr
    assert "SENTOPS_WEB_SIGNING_KEY" in failed.stderr
    assert "too-short-secret" not in failed.stderr
    assert "Traceback" not in failed.stderr
