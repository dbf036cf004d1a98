"""How fast the operator turns TrainingJobs into Jobs, and what it costs.

Starts the real operator as a process of its own. With KUBECONFIG it works against that cluster (whose CRDs must be
installed), else against the pretend API server of the tests, in a process of its own. For each size it creates that
many TrainingJobs at once and takes the time from each one's acceptance to the watch event of its Job; then it counts
API calls, memory, and the CPU time of doing nothing. Runs cannot start (no node fits), so nothing trains. Prints one
JSON document; exit code 1 if a Job is missing.
"""

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from kubernetes.aio import watch
from kubernetes.aio.client import BatchV1Api, CoreV1Api, V1Namespace, V1ObjectMeta
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # for tests.support, when run as a file

from sentops_core.kube import KubeApi, open_client
from sentops_core.kube.kinds import TRAINING_JOB
from tests.support.kube_api import KubeServer
from tests.support.postgres import a_free_port

PRETEND = "pretend"
START_SECONDS = 60
IDLE_SECONDS = 20


async def main() -> int:
    options = parse_options()
    if options.serve is not None:
        await serve_pretended(options.serve)
        return 0
    async with cluster() as kind:
        report: dict[str, Any] = {
            "benchmark": "operator",
            "cluster": kind,
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0],
            "sizes": [await measure(size, kind) for size in options.sizes],
        }
    print(json.dumps(report, indent=2))
    return 0 if all(one["jobs"] == one["training_jobs"] for one in report["sizes"]) else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


@asynccontextmanager
async def cluster() -> AsyncIterator[str]:
    """The one KUBECONFIG names, else a pretend one in another process."""
    if os.environ.get("KUBECONFIG"):
        yield f"KUBECONFIG, {await version()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kubeconfig"
        server = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [sys.executable, __file__, "--serve", str(config)]
        )
        try:
            await until(config.exists)
            os.environ["KUBECONFIG"] = str(config)
            yield "tests.support.kube_api, a pretend API server: no etcd, no controllers"
        finally:
            del os.environ["KUBECONFIG"]
            server.terminate()
            server.wait()


async def version() -> str:
    async with open_client() as client:
        nodes = (await CoreV1Api(client).list_node()).items
        return f"{len(nodes)} nodes"


async def serve_pretended(config: Path) -> None:
    async with KubeServer() as kube:
        partial = kube.write_kubeconfig(config.with_suffix(".partial"))
        partial.rename(config)
        await asyncio.Event().wait()


async def measure(size: int, kind: str) -> dict[str, Any]:
    namespace = f"sentops-bench-{secrets.token_hex(3)}"
    async with open_client(connections=64) as client:
        core, api = CoreV1Api(client), KubeApi(client, field_manager="bench")
        await core.create_namespace(V1Namespace(metadata=V1ObjectMeta(name=namespace)))
        try:
            with RunningOperator(namespace) as (process, url):
                await until_ready(url)
                before = process.memory_info().rss
                waits = await apply_to_job(client, api, namespace, size)
                busy = await settled(process)
                calls = await calls_made(url)
                return {
                    "training_jobs": size,
                    "jobs": len(waits),
                    "apply_to_job_ms": {
                        "p50": round(quantile(waits, 0.5) * 1000, 1),
                        "p99": round(quantile(waits, 0.99) * 1000, 1),
                        "max": round(max(waits, default=0) * 1000, 1),
                    },
                    "api_calls": calls,
                    "api_calls_per_training_job": round(sum(calls.values()) / size, 2),
                    "rss_mb": {
                        "started": round(before / 2**20, 1),
                        "settled": round(process.memory_info().rss / 2**20, 1),
                    },
                    "busy_cpu_seconds": round(busy, 2),
                    "idle_cpu_percent": await idle(process),
                }
        finally:
            await core.delete_namespace(namespace)
            if not kind.startswith("KUBECONFIG"):
                for found in await api.list(TRAINING_JOB, namespace):
                    await api.delete(TRAINING_JOB, namespace, found["metadata"]["name"])


