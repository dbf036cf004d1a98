"""What PodSecurity's level `restricted` asks of a pod (kubernetes.io/docs/concepts/security/pod-security-standards)."""

from collections.abc import Iterator
from typing import Any

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: dict[str, Any]) -> list[str]:
    """A sentence for each rule that the pod spec breaks; no defaults are assumed."""
    containers = [*pod.get("initContainers", []), *pod.get("containers", [])]
    found = list(_of_the_pod(pod))
    for container in containers:
        found += [f"{container['name']}: {why}" for why in _of_a_container(container, pod)]
    return found


def _of_the_pod(pod: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    if pod.get("securityContext", {}).get("sysctls"):
        yield "sysctls are set"
    for volume in pod.get("volumes", []):
        if kinds := set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is {', '.join(kinds)}"


def _of_a_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    context = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
    if context.get("privileged"):
        yield "is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may escalate privileges"
    if context.get("runAsNonRoot") is not True:
        yield "may run as root"
    if context.get("runAsUser") == 0:
        yield "runs as root"
    if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "has no seccomp profile"
    capabilities = context.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "takes a port of the host"
