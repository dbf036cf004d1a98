"""The program as it is started for real: its own process, real sockets."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sentops_model_server.settings import cores_of_quota
from tests.services.model_server.conftest import AUTHORISED, TOKEN
from tests.support.artifacts import BuiltArtifact
from tests.support.eventually import eventually


@dataclass(frozen=True)
class Program:
    process: subprocess.Popen[bytes]
    port: int
    client: httpx.AsyncClient

    async def metric(self, name: str) -> float:
        text = (await self.client.get("/metrics")).text
        return next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " ")
        )


@pytest.fixture
async def program(tmp_path: Path, slow_artifact: BuiltArtifact) -> AsyncIterator[Program]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(tmp_path, port)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            async def is_alive() -> bool:
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    return (await client.get("/health/live")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(is_alive, within=30)
            wanted = {
                "storage_uri": slow_artifact.uri,
                "digest": slow_artifact.digest,
                "model_version": "v1",
            }
            answer = await client.put("/slots/champion", json=wanted, headers=AUTHORISED)
            assert answer.status_code == 200, answer.text
            yield Program(process, port, client)
    finally:
        process.kill()
        process.wait()


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "SENTOPS_MODEL_PORT": str(port),
        "SENTOPS_MODEL_CONTROL_TOKEN": TOKEN,
        "SENTOPS_MODEL_CACHE_DIR": str(folder / "cache"),
        "SENTOPS_MODEL_WORKERS": "1",
    }
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sentops_model_server"], env=environment, stdout=log, stderr=log
        )


async def test_the_work_of_a_client_that_hangs_up_is_dropped(program: Program) -> None:
    body = json.dumps({"texts": ["good " * 500] * 400}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", program.port)
    writer.write(
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()

    async def is_queued() -> bool:
        return await program.metric("sentops_model_queued_texts") > 0

    await eventually(is_queued)
    writer.transport.abort()

    async def is_dropped() -> bool:
        return await program.metric("sentops_model_dropped_texts_total") > 100

    await eventually(is_dropped)
    assert await program.metric("sentops_model_queued_texts") == 0
    assert await program.metric("sentops_model_inference_seconds_count") < 300


async def test_a_request_in_flight_is_answered_when_the_program_is_stopped(
    program: Program,
) -> None:
    request = asyncio.create_task(
        program.client.post("/predict", json={"texts": ["good " * 500] * 40})
    )

    async def has_begun() -> bool:
        return await program.metric("sentops_model_request_texts_count") == 1

    await eventually(has_begun)
    program.process.send_signal(signal.SIGTERM)

    assert len((await request).json()["predictions"]) == 40
    assert await asyncio.to_thread(program.process.wait, 20) in {0, -signal.SIGTERM}


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(tmp_path, taken.getsockname()[1])
        assert await asyncio.to_thread(process.wait, 30) == 1
    lines = (tmp_path / "log").read_text().strip().splitlines()
    assert len(lines) == 1
    assert "already in use; set SENTOPS_MODEL_PORT" in lines[0]


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000\n", None), ("200000 100000\n", 2), ("50000 100000\n", 1)]
)
def test_a_container_s_limit_of_cores_is_known(text: str, cores: int | None) -> None:
    assert cores_of_quota(text) == cores
