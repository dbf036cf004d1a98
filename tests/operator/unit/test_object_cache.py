"""The newest known form of every object, whatever order its news come in."""

from typing import Any

import pytest

from sentops_core.kube.kinds import DEPLOYMENT, JOB, MODEL_VERSION, POD, TRAINING_JOB, Kind
from sentops_operator.object_cache import ObjectCache, key_of
from sentops_operator.work_queue import Key, KeyKind

Manifest = dict[str, Any]
KEY = Key(KeyKind.TRAINING_JOB, "team", "first")
MODEL_KEY = Key(KeyKind.MODEL, "team", "sentiment")


def a_thing(
    version: int | str,
    *,
    name: str = "first",
    uid: str = "1",
    namespace: str = "team",
    labels: dict[str, str] | None = None,
    **fields: Any,
) -> Manifest:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": str(version),
        "labels": labels or {},
    }
    return {"metadata": metadata, **fields}


def a_child(version: int, name: str = "first-1", owner: str = "first", **fields: Any) -> Manifest:
    return a_thing(version, name=name, labels={"sentops.dev/training-job": owner}, **fields)


@pytest.fixture
def cache() -> ObjectCache:
    return ObjectCache()


def version_of(cache: ObjectCache, kind: Kind = TRAINING_JOB, name: str = "first") -> str | None:
    found = cache.get(kind, "team", name)
    return found["metadata"]["resourceVersion"] if found else None


def test_older_news_are_ignored(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(10))
    assert cache.see(TRAINING_JOB, a_thing(9)) == KEY
    assert version_of(cache) == "10"
    cache.see(TRAINING_JOB, a_thing(11))
    assert version_of(cache) == "11"


def test_versions_are_compared_as_numbers(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(9))
    cache.see(TRAINING_JOB, a_thing(10))
    assert version_of(cache) == "10"


def test_versions_that_are_no_numbers_replace_each_other(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing("a"))
    cache.see(TRAINING_JOB, a_thing("b"))
    assert version_of(cache) == "b"
    cache.forget(TRAINING_JOB, a_thing("b"))
    cache.see(TRAINING_JOB, a_thing("c", uid="2"))
    assert version_of(cache) == "c"


def test_the_deletion_of_an_earlier_object_leaves_its_successor(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(20, uid="2"))
    assert cache.forget(TRAINING_JOB, a_thing(15, uid="1")) is None
    assert version_of(cache) == "20"


def test_a_late_answer_does_not_bring_a_deleted_object_back(cache: ObjectCache) -> None:
    cache.see(JOB, a_child(10))
    assert cache.forget(JOB, a_child(12)) == KEY
    cache.see(JOB, a_child(11), watched=True)
    assert cache.of_key(JOB, KEY) == []
    cache.see(JOB, a_child(13, uid="2"))
    assert version_of(cache, JOB, "first-1") == "13"


def test_a_list_forgets_what_is_gone_and_shows_what_is_new(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(10))
    before = cache.known(TRAINING_JOB, None)
    touched = cache.replace(TRAINING_JOB, [a_thing(11, name="second")], before)
    assert touched == {KEY, Key(KeyKind.TRAINING_JOB, "team", "second")}
    assert version_of(cache) is None
    assert version_of(cache, name="second") == "11"


def test_what_came_while_a_list_was_under_way_stays(cache: ObjectCache) -> None:
    before = cache.known(TRAINING_JOB, None)
    cache.see(TRAINING_JOB, a_thing(30), watched=True)
    assert cache.replace(TRAINING_JOB, [], before) == set()
    assert version_of(cache) == "30"


def test_what_was_made_anew_while_a_list_was_under_way_stays(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(10))
    before = cache.known(TRAINING_JOB, None)
    cache.forget(TRAINING_JOB, a_thing(11))
    cache.see(TRAINING_JOB, a_thing(12, uid="2"))
    cache.replace(TRAINING_JOB, [], before)
    assert version_of(cache) == "12"


def test_what_was_deleted_while_a_list_was_under_way_is_not_brought_back(
    cache: ObjectCache,
) -> None:
    cache.see(TRAINING_JOB, a_thing(10))
    before = cache.known(TRAINING_JOB, None)
    cache.forget(TRAINING_JOB, a_thing(11))
    cache.replace(TRAINING_JOB, [a_thing(10)], before)
    assert version_of(cache) is None