class RunningOperator:
    """The operator as its image starts it, watching one namespace."""

    def __init__(self, namespace: str) -> None:
        self._port = a_free_port()
        names = {
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "NAMESPACE": namespace,
            "NAMESPACES": namespace,
            "POD_NAME": "bench",
            "TRAINER_IMAGE": "none:1",
            "MODEL_IMAGE": "none:1",
            "STATUS_URL": f"http://127.0.0.1:{self._port}",
            "WORK_STORAGE_SIZE": "1Gi",
        }
        self._env = {f"SENTOPS_OPERATOR_{name}": value for name, value in names.items()}

    def __enter__(self) -> tuple[psutil.Process, str]:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sentops_operator"],
            env=os.environ | self._env,
            stderr=self._log,
        )
        return psutil.Process(self._process.pid), f"http://127.0.0.1:{self._port}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        if self._process.returncode:
            self._log.seek(0)
            print(self._log.read()[-3000:].decode(), file=sys.stderr)


async def apply_to_job(client: Any, api: KubeApi, namespace: str, size: int) -> list[float]:
    """Seconds from the acceptance of each TrainingJob to the watch event of its Job."""
    accepted: dict[str, float] = {}
    created: dict[str, float] = {}

    async def look() -> None:
        jobs = BatchV1Api(client)
        async with watch.Watch() as stream:  # type: ignore[no-untyped-call]
            async for event in stream.stream(jobs.list_namespaced_job, namespace):
                name = event["raw_object"]["metadata"]["labels"]["sentops.dev/training-job"]
                created.setdefault(name, time.monotonic())
                if len(created) >= size:
                    return

    watching = asyncio.create_task(look())
    await asyncio.sleep(0.5)
    gate = asyncio.Semaphore(32)

    async def apply(name: str) -> None:
        async with gate:
            await api.create(a_training_job(namespace, name))
            accepted[name] = time.monotonic()

    await asyncio.gather(*(apply(f"job-{number}") for number in range(size)))
    try:
        await asyncio.wait_for(watching, 300)
    except TimeoutError:
        print(f"only {len(created)} of {size} Jobs after 300 s", file=sys.stderr)
    return [max(0.0, created[name] - accepted[name]) for name in created]


def a_training_job(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "sentops.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "modelName": "bench",
            "baseModel": {"storageUri": "named://english-small"},
            "dataset": {"storageUri": "pvc://data/v1", "contentHash": "sha256:" + "0" * 64},
            "output": {"storageUri": "pvc://data/artifacts"},
            "podTemplate": {"nodeSelector": {"sentops.dev/bench": "nowhere"}},
        },
    }


async def settled(process: psutil.Process) -> float:
    """CPU seconds the operator took until it came to rest."""
    while True:
        before = cpu_seconds(process)
        await asyncio.sleep(3)
        if cpu_seconds(process) - before < 0.05:
            return cpu_seconds(process)


async def idle(process: psutil.Process) -> float:
    before = cpu_seconds(process)
    await asyncio.sleep(IDLE_SECONDS)
    return round((cpu_seconds(process) - before) / IDLE_SECONDS * 100, 2)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def calls_made(url: str) -> dict[str, int]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    calls: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "sentops_operator_api_calls_total":
                name = f"{sample.labels['verb']} {sample.labels['resource']}"
                calls[name] = calls.get(name, 0) + int(sample.value)
    return calls


async def until_ready(url: str) -> None:
    async def is_ready() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    deadline = time.monotonic() + START_SECONDS
    while not await is_ready():
        if time.monotonic() > deadline:
            raise SystemExit("the operator did not become ready")
        await asyncio.sleep(0.1)


async def until(condition: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the pretend API server did not start")
        await asyncio.sleep(0.05)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
