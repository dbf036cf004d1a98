"""What somebody would look at first when a scenario has failed, gathered while it can still be seen."""

import subprocess

from tests.e2e.support.kubectl import Kubectl

_LOOKS = (
    ("get", "sentops,deployments,statefulsets,jobs,pods,pvc", "--output", "wide"),
    (
        "get",
        "trainingjobs.sentops.dev,modelversions.sentops.dev,retrainpolicies.sentops.dev",
        "--output",
        "yaml",
    ),
    ("get", "events", "--sort-by", ".metadata.creationTimestamp"),
    ("logs", "deployment/sentops-operator", "--all-containers", "--tail", "80"),
    ("logs", "deployment/sentops-trainer", "--all-containers", "--tail", "40"),
    ("logs", "statefulset/sentops-web", "--all-containers", "--tail", "20"),
)
_LONGEST = 6000


def gather(kubectl: Kubectl) -> str:
    looks = [*_LOOKS, *_of_pods_in_trouble(kubectl)]
    return "\n\n".join(f"$ kubectl {' '.join(look)}\n{_look(kubectl, look)}" for look in looks)


def _look(kubectl: Kubectl, look: tuple[str, ...]) -> str:
    try:
        done = kubectl.run(*look, check=False, seconds=30)
    except (subprocess.TimeoutExpired, OSError) as error:
        return repr(error)
    return (done.stdout + done.stderr)[-_LONGEST:]


def _of_pods_in_trouble(kubectl: Kubectl) -> list[tuple[str, ...]]:
    try:
        pods = kubectl.list("pods")
    except (AssertionError, subprocess.TimeoutExpired, ValueError):
        return []
    looks: list[tuple[str, ...]] = []
    for pod in pods:
        conditions = pod["status"].get("conditions") or []
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        if not ready and pod["status"].get("phase") != "Succeeded":
            name = pod["metadata"]["name"]
            looks += [("describe", "pod", name), ("logs", name, "--all-containers", "--tail=40")]
    return looks[:10]
