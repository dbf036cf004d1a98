"""Count failed requests, and memory, over hot swaps under constant load.

Starts the real model server, sends requests at a fixed rate whatever it answers (open loop; latency counts from the
moment a request was due), swaps the champion between two artefacts all the while, and compares every answer with
what that artefact answers alone. Prints one JSON document; exit code 1 if any request failed or answered wrongly.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # for tests.support, when run as a file

from sentops_core.artifacts import read_manifest
from sentops_core.domain.artifact import MANIFEST, digest_of_manifest
from sentops_core.inference import Scored, Scorer
from tests.support.artifacts import BuiltArtifact, build_artifact

TEXTS = (
    "a great product and it arrived today",
    "it is broken and the product is awful",
    "okay",
    "ottimo prodotto, perfetto",
    "pessimo, si è rotto subito",
    "the product is fine and average and it arrived today " * 4,
)
START_SECONDS = 60
WARM_UP_SWAPS = 4


@dataclass
class Tally:
    """What happened to the requests."""

    latencies: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    digests: Counter[str] = field(default_factory=Counter)
    swap_seconds: list[float] = field(default_factory=list)


async def main() -> int:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="bench-swap-") as name:
        folder = Path(name)
        artifacts = opened(options.artifacts) if options.artifacts else built(folder)
        process, address, token = start_server(folder)
        try:
            async with aiohttp.ClientSession(address) as session:
                await until_alive(session, process)
                report = await measure(session, process, artifacts, token, options)
        finally:
            process.terminate()
            process.wait(30)
    print(json.dumps(report, indent=1))
    return 1 if report["failed"] else 0


async def measure(
    session: aiohttp.ClientSession,
    process: subprocess.Popen[bytes],
    artifacts: list[BuiltArtifact],
    token: str,
    options: argparse.Namespace,
) -> dict[str, Any]:
    expected = {one.digest: Scorer.load(one.folder).score(list(TEXTS)) for one in artifacts}
    turns = itertools.cycle(artifacts)
    tally = Tally()
    for _ in range(WARM_UP_SWAPS):  # both were loaded before memory is first looked at
        await swap(session, next(turns), token)
    memory = psutil.Process(process.pid)
    rss_before = memory.memory_info().rss
    stop = asyncio.Event()
    load = asyncio.create_task(send_load(session, expected, tally, options.rate, stop))
    started = time.perf_counter()
    for number in range(options.swaps):
        due = started + (number + 1) * options.seconds / options.swaps
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tally.swap_seconds.append(await swap(session, next(turns), token))
    stop.set()
    await load
    seconds = time.perf_counter() - started
    return {
        "requests": len(tally.latencies) + tally.problems.total(),
        "failed": tally.problems.total(),
        "problems": dict(tally.problems),
        "swaps": len(tally.swap_seconds),
        "seconds": round(seconds, 1),
        "rate_per_second": options.rate,
        "latency_ms": milliseconds(tally.latencies),
        "swap_ms": milliseconds(tally.swap_seconds),
        "rss_mb_before": round(rss_before / 1e6, 1),
        "rss_mb_after": round(memory.memory_info().rss / 1e6, 1),
        "artifact_mb": [round(size_of(one.folder) / 1e6, 1) for one in artifacts],
        "answers_by_digest": dict(tally.digests),
    }


async def send_load(
    session: aiohttp.ClientSession,
    expected: dict[str, list[Scored]],
    tally: Tally,
    rate: float,
    stop: asyncio.Event,
) -> None:
    """Requests at fixed moments, each its own task: a slow answer holds none of the others back."""
    started = time.perf_counter()
    async with asyncio.TaskGroup() as requests:
        for number in itertools.count():
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if stop.is_set():
                return
            requests.create_task(ask(session, number % len(TEXTS), due, expected, tally))


async def ask(
    session: aiohttp.ClientSession,
    which: int,
    due: float,
    expected: dict[str, list[Scored]],
    tally: Tally,
) -> None:
    try:
        async with session.post("/predict", json={"text": TEXTS[which]}) as response:
            answer = await response.json()
            if response.status != 200:
                tally.problems[f"{response.status} {answer.get('code')}"] += 1
                return
    except (aiohttp.ClientError, TimeoutError) as error:
        tally.problems[type(error).__name__] += 1
        return
    right = expected.get(answer["digest"])
    if right is None or answer["scores"] != right[which].scores:
        tally.problems["another answer than alone"] += 1
        return
    tally.latencies.append(time.perf_counter() - due)
    tally.digests[answer["digest"]] += 1


async def swap(session: aiohttp.ClientSession, artifact: BuiltArtifact, token: str) -> float:
    """Seconds from asking for a version until the old one is unloaded."""
    wanted = {
        "storage_uri": artifact.uri,
        "digest": artifact.digest,
        "model_version": artifact.folder.name,
    }
    headers = {"authorization": f"Bearer {token}"}
    started = time.perf_counter()
    async with session.put("/slots/champion", json=wanted, headers=headers) as response:
        if response.status != 200:
            raise SystemExit(f"a swap was refused: {await response.text()}")
    return time.perf_counter() - started


async def until_alive(session: aiohttp.ClientSession, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the model server ended with {process.returncode}")
        try:
            async with session.get("/health/live") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
    raise SystemExit(f"the model server did not answer within {START_SECONDS} s")


def start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_urlsafe(32)
    environment = os.environ | {
        "SENTOPS_MODEL_PORT": str(port),
        "SENTOPS_MODEL_CONTROL_TOKEN": token,
        "SENTOPS_MODEL_CACHE_DIR": str(folder / "cache"),
        "SENTOPS_MODEL_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "sentops_model_server"], env=environment)
    return process, f"http://127.0.0.1:{port}", token


def built(folder: Path) -> list[BuiltArtifact]:
    """Two artefacts of about the size and the cost per text of a small int8 transformer."""
    return [
        build_artifact(
            folder / f"v{number}", strength=1.0 + number, hidden=384, layers=48, max_length=128
        )
        for number in (1, 2)
    ]


def opened(folders: list[Path]) -> list[BuiltArtifact]:
    artifacts = []
    for folder in folders:
        read_manifest(folder)  # says clearly what is wrong with a folder that is no artefact
        digest = digest_of_manifest((folder / MANIFEST).read_bytes())
        artifacts.append(BuiltArtifact(folder.resolve(), digest))
    return artifacts


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def milliseconds(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {"p50": round(p50, 1), "p99": round(p99, 1), "max": round(max(seconds) * 1000, 1)}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--artifacts", nargs=2, type=Path, metavar=("A", "B"), help="two artefact folders"
    )
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--rate", type=float, default=60, help="requests per second")
    parser.add_argument(
        "--seconds", type=float, default=30, help="time over which the swaps are spread"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
