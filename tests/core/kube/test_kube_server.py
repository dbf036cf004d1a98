"""The pretend API server keeps the promises that our programs rely on, seen through KubeApi and kopf."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import kopf
import pytest

from sentops_core.domain.errors import Conflict, InvalidInput, NotFound, Overloaded, Unavailable
from sentops_core.kube import KubeApi, Manifest
from sentops_core.kube.kinds import JOB, MODEL_VERSION, POD, TRAINING_JOB
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer


@pytest.fixture
async def kube() -> AsyncIterator[KubeServer]:
    async with KubeServer(bookmark_seconds=0.05) as server:
        yield server


@pytest.fixture
async def api(kube: KubeServer) -> AsyncIterator[KubeApi]:
    async with kube.client() as client:
        yield KubeApi(client, field_manager="test")


def a_job(name: str = "a", **spec: object) -> Manifest:
    return {
        "apiVersion": "sentops.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"modelName": "m", **spec},
    }


async def test_what_was_created_is_found_with_identity_and_without_status(api: KubeApi) -> None:
    created = await api.create({**a_job(), "status": {"phase": "Live"}})
    assert created["metadata"]["uid"]
    assert created["metadata"]["generation"] == 1
    assert "status" not in created
    assert await api.get(TRAINING_JOB, "ns", "a") == created
    with pytest.raises(Conflict):
        await api.create(a_job())
    with pytest.raises(InvalidInput, match="Bad_Name"):
        await api.create(a_job("Bad_Name"))
    with pytest.raises(NotFound):
        await api.get(TRAINING_JOB, "other", "a")
    with pytest.raises(NotFound):
        await api.get(TRAINING_JOB, "ns", "a?dryRun=All")


async def test_a_spec_change_counts_as_a_generation_and_a_status_change_does_not(
    api: KubeApi,
) -> None:
    first = await api.create(a_job())
    changed = await api.merge_patch(
        TRAINING_JOB, "ns", "a", {"spec": {"suspend": True}, "status": {"phase": "x"}}
    )
    assert changed["metadata"]["generation"] == 2
    assert "status" not in changed
    told = await api.apply_status(
        TRAINING_JOB, "ns", "a", {"phase": "Running"}, resource_version=None
    )
    assert (told["status"], told["metadata"]["generation"]) == ({"phase": "Running"}, 2)
    with pytest.raises(Conflict):
        await api.apply_status(
            TRAINING_JOB, "ns", "a", {}, resource_version=first["metadata"]["resourceVersion"]
        )


async def test_saying_the_same_again_changes_nothing(kube: KubeServer, api: KubeApi) -> None:
    await api.apply(a_job(suspend=False))
    before = kube.objects.version
    await api.apply(a_job(suspend=False))
    await api.merge_patch(TRAINING_JOB, "ns", "a", {"spec": {"suspend": False}})
    assert kube.objects.version == before


async def test_what_a_manager_does_not_apply_any_more_goes_and_the_rest_stays(
    kube: KubeServer, api: KubeApi
) -> None:
    both = a_job(gate={"minSamples": 1}, suspend=False)
    await api.apply(both)
    await api.merge_patch(
        TRAINING_JOB, "ns", "a", {"metadata": {"annotations": {"by": "a person"}}}
    )
    applied = await api.apply(a_job(suspend=True))
    assert applied["spec"] == {"modelName": "m", "suspend": True}
    assert applied["metadata"]["annotations"] == {"by": "a person"}
    async with kube.client() as client:
        other = KubeApi(client, field_manager="other")
        await other.apply(a_job(suspend=False, ttlSecondsAfterFinished=1))
    assert (await api.apply(a_job()))["spec"] == {
        "modelName": "m",
        "suspend": False,
        "ttlSecondsAfterFinished": 1,
    }


async def test_lists_come_in_pages_and_by_label(kube: KubeServer, api: KubeApi) -> None:
    for number in range(7):
        metadata = {"name": f"p{number}", "labels": {"even": str(number % 2 == 0)}}
        kube.put(POD, {"metadata": metadata}, namespace="ns")
    assert len(await api.list(POD, "ns")) == 7
    even = await api.list(POD, labels={"even": "True"})
    assert [one["metadata"]["name"] for one in even] == ["p0", "p2", "p4", "p6"]
    async with aiohttp.ClientSession() as session:
        names, token = [], ""
        while True:
            query = {"limit": "3", "continue": token}
            page = await (await session.get(f"{kube.url}/api/v1/pods", params=query)).json()
            names += [one["metadata"]["name"] for one in page["items"]]
            token = page["metadata"].get("continue")
            if not token:
                break
    assert names == [f"p{number}" for number in range(7)]


async def test_children_go_with_their_owner(kube: KubeServer, api: KubeApi) -> None:
    owner = await api.create(a_job())
    child = {"metadata": {"name": "c", "ownerReferences": [{"uid": owner["metadata"]["uid"]}]}}
    kube.put(JOB, child, namespace="ns")
    assert await api.delete(TRAINING_JOB, "ns", "a")
    assert not await api.delete(TRAINING_JOB, "ns", "a")
    assert kube.find(JOB, "c", namespace="ns") is None


async def test_the_template_of_a_job_never_changes(kube: KubeServer, api: KubeApi) -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "ns"}}
    await api.apply({**job, "spec": {"template": {"spec": {"nodeName": "a"}}}})
    with pytest.raises(InvalidInput, match="immutable"):
        await api.apply({**job, "spec": {"template": {"spec": {"nodeName": "b"}}}})


async def test_faults_befall_the_calls_they_are_meant_for(kube: KubeServer, api: KubeApi) -> None:
    kube.fail(1, 429, verb="list", retry_after=3)
    kube.fail(1, None, verb="create", done_first=True)
    with pytest.raises(Overloaded) as refused:
        await api.list(TRAINING_JOB)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after.total_seconds() == 3
    with pytest.raises(Unavailable):
        await api.create(a_job())
    assert await api.get(TRAINING_JOB, "ns", "a")
    kube.fail(1, 410, verb="list")
    with pytest.raises(Unavailable):
        await api.list(TRAINING_JOB)
    await kube.stop()
    with pytest.raises(Unavailable):
        await api.list(TRAINING_JOB)
    await kube.start()
    assert len(await api.list(TRAINING_JOB)) == 1
    assert ("create", "trainingjobs") in kube.verbs()


async def test_a_log_is_cut_as_the_kubelet_cuts_it(kube: KubeServer, api: KubeApi) -> None:
    kube.put(POD, {"metadata": {"name": "p"}}, namespace="ns")
    kube.logs["ns", "p"] = "".join(f"{number}\n" for number in range(5000))
    text = await api.log("ns", "p", container="run", limit_bytes=10)
    assert text == "3000\n3001\n"


async def read_events(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, str]]:
    events = []
    while len(events) < count:
        line = json.loads(await response.content.readline())
        name = line["object"]["metadata"].get("name", "") if line["type"] != "ERROR" else "410"
        events.append((line["type"], name))
    return events


async def test_a_watch_goes_on_where_a_list_ended(kube: KubeServer) -> None:
    kube.put(MODEL_VERSION, {"metadata": {"name": "v1"}})
    since = kube.objects.version
    kube.put(MODEL_VERSION, {"metadata": {"name": "v2", "labels": {"a": "b"}}})
    url = f"{kube.url}/apis/sentops.dev/v1alpha1/modelversions"
    query = {"watch": "true", "resourceVersion": str(since), "allowWatchBookmarks": "true"}
    async with aiohttp.ClientSession() as session:
        watch = await session.get(url, params=query)
        chosen = await session.get(url, params={**query, "labelSelector": "a=b"})
        assert await read_events(watch, 2) == [("ADDED", "v2"), ("BOOKMARK", "")]
        kube.set_status(MODEL_VERSION, "v1", {"phase": "Live"})
        kube.patch(MODEL_VERSION, "v2", {"metadata": {"labels": None}})
        kube.delete(MODEL_VERSION, "v2")
        seen = [one for one in await read_events(watch, 3) if one[0] != "BOOKMARK"]
        assert seen[:2] == [("MODIFIED", "v1"), ("MODIFIED", "v2")]
        left = [one for one in await read_events(chosen, 4) if one[0] != "BOOKMARK"]
        assert left == [("ADDED", "v2"), ("DELETED", "v2")]
        kube.objects.compact()
        late = await session.get(url, params={**query, "resourceVersion": "101"})
        assert await read_events(late, 1) == [("ERROR", "410")]
        kube.break_watches()
        with pytest.raises(aiohttp.ClientError):
            await watch.content.read()


async def test_kopf_sees_every_change_and_comes_back_after_an_outage(kube: KubeServer) -> None:
    registry = kopf.OperatorRegistry()
    seen: set[tuple[str, str]] = set()

    @kopf.on.login(registry=registry)
    def login(**_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=kube.url, insecure=True)

    @kopf.on.event("sentops.dev", "v1alpha1", "trainingjobs", registry=registry)
    async def changed(name: str | None, body: kopf.Body, **_: object) -> None:
        seen.add((str(name), str(body.get("status", {}).get("phase"))))

    settings = kopf.OperatorSettings()
    settings.networking.error_backoffs = [0.05] * 20
    settings.watching.reconnect_backoff = 0.05
    settings.posting.enabled = False
    stop, ready = asyncio.Event(), asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=settings,
            clusterwide=True,
            standalone=True,
            stop_flag=stop,
            ready_flag=ready,
        )
    )
    try:
        await ready.wait()
        kube.put(TRAINING_JOB, a_job(), namespace="ns")
        await eventually(lambda: ("a", "None") in seen)
        await kube.stop()
        kube.set_status(TRAINING_JOB, "a", {"phase": "Running"}, namespace="ns")
        await kube.start()
        await eventually(lambda: ("a", "Running") in seen)
        kube.break_watches()
        kube.set_status(TRAINING_JOB, "a", {"phase": "Failed"}, namespace="ns")
        await eventually(lambda: ("a", "Failed") in seen)
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(operator, 10)
