"""Two operators, of which one works."""

from tests.e2e.support.documents import SLOW, SPARE_MODEL
from tests.e2e.support.kubectl import Manifest
from tests.e2e.support.platform import Platform
from tests.e2e.support.waiting import until

OPERATOR = {"app.kubernetes.io/component": "operator", "app.kubernetes.io/instance": "sentops"}


def holder(platform: Platform) -> str:
    """The pod that the lease names."""
    (lease,) = platform.kubectl.list("leases.coordination.k8s.io")
    return str(lease["spec"].get("holderIdentity") or "")


def pods(platform: Platform) -> list[Manifest]:
    return platform.kubectl.list("pods", OPERATOR)


def test_with_two_operators_a_training_is_done_once_even_if_the_leader_dies(
    platform: Platform,
) -> None:
    platform.kubectl.run("scale", "deployment/sentops-operator", "--replicas=2")
    try:
        until(
            lambda: [pod["status"]["phase"] for pod in pods(platform)],
            lambda phases: phases == ["Running", "Running"],
            seconds=90,
        )
        names = {pod["metadata"]["name"] for pod in pods(platform)}
        leader = until(lambda: holder(platform), lambda name: name in names, seconds=60)
        platform.train(
            "twice-watched", model=SPARE_MODEL, trainer=SLOW, promotion={"mode": "Never"}
        )
        platform.running("twice-watched")
        platform.kubectl.delete("pod", leader, "--force", "--grace-period=0")
        until(lambda: holder(platform), lambda name: name not in {"", leader}, seconds=60)
        job = platform.succeeded("twice-watched", seconds=240)
        assert job["status"]["attempt"] == 1
        assert len(platform.children("twice-watched")) == 1
    finally:
        platform.kubectl.run("scale", "deployment/sentops-operator", "--replicas=1")


def test_the_operators_did_not_crash_in_all_this(platform: Platform) -> None:
    for pod in pods(platform):
        for container in pod["status"]["containerStatuses"]:
            assert container["restartCount"] == 0, container