def test_a_list_of_one_namespace_says_nothing_of_others(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(10))
    cache.see(TRAINING_JOB, a_thing(11, namespace="other"))
    cache.replace(TRAINING_JOB, [], cache.known(TRAINING_JOB, "other"))
    assert version_of(cache) == "10"
    assert cache.get(TRAINING_JOB, "other", "first") is None


def test_a_list_of_one_kind_says_nothing_of_others(cache: ObjectCache) -> None:
    cache.see(JOB, a_child(10))
    cache.replace(POD, [], cache.known(POD, None))
    assert cache.of_key(JOB, KEY)


def test_a_list_of_one_keys_pods_leaves_those_of_others(cache: ObjectCache) -> None:
    cache.see(POD, a_child(10, "gone"))
    cache.see(POD, a_child(11, "theirs", owner="second"))
    cache.replace(POD, [a_child(12, "here")], cache.known_of_key(POD, KEY))
    assert [pod["metadata"]["name"] for pod in cache.of_key(POD, KEY)] == ["here"]
    assert cache.get(POD, "team", "theirs")


def test_an_object_moves_with_its_label(cache: ObjectCache) -> None:
    cache.see(JOB, a_child(10))
    cache.see(JOB, a_child(11, owner="second"))
    assert cache.of_key(JOB, KEY) == []
    assert len(cache.of_key(JOB, Key(KeyKind.TRAINING_JOB, "team", "second"))) == 1


def test_an_object_that_lost_its_label_is_forgotten(cache: ObjectCache) -> None:
    cache.see(JOB, a_child(10))
    assert cache.forget(JOB, a_thing(11, name="first-1")) == KEY
    assert cache.of_key(JOB, KEY) == []


@pytest.mark.parametrize(
    ("kind", "found", "key"),
    [
        (TRAINING_JOB, a_thing(1), KEY),
        (MODEL_VERSION, a_thing(1, spec={"modelName": "sentiment"}), MODEL_KEY),
        (JOB, a_child(1), KEY),
        (POD, a_child(1), KEY),
        (
            DEPLOYMENT,
            a_thing(1, labels={"sentops.dev/model": "sentiment", "sentops.dev/slot": "champion"}),
            MODEL_KEY,
        ),
        (POD, a_thing(1, labels={"sentops.dev/model": "sentiment"}), None),
        (DEPLOYMENT, a_thing(1), None),
    ],
)
def test_every_object_matters_to_one_key_or_to_nobody(
    kind: Kind, found: Manifest, key: Key | None, cache: ObjectCache
) -> None:
    assert key_of(kind, found) == key
    assert cache.see(kind, found) == key
    assert (cache.get(kind, "team", "first") or cache.get(kind, "team", "first-1")) is not None or (
        key is None
    )


def test_of_pods_and_jobs_only_what_is_looked_at_is_kept(cache: ObjectCache) -> None:
    spec = {"containers": [{"name": "x" * 1000}], "suspend": True, "completions": 2}
    annotations = {"sentops.dev/run-spec": "y" * 5000, "sentops.dev/artifact-digest": "sha256:1"}
    for kind in (JOB, POD):
        child = a_child(1, name=kind.plural, spec=spec)
        child["metadata"] |= {"managedFields": ["z" * 1000], "annotations": annotations}
        cache.see(kind, child)
    pod, job = cache.get(POD, "team", "pods"), cache.get(JOB, "team", "jobs")
    assert pod is not None
    assert job is not None
    assert len(str(pod)) < 500
    assert pod["metadata"]["annotations"] == {"sentops.dev/artifact-digest": "sha256:1"}
    assert job["spec"] == {"suspend": True, "completions": 2}
    assert "managedFields" not in job["metadata"]


def test_a_watch_that_told_nothing_of_what_a_list_shows_is_noticed(cache: ObjectCache) -> None:
    cache.see(TRAINING_JOB, a_thing(10), watched=True)
    listed = [a_thing(10), a_thing(11, name="second"), a_thing(12, name="third")]
    unwatched = cache.unwatched(TRAINING_JOB, listed)
    cache.replace(TRAINING_JOB, listed, cache.known(TRAINING_JOB, None))
    assert {place[2] for place in unwatched} == {"second", "third"}
    cache.see(TRAINING_JOB, a_thing(11, name="second"), watched=True)
    assert [place[2] for place in cache.still_unwatched(unwatched)] == ["third"]
    cache.forget(TRAINING_JOB, a_thing(12, name="third"))
    assert cache.still_unwatched(unwatched) == []
