"""What is wrong with a pod, by its status alone."""

import pytest

from sentops_core.domain.reasons import Reason
from sentops_operator.pod_troubles import (
    Exit,
    exit_of,
    restarts_of,
    trouble_of,
    waiting_reason,
)
from tests.operator.actors import crashing
from tests.operator.unit.things import a_pod, ended, not_scheduled, waits


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Unknown"])
def test_a_pod_that_runs_or_ended_well_has_no_trouble(phase: str) -> None:
    assert trouble_of(a_pod(phase)) is None


def test_a_pod_without_a_status_has_no_trouble_yet() -> None:
    assert trouble_of({"metadata": {"name": "new"}}) is None


def test_a_pod_that_failed_without_any_word_is_lost() -> None:
    trouble = trouble_of(a_pod("Failed"))
    assert trouble is not None
    assert (trouble.reason, trouble.fatal) == (Reason.RUN_LOST, True)
    assert trouble.message == "The pod failed: no exit code is known."


def test_a_refusal_of_the_node_is_said_in_its_words() -> None:
    trouble = trouble_of(a_pod("Failed", reason="UnexpectedAdmissionError", message="no GPU left"))
    assert trouble is not None
    assert trouble.message == "The pod failed: no GPU left."


def test_what_keeps_a_pod_from_starting_does_not_end_it() -> None:
    for pod in (a_pod(containers=waits("ErrImagePull")), a_pod(conditions=not_scheduled("x"))):
        trouble = trouble_of(pod)
        assert trouble is not None
        assert not trouble.fatal


def test_a_pod_is_not_scheduled_before_its_image_matters() -> None:
    pod = a_pod(conditions=not_scheduled("Unschedulable"), containers=waits("ErrImagePull"))
    trouble = trouble_of(pod)
    assert trouble is not None
    assert trouble.reason is Reason.UNSCHEDULABLE


def test_the_last_end_of_a_container_is_known_while_it_waits_to_be_started_again() -> None:
    pod = a_pod("Running", containers=crashing(3, "no")["containerStatuses"])
    assert exit_of(pod) == Exit(3, "no", "Error")
    assert restarts_of(pod) == 5
    assert waiting_reason(pod) == "CrashLoopBackOff"


def test_our_container_speaks_before_those_beside_it() -> None:
    beside = ended(0, reason="Completed", name="istio-proxy")
    assert exit_of(a_pod("Running", containers=[*beside, {"name": "run", "state": {}}])) is None
    found = exit_of(a_pod("Failed", containers=[*beside, *ended(4)]))
    assert found is not None
    assert found.code == 4


def test_a_long_end_of_a_log_is_cut() -> None:
    trouble = trouble_of(a_pod("Failed", containers=ended(1, message="x" * 4000)))
    assert trouble is not None
    assert len(trouble.message) < 600
