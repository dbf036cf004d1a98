"""What the pods of runs and of model servers have in common."""

from collections.abc import Iterable, Mapping

from sentops_core.artifacts.places import PVC_ROOT, claim_of, is_on_claim
from sentops_core.domain.resources import PodTemplate, Resources, Toleration
from sentops_operator.manifests.metadata import Manifest

USER_ID = 10001
TERMINATION_LOG = "/dev/termination-log"
SCRATCH = "/tmp"  # noqa: S108 - inside the pod, an emptyDir of its own
CACHE = "/cache"

SECURE_POD: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    "fsGroup": USER_ID,
    # Walking through a large volume at every start takes minutes.
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
SECURE_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# Whoever writes to a home or a cache folder finds one that is writable; no user name is looked up for it.
WRITABLE_FOLDERS: dict[str, str] = {
    "HOME": SCRATCH,
    "TMPDIR": SCRATCH,
    "USER": "sentops",
    "XDG_CACHE_HOME": f"{SCRATCH}/.cache",
}


def pod_basics(
    template: PodTemplate, *, service_account: str, pull_secrets: Iterable[str]
) -> Manifest:
    """The pod's fields that say who it is and where it may go."""
    spec: Manifest = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": dict(SECURE_POD),
    }
    if names := list(pull_secrets):
        spec["imagePullSecrets"] = [{"name": name} for name in names]
    if template.node_selector:
        spec["nodeSelector"] = dict(template.node_selector)
    if template.tolerations:
        spec["tolerations"] = [_toleration(one) for one in template.tolerations]
    if template.affinity:
        spec["affinity"] = dict(template.affinity)
    if template.priority_class_name:
        spec["priorityClassName"] = template.priority_class_name
    return spec


def _toleration(toleration: Toleration) -> Manifest:
    return {name: value for name, value in toleration.to_document().items() if value != ""}


def container_basics(name: str, image: str, pull_policy: str) -> Manifest:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy,
        "securityContext": dict(SECURE_CONTAINER),
        "terminationMessagePath": TERMINATION_LOG,
        # What the program wrote there always wins. Only one that died without a word (out of memory, a crash in
        # native code) leaves it empty, and then the end of its log says more than nothing.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def resources_of(resources: Resources) -> Manifest:
    return {name: values for name, values in resources.to_document().items() if values}


def merged(asked: Resources, default: Resources) -> Resources:
    """What was asked for; of the default only what is not mentioned, or a limit could be under a request."""
    mentioned = {*asked.requests, *asked.limits}

    def rest(values: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in values.items() if name not in mentioned}

    return Resources(
        requests={**rest(default.requests), **asked.requests},
        limits={**rest(default.limits), **asked.limits},
    )


def plain_env(values: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


def cores_env(name: str, resources: Resources) -> Manifest:
    """How many cores the container may count on, rounded up: its limit, else its request, else the node's."""
    only_requested = "cpu" in resources.requests and "cpu" not in resources.limits
    source = "requests.cpu" if only_requested else "limits.cpu"
    return {
        "name": name,
        "valueFrom": {"resourceFieldRef": {"resource": source, "divisor": "1"}},
    }


def secret_env(name: str, *, optional: bool) -> Manifest:
    reference: Manifest = {"name": name}
    if optional:
        reference["optional"] = True
    return {"secretRef": reference}


def empty_dir(name: str, **fields: str) -> Manifest:
    return {"name": name, "emptyDir": dict(fields)}


def claim(name: str, claim_name: str) -> Manifest:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim_name}}


def mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    made: Manifest = {"name": name, "mountPath": path}
    if read_only:
        made["readOnly"] = True
    return made


def claims_in(*uris: str) -> list[str]:
    """The claims that these addresses lie on, each once."""
    return sorted({claim_of(uri) for uri in uris if is_on_claim(uri)})


def claim_volumes(
    claims: Iterable[str], *, writable: Iterable[str] = ()
) -> tuple[list[Manifest], list[Manifest]]:
    """(volumes, mounts): each claim at /pvc/<claim>, read-only unless it is written to."""
    may_write = set(writable)
    volumes, mounts = [], []
    for number, name in enumerate(claims):
        volume = f"claim-{number}"  # a claim's name may be too long for a volume's
        volumes.append(claim(volume, name))
        mounts.append(mount(volume, f"{PVC_ROOT}/{name}", read_only=name not in may_write))
    return volumes, mounts
