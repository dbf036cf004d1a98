"""What the operator asks of the API server and what the chart's Roles allow are the same."""

from typing import Any

import httpx
import pytest

from sentops_core.kube.kinds import JOB, TRAINING_JOB
from sentops_operator.cleanup import clean_up
from sentops_operator.startup import Operator
from tests.operator.actors import NAMESPACE, Cluster
from tests.operator.conftest import Clock, RunningOperator
from tests.support.eventually import eventually
from tests.support.helm import Helm
from tests.support.kube_api import KubeServer

Rights = set[tuple[str, str]]


def allowed(*roles: dict[str, Any]) -> Rights:
    return {
        (verb, resource)
        for role in roles
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(kube: KubeServer) -> Rights:
    """An apply that makes something needs the right to create it too."""
    made = {
        ("create", call.resource)
        for call in kube.calls
        if call.verb == "patch" and call.status == 201
    }
    return kube.verbs() | made


async def a_life_that_uses_everything(
    cluster: Cluster, operator: RunningOperator, clock: Clock
) -> None:
    kube = cluster.kube
    audience = f"sentops.dev/{NAMESPACE}/first"
    kube.token_reviews["good"] = {"authenticated": True, "audiences": [audience]}
    for resource in ("persistentvolumeclaims", "services"):
        kube.fail(1, None, done_first=True, verb="create", resource=resource)
    kube.put(JOB, {"metadata": {"name": "first-1", "namespace": NAMESPACE}, "spec": {}})
    cpu = {"requests": {"cpu": "1"}}
    async with operator(
        leader_election=True, model_max_replicas=4, model_resources=cpu, work_access_mode="ReadWriteMany"
    ) as one:  # fmt: skip
        cluster.apply(trainer={"numNodes": 2})
        await eventually(lambda: ("get", "jobs") in kube.verbs())
        kube.delete(JOB, "first-1", namespace=NAMESPACE)  # somebody else's, that was in the way
        pod = await cluster.running_pod()
        await _post(one)
        cluster.change(suspend=True)
        await cluster.job_is_in("Suspended")
        await eventually(lambda: (cluster.job() or {})["spec"].get("suspend"))
        cluster.remove_pod(pod)
        cluster.change(suspend=False)
        async with cluster.going_well():
            await cluster.version_is("Live")
            await cluster.job_is_in("Succeeded")
            await eventually(lambda: cluster.candidate() is None)
        clock.forward(days=2)
        cluster.annotate(TRAINING_JOB, "first", nudge="1")
        await eventually(lambda: cluster.job("first-2") is None)
    async with operator(model_replicas=1, model_max_replicas=1):
        await eventually(lambda: ("delete", "poddisruptionbudgets") in kube.verbs())
        await eventually(lambda: ("delete", "horizontalpodautoscalers") in kube.verbs())


async def _post(operator: Operator) -> None:
    host, port = (await eventually(lambda: operator.address))[:2]
    url = f"http://{host}:{port}/training-jobs/{NAMESPACE}/first/progress"
    async with httpx.AsyncClient() as http:
        headers = {"Authorization": "Bearer good"}
        assert (await http.post(url, json={}, headers=headers)).status_code == 200


@pytest.mark.parametrize("everywhere", [False, True])
async def test_the_operator_may_do_what_it_does_and_does_what_it_may(
    cluster: Cluster, operator: RunningOperator, clock: Clock, helm: Helm, impatient: None, everywhere: bool
) -> None:  # fmt: skip
    await a_life_that_uses_everything(cluster, operator, clock)
    rendered = helm.template({"operator": {"watchAllNamespaces": everywhere}})
    roles = [
        role
        for role in rendered.of_kind("Role", "ClusterRole")
        if "operator" in role["metadata"]["name"] and "cleanup" not in role["metadata"]["name"]
    ]
    assert asked(cluster.kube) - allowed(*roles) == set()
    assert allowed(*roles) - asked(cluster.kube) == set()


async def test_cleanup_may_do_what_it_does_and_does_what_it_may(
    cluster: Cluster, operator: RunningOperator, helm: Helm
) -> None:
    cpu = {"requests": {"cpu": "1"}}
    async with operator(model_max_replicas=4, model_resources=cpu):
        await cluster.live()
    cluster.kube.calls.clear()
    await clean_up([NAMESPACE])
    roles = [
        role
        for role in helm.template().of_kind("Role", "ClusterRole")
        if "cleanup" in role["metadata"]["name"]
    ]
    assert asked(cluster.kube) == allowed(*roles)


async def test_what_is_written_goes_by_one_name(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
    writes = {"create", "patch", "update"}
    managers = {call.manager for call in cluster.kube.calls if call.verb in writes}
    assert managers == {"sentops-operator"}
