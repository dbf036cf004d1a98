"""What is made of a Deployment and its pods."""

from typing import Any

import pytest

from sentops_core.domain.serving import Slot, SlotState
from sentops_operator.slot_observation import observe_slot
from tests.operator.actors import crashing
from tests.operator.unit.things import a_pod
from tests.support.builders import a_digest

Manifest = dict[str, Any]
OLD, NEW = a_digest("a"), a_digest("b")


def a_deployment(
    *,
    replicas: int = 0,
    updated: int = 0,
    available: int = 0,
    generation: int = 2,
    observed: int = 2,
    wanted: int | None = 2,
    digest: str = NEW,
) -> Manifest:
    return {
        "metadata": {"name": "sentiment-model", "generation": generation},
        "spec": {
            "replicas": wanted,
            "template": {"metadata": {"annotations": {"sentops.dev/artifact-digest": digest}}},
        },
        "status": {
            "observedGeneration": observed,
            "replicas": replicas,
            "updatedReplicas": updated,
            "availableReplicas": available,
        },
    }


def a_server(digest: str = NEW, *, deleted: bool = False, **status: Any) -> Manifest:
    pod = a_pod(digest=digest, deleted=deleted)
    return {**pod, "status": {**pod["status"], **status}}


def test_without_a_deployment_the_slot_is_empty() -> None:
    assert observe_slot(None, []) == Slot()


def test_a_deployment_that_names_no_digest_holds_nothing_of_ours() -> None:
    assert observe_slot({"metadata": {}, "spec": {}}, []) == Slot()


def test_the_first_roll_out_serves_nothing_yet() -> None:
    slot = observe_slot(a_deployment(replicas=2, updated=2), [a_server()])
    assert (slot.state, slot.digest, slot.wanted_digest) == (SlotState.LOADING, None, NEW)
    assert slot.message == "0 of 2 model servers answer with this version."


def test_a_roll_out_over_an_old_version_still_serves_that_one() -> None:
    slot = observe_slot(
        a_deployment(replicas=3, updated=1, available=2), [a_server()], serving_digest=OLD
    )
    assert (slot.state, slot.wanted_digest) == (SlotState.LOADING, NEW)
    assert slot.serves(OLD)
    assert not slot.serves(NEW)


def test_a_roll_out_is_through_when_only_new_pods_are_left() -> None:
    done = a_deployment(replicas=2, updated=2, available=2)
    assert observe_slot(done, [], serving_digest=OLD) == Slot(SlotState.READY, NEW, NEW)


def test_a_status_from_before_the_last_change_says_nothing() -> None:
    behind = a_deployment(replicas=2, updated=2, available=2, generation=3, observed=2)
    slot = observe_slot(behind, [], serving_digest=OLD)
    assert slot.state is SlotState.LOADING
    assert slot.serves(OLD)


def test_the_number_an_autoscaler_chose_is_as_good_as_ours() -> None:
    scaled = a_deployment(replicas=7, updated=7, available=7, wanted=7)
    assert observe_slot(scaled, []).state is SlotState.READY


def test_a_change_of_settings_rolls_without_an_interruption_of_service() -> None:
    rolling = a_deployment(replicas=3, updated=1, available=2)
    slot = observe_slot(rolling, [a_server()], serving_digest=NEW)
    assert slot.state is SlotState.LOADING
    assert slot.serves(NEW)


def test_nothing_serves_when_nothing_is_available() -> None:
    slot = observe_slot(a_deployment(replicas=2, updated=2), [a_server()], serving_digest=NEW)
    assert not slot.serves(NEW)


@pytest.mark.parametrize("available", [0, 2])
def test_a_refused_artefact_fails_the_slot_with_the_servers_sentence(available: int) -> None:
    pod = a_server(**crashing(3, "The digest does not match.\n", restarts=1))
    deployment = a_deployment(replicas=available + 1, updated=1, available=available)
    slot = observe_slot(deployment, [pod], serving_digest=OLD if available else None)
    assert slot.refuses(NEW)
    assert slot.message == "The digest does not match."
    assert slot.serves(OLD) is bool(available)


def test_a_refusal_without_a_sentence_gets_one() -> None:
    pod = a_server(**crashing(3, ""))
    slot = observe_slot(a_deployment(replicas=1, updated=1), [pod])
    assert slot.message == "The model server refuses the artefact."


def test_a_few_crashes_are_bad_luck_and_many_are_a_failure() -> None:
    deployment = a_deployment(replicas=2, updated=2)
    few = observe_slot(deployment, [a_server(**crashing(1, "boom", restarts=3))])
    assert few.state is SlotState.LOADING
    many = observe_slot(deployment, [a_server(**crashing(1, "boom", restarts=4))])
    assert many.refuses(NEW)
    assert many.message == "The model server crashes again and again (exit code 1): boom"


def test_a_crash_for_want_of_memory_says_so() -> None:
    pod = a_server(**crashing(137, reason="OOMKilled"))
    slot = observe_slot(a_deployment(replicas=2, updated=2), [pod])
    assert slot.message == "The model server crashes again and again (out of memory)"


def test_a_pod_that_is_ready_again_refuses_nothing() -> None:
    status = crashing(3, "no") | {"conditions": [{"type": "Ready", "status": "True"}]}
    slot = observe_slot(a_deployment(replicas=2, updated=2), [a_server(**status)])
    assert slot.state is SlotState.LOADING


def test_the_crashes_of_an_old_version_do_not_count_against_the_new_one() -> None:
    pods = [a_server(OLD, **crashing(3, "no")), a_server()]
    deployment = a_deployment(replicas=3, updated=1)
    assert observe_slot(deployment, pods).state is SlotState.LOADING


def test_a_pod_on_its_way_out_does_not_count_against_a_second_try() -> None:
    pods = [a_server(deleted=True, **crashing(3, "no")), a_server()]
    deployment = a_deployment(replicas=1, updated=1)
    assert observe_slot(deployment, pods).state is SlotState.LOADING


def test_an_image_that_cannot_be_pulled_is_said() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    pod = a_server(containerStatuses=[{"name": "model", "image": "it:9", "state": waiting}])
    slot = observe_slot(a_deployment(replicas=2, updated=2), [pod])
    assert slot.state is SlotState.LOADING
    assert "it:9 cannot be pulled (ErrImagePull): not found" in slot.message


def test_one_pod_of_several_that_crashes_leaves_the_version_in_service() -> None:
    deployment = a_deployment(replicas=2, updated=2, available=1)
    slot = observe_slot(deployment, [a_server(**crashing(1))], serving_digest=NEW)
    assert slot.state is SlotState.READY
