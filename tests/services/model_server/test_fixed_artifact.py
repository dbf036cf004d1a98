"""A server whose deployment names its artefact, as a pod in a cluster: its own process, real exit codes."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sentops_core.domain.artifact import GOLDEN
from tests.support.artifacts import BuiltArtifact, build_artifact
from tests.support.eventually import eventually

Start = Callable[..., tuple["subprocess.Popen[bytes]", str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program for an artefact; gives the process and its address."""
    running: list[subprocess.Popen[bytes]] = []
    (tmp_path / "termination-log").touch()  # as the kubelet provides it

    def begin(uri: str, digest: str) -> tuple["subprocess.Popen[bytes]", str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = os.environ | {
            "SENTOPS_MODEL_PORT": str(port),
            "SENTOPS_MODEL_CACHE_DIR": str(tmp_path / "cache"),
            "SENTOPS_MODEL_WORKERS": "1",
            "SENTOPS_MODEL_ARTIFACT_URI": uri,
            "SENTOPS_MODEL_ARTIFACT_DIGEST": digest,
            "SENTOPS_MODEL_VERSION": "reviews-v7",
            "SENTOPS_MODEL_TERMINATION_LOG": str(tmp_path / "termination-log"),
            "SENTOPS_PVC_ROOT": str(tmp_path / "pvc"),
        }
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sentops_model_server"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        running.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield begin
    for process in running:
        process.kill()
        process.wait()


async def test_an_artifact_of_another_digest_ends_the_program_with_a_sentence(
    start: Start, artifact: BuiltArtifact, tmp_path: Path
) -> None:
    process, _ = start(artifact.uri, "sha256:" + "0" * 64)

    assert await asyncio.to_thread(process.wait, 60) == 3, (tmp_path / "log").read_text()
    last_words = (tmp_path / "termination-log").read_text()
    assert last_words.startswith("the artefact at file://")
    assert f"has the digest {artifact.digest}, wanted is sha256:000" in last_words
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_an_artifact_that_answers_otherwise_than_promised_ends_the_program(
    start: Start, tmp_path: Path
) -> None:
    def promise_the_contrary(folder: Path) -> None:
        golden = folder / GOLDEN
        promised = golden.read_text()
        golden.write_text(promised.replace('"label": "positive"', '"label": "negative"'))
        assert golden.read_text() != promised

    liar = build_artifact(tmp_path / "liar", before_sealing=promise_the_contrary)
    process, _ = start(liar.uri, liar.digest)

    assert await asyncio.to_thread(process.wait, 60) == 3, (tmp_path / "log").read_text()
    assert "golden" in (tmp_path / "termination-log").read_text()


async def test_a_store_that_is_away_is_waited_for(
    start: Start, artifact: BuiltArtifact, tmp_path: Path
) -> None:
    process, address = start("pvc://models/store/it", artifact.digest)
    async with httpx.AsyncClient(base_url=address, timeout=5) as client:

        async def says(status: int) -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                answer = await client.get("/health/ready")
            except httpx.TransportError:
                return False
            return answer.status_code == status and ("not mounted" in answer.text or status == 200)

        await eventually(lambda: says(503), within=60)
        shutil.copytree(artifact.folder, tmp_path / "pvc" / "models" / "store" / "it")
        await eventually(lambda: says(200), within=60)
        answer = await client.post("/predict", json={"text": "a great product"})
    assert answer.json()["model_version"] == "reviews-v7"
    assert (tmp_path / "termination-log").read_text() == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("ArtifactError('model.onnx is damaged')", 3),
        ("InvalidInput('hf://x is not a place for artefacts')", 3),
        ("MemoryError('no room')", 1),  # nobody foresaw it: no verdict on the artefact
    ],
)
def test_only_a_refusal_ends_with_the_code_that_says_so(
    error: str, code: int, tmp_path: Path
) -> None:
    program = (
        "from pathlib import Path; from sentops_core.domain.errors import *; "
        f"from sentops_model_server.refusal import end_for; end_for({error}, Path({str(tmp_path)!r}))"
    )  # a folder for a termination log: what cannot be written must not change the code
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == code
