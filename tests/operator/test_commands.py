"""`python -m sentops_operator` as a process, and `cleanup`."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest

from sentops_core.kube.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    MODEL_VERSION,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    TRAINING_JOB,
    Kind,
)
from sentops_operator.cleanup import clean_up
from tests.operator.actors import NAMESPACE, Cluster
from tests.operator.conftest import RunningOperator
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer
from tests.support.postgres import a_free_port

LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
SETTINGS = {
    "NAMESPACE": NAMESPACE,
    "NAMESPACES": NAMESPACE,
    "POD_NAME": "operator-0",
    "TRAINER_IMAGE": "trainer:1",
    "MODEL_IMAGE": "model:1",
    "STATUS_URL": "http://operator:8080",
    "HOST": "127.0.0.1",
}


async def start(*arguments: str, **settings: str) -> Process:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SENTOPS_")}
    ours = {f"SENTOPS_OPERATOR_{name}": value for name, value in settings.items()}
    command = (sys.executable, "-m", "sentops_operator", *arguments)
    return await asyncio.create_subprocess_exec(*command, env=kept | ours, stdout=PIPE, stderr=PIPE)


async def ended(process: Process, within: float = 20) -> tuple[int | None, str]:
    _, errors = await asyncio.wait_for(process.communicate(), within)
    return process.returncode, errors.decode()


@pytest.fixture
async def process(kube: KubeServer) -> AsyncIterator[Process]:
    """A whole operator, leading."""
    port = a_free_port()
    process = await start(**SETTINGS, PORT=str(port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

        async def ready() -> bool:
            assert process.returncode is None
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready, within=20)
    yield process
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def test_it_ends_soon_and_well_at_sigterm_and_lets_go_of_its_lease(
    cluster: Cluster, process: Process
) -> None:
    cluster.apply()
    await eventually(cluster.job)
    process.send_signal(signal.SIGTERM)
    code, errors = await ended(process, within=8)
    assert code == 0, errors
    assert "Traceback" not in errors
    assert '"operator_ended"' in errors
    lease = cluster.kube.objects.get(LEASE, NAMESPACE, "sentops-operator")
    assert not lease["spec"].get("holderIdentity")


async def test_it_ends_at_sigterm_while_the_api_server_is_away(kube: KubeServer) -> None:
    await kube.stop()
    process = await start(**SETTINGS, PORT=str(a_free_port()))
    assert process.stderr is not None
    await process.stderr.readuntil(b"resync_failed")
    process.send_signal(signal.SIGTERM)
    code, errors = await ended(process, within=8)
    assert (code, "Traceback" in errors) == (0, False)


async def test_a_killed_process_is_replaced_by_one_that_goes_on(
    cluster: Cluster, process: Process, operator: RunningOperator
) -> None:
    cluster.apply()
    await cluster.running_pod()
    process.kill()
    await process.communicate()
    async with operator(), cluster.going_well():
        await cluster.version_is("Live")
    assert [job["metadata"]["name"] for job in cluster.kube.all(JOB)] == ["first-1"]


async def test_without_settings_it_names_what_is_missing() -> None:
    code, errors = await ended(await start())
    assert code == 1
    for name in ("NAMESPACE", "POD_NAME", "TRAINER_IMAGE", "MODEL_IMAGE", "STATUS_URL"):
        assert f"SENTOPS_OPERATOR_{name}: Field required" in errors
    assert "Traceback" not in errors


async def test_without_a_cluster_it_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none")
    code, errors = await ended(await start(**SETTINGS))
    assert code == 1
    assert "set KUBECONFIG" in errors
    assert "Traceback" not in errors


async def test_a_port_that_is_taken_is_said_in_one_line(kube: KubeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, errors = await ended(await start(**SETTINGS, PORT=str(taken.getsockname()[1])))
    assert code == 1
    assert "set SENTOPS_OPERATOR_PORT to another one" in errors
    assert "Traceback" not in errors


async def test_cleanup_removes_the_model_servers_and_nothing_else(
    cluster: Cluster, operator: RunningOperator
) -> None:
    cpu = {"requests": {"cpu": "1"}}
    async with operator(model_max_replicas=4, model_resources=cpu):
        await cluster.live()
    for namespace in (NAMESPACE, "other"):
        metadata = {"name": "theirs", "namespace": namespace, "labels": {"app": "theirs"}}
        cluster.kube.put(DEPLOYMENT, {"metadata": metadata}, namespace=namespace)
    theirs = {"app.kubernetes.io/managed-by": "sentops-operator"}
    metadata = {"name": "run-x-1", "namespace": NAMESPACE, "labels": theirs}
    cluster.kube.put(SERVICE, {"metadata": metadata}, namespace=NAMESPACE)
    await clean_up([NAMESPACE])
    assert {one["metadata"]["name"] for one in cluster.kube.all(DEPLOYMENT)} == {"theirs"}
    assert {one["metadata"]["name"] for one in cluster.kube.all(SERVICE)} == {"run-x-1"}
    for kind in (HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET):
        assert cluster.kube.all(kind) == []
    for kind in (TRAINING_JOB, MODEL_VERSION, JOB, PERSISTENT_VOLUME_CLAIM):
        assert len(cluster.kube.all(kind)) == 1


async def test_cleanup_is_a_command_that_needs_no_settings(cluster: Cluster) -> None:
    code, errors = await ended(await start("cleanup", "--namespace", NAMESPACE))
    assert code == 0, errors
    code, errors = await ended(await start("cleanup"))
    assert code == 2
    assert "--namespace" in errors
