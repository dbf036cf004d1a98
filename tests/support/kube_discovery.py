"""What kinds there are, as clients that discover them ask."""

from sentops_core.kube.kinds import Kind
from tests.support.kube_objects import Manifest, has_status


def discovery(kinds: tuple[Kind, ...], pieces: list[str]) -> Manifest | None:
    groups = sorted({kind.api_version for kind in kinds if kind.group})
    match pieces:
        case ["version"]:
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.0-pretend"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            versions = [{"groupVersion": one, "version": one.split("/")[1]} for one in groups]
            found = [
                {
                    "name": one["groupVersion"].split("/")[0],
                    "versions": [one],
                    "preferredVersion": one,
                }
                for one in versions
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
        case ["api", version]:
            return _resources(kinds, version)
        case ["apis", group, version] if f"{group}/{version}" in groups:
            return _resources(kinds, f"{group}/{version}")
    return None


def _resources(kinds: tuple[Kind, ...], api_version: str) -> Manifest:
    every = ["create", "delete", "get", "list", "patch", "update", "watch"]
    found: list[Manifest] = []
    for kind in kinds:
        if kind.api_version != api_version:
            continue
        one = {"kind": kind.name, "namespaced": kind.namespaced}
        found.append(
            {**one, "name": kind.plural, "singularName": kind.name.lower(), "verbs": every}
        )
        if has_status(kind):
            verbs = ["get", "patch", "update"]
            found.append(
                {**one, "name": f"{kind.plural}/status", "singularName": "", "verbs": verbs}
            )
    return {"kind": "APIResourceList", "groupVersion": api_version, "resources": found}
