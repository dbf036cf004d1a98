"""Port 8080: probes, metrics, and the progress of runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sentops_core import trace_context
from sentops_core.kube.kinds import TRAINING_JOB
from sentops_operator.startup import Operator, Patience
from tests.operator.actors import NAMESPACE, Cluster
from tests.operator.conftest import RunningOperator
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer

PLACE = f"/training-jobs/{NAMESPACE}/first/progress"
GOOD = {"authenticated": True, "audiences": [f"sentops.dev/{NAMESPACE}/first"]}
OTHERS = {"authenticated": True, "audiences": [f"sentops.dev/{NAMESPACE}/second"]}


async def a_client(operator: Operator) -> httpx.AsyncClient:
    host, port = (await eventually(lambda: operator.address))[:2]
    return httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=5)


@pytest.fixture
async def running(operator: RunningOperator, kube: KubeServer) -> AsyncIterator[Operator]:
    kube.token_reviews |= {"good": GOOD, "others": OTHERS}
    async with operator() as one:
        yield one


@pytest.fixture
async def http(running: Operator) -> AsyncIterator[httpx.AsyncClient]:
    async with await a_client(running) as client:
        yield client


async def post(
    http: httpx.AsyncClient, body: Any, *, token: str = "good", place: str = PLACE
) -> httpx.Response:  # fmt: skip
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await http.post(place, content=content, headers=headers)


def at(percent: int) -> dict[str, Any]:
    metrics = [{"name": "loss", "value": "0.31"}]
    return {"trainerStatus": {"progressPercentage": percent, "metrics": metrics}}


async def test_what_a_run_posts_is_on_its_job_soon(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentops_operator.progress._SECONDS_BETWEEN_SAVES", 0.3)
    cluster.apply()
    await cluster.running_pod()
    answer = await post(http, at(10) | {"more": "than we know"})
    assert answer.status_code == 200
    assert answer.json() == at(10)
    await eventually(lambda: _percent(cluster) == 10)
    before = _saves(cluster)
    for percent in range(11, 41):
        await post(http, at(percent))
    await eventually(lambda: _percent(cluster) == 40)
    assert _saves(cluster) - before <= 4


def _percent(cluster: Cluster) -> int | None:
    percent: int | None = cluster.status().get("trainerStatus", {}).get("progressPercentage")
    return percent


def _saves(cluster: Cluster) -> int:
    return cluster.kube.counted()["patch", "trainingjobs/status"]


async def test_progress_survives_a_restart_of_the_operator(
    cluster: Cluster, operator: RunningOperator, kube: KubeServer
) -> None:
    kube.token_reviews["good"] = GOOD
    async with operator() as one, await a_client(one) as http:
        cluster.apply()
        pod = await cluster.running_pod()
        await post(http, at(60))
        await eventually(lambda: _percent(cluster) == 60)
    async with operator():
        cluster.end_run(pod, cluster.report("first-1"))
        await cluster.job_is_in("Succeeded")
        assert _percent(cluster) == 60


@pytest.mark.parametrize("token", ["", "unknown", "others"])
async def test_only_the_token_of_that_jobs_run_is_taken(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator, token: str
) -> None:
    cluster.apply()
    await cluster.running_pod()
    answer = await post(http, at(99), token=token)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("header", ["Bearer", "Basic good", "good"])
async def test_a_header_that_holds_no_bearer_token_is_refused_without_asking(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator, header: str
) -> None:
    cluster.apply()
    await cluster.running_pod()
    answer = await http.post(PLACE, json=at(1), headers={"Authorization": header})
    assert answer.status_code == 401
    assert ("create", "tokenreviews") not in cluster.kube.verbs()


async def test_a_good_token_is_believed_for_a_while_and_a_bad_one_is_not(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator
) -> None:
    cluster.apply()
    await cluster.running_pod()
    for _ in range(5):
        await post(http, at(1))
    assert cluster.kube.counted()["create", "tokenreviews"] == 1
    for _ in range(2):
        await post(http, at(1), token="unknown")
    assert cluster.kube.counted()["create", "tokenreviews"] == 3


async def test_a_refusal_names_the_trace_of_the_report(http: httpx.AsyncClient) -> None:
    trace = trace_context.new_trace()
    answer = await http.post(PLACE, json=at(1), headers={"traceparent": trace.traceparent})
    assert answer.json()["trace_id"] == trace.trace_id
    other = await http.post(PLACE, json=at(1), headers={"traceparent": "00-no-00"})
    assert other.json()["trace_id"] not in {trace.trace_id, "no"}


async def test_progress_of_a_job_that_is_not_there_is_404(http: httpx.AsyncClient) -> None:
    answer = await post(http, at(1))
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no TrainingJob team/first."


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"",
        b"\xff",
        {"trainerStatus": {"progressPercentage": 101}},
        {"trainerStatus": {"progressPercentage": "much"}},
        {"trainerStatus": {"lastUpdatedTime": "yesterday"}},
    ],
)
async def test_a_report_that_cannot_be_read_is_422(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator, body: Any
) -> None:
    cluster.apply()
    await cluster.running_pod()
    answer = await post(http, body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"


async def test_a_report_that_is_too_large_is_413(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator
) -> None:
    cluster.apply()
    await cluster.running_pod()
    assert (await post(http, b"x" * 70_000)).status_code == 413


async def test_a_token_that_cannot_be_reviewed_now_may_come_again(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator
) -> None:
    cluster.apply()
    await cluster.running_pod()
    cluster.kube.fail(1, 500, verb="create", resource="tokenreviews")
    assert (await post(http, at(1))).status_code == 503
    assert (await post(http, at(1))).status_code == 200


async def test_a_replica_that_stands_by_takes_no_progress(
    cluster: Cluster, operator: RunningOperator
) -> None:
    cluster.kube.fail(10_000, 500, resource="leases")
    async with operator(leader_election=True) as one, await a_client(one) as http:
        cluster.apply()
        answer = await post(http, at(1))
        assert answer.status_code == 503
        assert "stands by" in answer.json()["detail"]
        assert (await http.get("/readyz")).status_code == 200
        assert cluster.kube.counted()["create", "jobs"] == 0


# Probes


async def test_it_is_ready_once_everything_is_listed_and_the_watches_are_open(
    cluster: Cluster, operator: RunningOperator
) -> None:
    slow = cluster.kube.fail(1, 200, verb="list", delay=0.3)
    async with operator(wait=False) as one, await a_client(one) as http:
        early = await http.get("/readyz")
        assert (early.status_code, early.text) == (503, "The cluster has not been listed yet.")
        assert (await http.get("/healthz")).status_code == 200
        assert slow.seen
        await eventually(lambda: one.why_not_ready() is None)
        assert (await http.get("/readyz")).text == "ok"


async def test_it_is_not_alive_when_a_watch_tells_nothing_of_what_lists_show(
    cluster: Cluster, operator: RunningOperator
) -> None:
    patience = Patience(watch=timedelta(seconds=0.2))
    async with operator(patience=patience, resync_seconds=0.3) as one, await a_client(one) as http:
        cluster.apply()
        await eventually(cluster.job)
        assert (await http.get("/healthz")).status_code == 200
        hang = cluster.kube.fail(10_000, 500, verb="watch", resource="trainingjobs")
        await eventually(lambda: hang.seen or cluster.kube.break_watches())
        cluster.apply("second")
        await eventually(lambda: cluster.job("second-1"))  # the resync sees it all the same
        sick = await eventually(lambda: _answers(http, "/healthz", 503))
        assert sick.text.startswith("No watch told of TrainingJob team/")
        cluster.kube.faults.clear()
        await eventually(lambda: _answers(http, "/healthz", 200), within=20)


async def _answers(http: httpx.AsyncClient, place: str, status: int) -> httpx.Response | None:
    answer = await http.get(place)
    return answer if answer.status_code == status else None


async def test_it_is_not_alive_while_a_turn_hangs(
    cluster: Cluster, operator: RunningOperator
) -> None:
    patience = Patience(turn=timedelta(seconds=0.1))
    async with operator(patience=patience) as one, await a_client(one) as http:
        cluster.kube.fail(1, 200, verb="create", resource="jobs", delay=0.6)
        cluster.apply()
        sick = await eventually(lambda: _answers(http, "/healthz", 503))
        assert sick.text.startswith("A turn has hung for")
        await eventually(cluster.job)
        await eventually(lambda: _answers(http, "/healthz", 200))


# Metrics


async def test_metrics_say_what_was_done_and_how_it_came_out(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator, impatient: None
) -> None:
    cluster.kube.fail(1, 500, verb="create", resource="jobs")
    await cluster.live()
    samples = await _metrics(http)
    assert samples["sentops_operator_converges_total", "TrainingJob", "ok"] > 0
    assert samples["sentops_operator_converges_total", "Model", "ok"] > 0
    assert samples["sentops_operator_converges_total", "TrainingJob", "unavailable"] == 1
    assert samples["sentops_operator_converge_seconds_count", "TrainingJob"] > 0
    assert samples["sentops_operator_apply_to_job_seconds_count",] == 1
    assert samples["sentops_operator_api_calls_total", "500", "jobs", "create"] == 1
    assert samples["sentops_operator_api_calls_total", "201", "jobs", "create"] == 1
    assert samples["sentops_operator_queue_depth",] == 0
    assert samples["sentops_operator_is_leader",] == 1
    assert samples["sentops_operator_training_jobs", "Succeeded"] == 1
    assert samples["sentops_operator_model_versions", "Live"] == 1
    assert samples["process_resident_memory_bytes",] > 0
    cluster.kube.delete(TRAINING_JOB, "first", namespace=NAMESPACE)
    await eventually(lambda: _gone(http))


async def _gone(http: httpx.AsyncClient) -> bool:
    return ("sentops_operator_training_jobs", "Succeeded") not in await _metrics(http)


async def _metrics(http: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    text = (await http.get("/metrics")).text
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_of_a_storm_count_what_got_no_answer(
    cluster: Cluster, http: httpx.AsyncClient, running: Operator, impatient: None
) -> None:
    cluster.kube.fail(2, None, verb="create", resource="jobs")
    cluster.apply()
    await eventually(cluster.job)
    await asyncio.sleep(0)
    samples = await _metrics(http)
    assert samples["sentops_operator_api_calls_total", "0", "jobs", "create"] == 2
