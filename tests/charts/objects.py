"""Reading manifests: which pods they make, what refers to what."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.helm import Manifest, Rendered

WORKLOADS = ("Deployment", "StatefulSet", "Job", "Pod")


@dataclass(frozen=True)
class PodOf:
    """The pod that an object makes."""

    owner: Manifest
    metadata: Manifest
    spec: Manifest

    @property
    def name(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata["labels"]

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def serves(self) -> bool:
        return self.owner["kind"] in {"Deployment", "StatefulSet"}

    def container(self, name: str) -> Manifest:
        (found,) = [one for one in self.containers if one["name"] == name]
        return found


def pods_of(rendered: Rendered) -> list[PodOf]:
    return [
        PodOf(one, one["metadata"], one["spec"])
        if one["kind"] == "Pod"
        else PodOf(one, one["spec"]["template"]["metadata"], one["spec"]["template"]["spec"])
        for one in rendered.of_kind(*WORKLOADS)
    ]


def pod(rendered: Rendered, component: str) -> PodOf:
    (found,) = [one for one in pods_of(rendered) if one.component == component]
    return found


def environment(container: Manifest) -> dict[str, Any]:
    """Name to value, or to where the value comes from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", [])}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """A label selector of Kubernetes, as far as the chart uses it."""
    if not all(
        labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()
    ):
        return False
    for expression in selector.get("matchExpressions") or ():
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def secret_references(made: PodOf) -> Iterator[tuple[str, str | None]]:
    """(Secret, key) of all that a pod reads; no key: all of them."""
    for container in made.containers:
        for source in container.get("envFrom", ()):
            yield source["secretRef"]["name"], None
        for value in environment(container).values():
            if isinstance(value, dict) and "secretKeyRef" in value:
                yield value["secretKeyRef"]["name"], value["secretKeyRef"]["key"]
