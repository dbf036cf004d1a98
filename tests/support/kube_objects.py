"""The objects behind a pretend API server: versions, generations, ownership and events as Kubernetes keeps them."""

import copy
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sentops_core.kube.kinds import KINDS, Kind
from tests.support.kube_managers import noted
from tests.support.kube_merging import (
    disputed,
    json_patch,
    less_what_changed,
    merge_patch,
    overlay,
    without_given_up,
)

Manifest: TypeAlias = dict[str, Any]
Json: TypeAlias = Any
Key: TypeAlias = tuple[str, str, str, str]  # apiVersion, plural, namespace, name

# What only the test's other side needs: kopf, leases, checks of the chart.
EXTRA_KINDS = (
    Kind("v1", "Namespace", "namespaces", namespaced=False),
    Kind("v1", "Event", "events"),
    Kind("v1", "ConfigMap", "configmaps"),
    Kind("v1", "Secret", "secrets"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("coordination.k8s.io/v1", "Lease", "leases"),
    Kind("apps/v1", "ReplicaSet", "replicasets"),
    Kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        namespaced=False,
    ),
)
ALL_KINDS = (*KINDS, *EXTRA_KINDS)
_WITHOUT_STATUS = {"events", "configmaps", "secrets", "serviceaccounts", "leases", "tokenreviews"}
# As the real server's validation: a change of these is 422.
_IMMUTABLE = {
    "jobs": ("template", "selector", "completionMode", "podFailurePolicy", "podReplacementPolicy"),
    "deployments": ("selector",),
    "persistentvolumeclaims": ("storageClassName", "accessModes", "volumeName"),
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_KEPT = 50_000  # events that a watch can still start from


class ApiError(Exception):
    """A refusal, as the Status document says it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    def document(self) -> Manifest:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.status,
        }


@dataclass(frozen=True)
class Change:
    """One line of the history; `before` tells a watch with a selector what left it."""

    version: int
    type: str
    kind: Kind
    object: Manifest
    before: Manifest | None


# May change or refuse (ApiError) what is written: (new, old or None, part or None) -> what is stored.
Admission: TypeAlias = Callable[[Manifest, Manifest | None, str | None], Manifest]


@dataclass
class KubeObjects:
    """Stored manifests are never changed in place, so they may be handed out for reading."""

    kinds: tuple[Kind, ...] = ALL_KINDS
    admission: Admission | None = None
    version: int = 100
    oldest: int = 100  # watches from before this are 410
    history: deque[Change] = field(default_factory=lambda: deque(maxlen=_KEPT))
    listeners: list[Callable[[Change], None]] = field(default_factory=list)
    _objects: dict[Key, Manifest] = field(default_factory=dict)
    _applied: dict[Key, dict[tuple[str, str], Manifest]] = field(default_factory=dict)

    # Reading

    def find(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return self._objects.get(_key(kind, namespace, name))

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        found = self.find(kind, namespace, name)
        if found is None:
            raise _not_found(kind, name)
        return found

    def all(self, kind: Kind, namespace: str = "") -> list[Manifest]:
        """By namespace and name."""
        return [found for _, found in sorted(self._of(kind, namespace))]

    def _of(self, kind: Kind, namespace: str) -> Iterator[tuple[Key, Manifest]]:
        for key, found in self._objects.items():
            if key[:2] == (kind.api_version, kind.plural) and namespace in {"", key[2]}:
                yield key, found

    # Writing

    def create(
        self, kind: Kind, namespace: str, manifest: Manifest, *, as_is: bool = False
    ) -> Manifest:
        """`as_is` keeps the status, for tests that arrange."""
        metadata = dict(manifest.get("metadata") or {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        name = metadata.get("name", "")
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise _invalid(kind, name, f'metadata.name: Invalid value: "{name}"')
        if kind.namespaced and metadata.get("namespace", namespace) != namespace:
            raise ApiError(400, "BadRequest", "the namespace of the object does not match the URL")
        key = _key(kind, namespace, name)
        if key in self._objects:
            message = f'{kind.plural} "{name}" already exists'
            raise ApiError(409, "AlreadyExists", message)
        if metadata.get("resourceVersion"):
            raise ApiError(
                400, "BadRequest", "resourceVersion should not be set on objects to be created"
            )
        metadata |= {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        metadata |= {"namespace": namespace} if kind.namespaced else {}
        new = {**copy.deepcopy(manifest), "metadata": copy.deepcopy(metadata)}
        new |= {"apiVersion": kind.api_version, "kind": kind.name}
        if has_status(kind) and not as_is:
            new.pop("status", None)
        if self.admission is not None:
            new = self.admission(new, None, None)
        return self._store(kind, key, "ADDED", new, None)

    def replace(
        self, kind: Kind, namespace: str, name: str, manifest: Manifest, part: str | None = None
    ) -> Manifest:
        return self._update(kind, namespace, name, lambda _: copy.deepcopy(manifest), part)

    def merge_patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Json,
        part: str | None = None,
        *,
        manager: str = "",
    ) -> Manifest:
        def change(old: Manifest) -> Manifest:
            return noted(old, merge_patch(old, patch), manager)

        return self._update(kind, namespace, name, change, part)

    def json_patch(
        self, kind: Kind, namespace: str, name: str, patch: Json, part: str | None = None
    ) -> Manifest:
        def change(old: Manifest) -> Manifest:
            try:
                changed: Manifest = json_patch(old, patch)
            except (LookupError, ValueError) as error:
                raise _invalid(kind, name, f"the patch does not apply: {error}") from error
            return changed

        return self._update(kind, namespace, name, change, part)

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        manifest: Manifest,
        *,
        manager: str,
        force: bool,
        part: str | None = None,
    ) -> tuple[Manifest, bool]:
        """Server-side apply; with the object, whether it is new."""
        if not manager:
            raise ApiError(400, "BadRequest", "fieldManager is required for apply patch")
        key = _key(kind, namespace, name)
        config = _owned_part(kind, manifest, part)
        old = self._objects.get(key)
        if old is None:
            if part is not None:
                raise _not_found(kind, name)
            if (manifest.get("metadata") or {}).get("resourceVersion"):
                raise ApiError(409, "Conflict", f'{kind.plural} "{name}" does not exist any more')
            created = self.create(kind, namespace, manifest)
            self._applied[key] = {(manager, part or ""): config}
            return created, True
        owners = self._applied.setdefault(key, {})
        mine = (manager, part or "")
        others = {owner: owned for owner, owned in owners.items() if owner != mine}
        if not force:
            fields = [one for owned in others.values() for one in disputed(config, old, owned)]
            if fields:
                message = f"Apply failed with {len(fields)} conflicts: {', '.join(fields)}"
                raise ApiError(409, "Conflict", message)

        def change(before: Manifest) -> Manifest:
            kept = without_given_up(before, owners.get(mine, {}), config, others.values())
            given = {
                key: value
                for key, value in (manifest.get("metadata") or {}).items()
                if key in {"resourceVersion", "uid"}
            }
            applied: Manifest = overlay(
                kept, merge_patch(config, {"metadata": given} if given else {})
            )
            return applied

        new = self._update(kind, namespace, name, change, part, forget=False)
        for owner, owned in others.items():
            owners[owner] = less_what_changed(owned, old, new)
        owners[mine] = config
        return new, False

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        version: str | None = None,
        orphan: bool = False,
    ) -> Manifest:
        """Gone, or marked while finalizers hold it; what it owns goes with it."""
        old = self.get(kind, namespace, name)
        metadata = old["metadata"]
        for given, found in ((uid, metadata["uid"]), (version, metadata["resourceVersion"])):
            if given is not None and given != found:
                raise ApiError(409, "Conflict", f"the precondition {given} does not hold: {found}")
        if metadata.get("finalizers"):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            marked = {**old, "metadata": {"deletionTimestamp": now, **metadata}}
            key = _key(kind, namespace, name)
            return self._store(kind, key, "MODIFIED", marked, old) if marked != old else old
        return self._remove(kind, _key(kind, namespace, name), old, orphan=orphan)

    def compact(self) -> None:
        """As etcd does after minutes: older versions cannot be watched from any more."""
        self.history.clear()
        self.oldest = self.version

    def _update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Manifest], Manifest],
        part: str | None,
        *,
        forget: bool = True,
    ) -> Manifest:
        old = self.get(kind, namespace, name)
        wanted = change(old)
        for field_name in ("resourceVersion", "uid"):
            given = (wanted.get("metadata") or {}).get(field_name)
            if given and given != old["metadata"][field_name]:
                raise ApiError(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on {kind.plural} "{name}": the object has been '
                    "modified; please apply your changes to the latest version and try again",
                )
        new = _isolated(kind, old, wanted, part)
        if self.admission is not None:
            new = self.admission(new, old, part)
        if new == old:  # nothing changed: no new version, no event
            return old
        _refuse_immutable(kind, old, new)
        if _body(new) != _body(old) and part is None:
            generation = old["metadata"].get("generation", 1) + 1
            new = {**new, "metadata": {**new["metadata"], "generation": generation}}
        key = _key(kind, namespace, name)
        if forget and key in self._applied:
            self._applied[key] = {
                owner: less_what_changed(owned, old, new)
                for owner, owned in self._applied[key].items()
            }
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            return self._remove(kind, key, new, orphan=False)
        return self._store(kind, key, "MODIFIED", new, old)

    def _store(
        self, kind: Kind, key: Key, event: str, new: Manifest, before: Manifest | None
    ) -> Manifest:
        stored = self._next_version(new)
        self._objects[key] = stored
        self._tell(Change(self.version, event, kind, stored, before))
        return stored

    def _remove(self, kind: Kind, key: Key, old: Manifest, *, orphan: bool) -> Manifest:
        gone = self._next_version(old)
        del self._objects[key]
        self._applied.pop(key, None)
        self._tell(Change(self.version, "DELETED", kind, gone, old))
        if not orphan:
            self._collect(gone["metadata"]["uid"])
        return gone

    def _collect(self, owner_uid: str) -> None:
        """The garbage collector, without its delay."""
        for key, child in list(self._objects.items()):
            owners = child["metadata"].get("ownerReferences") or ()
            if key in self._objects and any(owner.get("uid") == owner_uid for owner in owners):
                self.delete(self._kind(key), key[2], key[3])

    def _kind(self, key: Key) -> Kind:
        return next(kind for kind in self.kinds if (kind.api_version, kind.plural) == key[:2])

    def _next_version(self, manifest: Manifest) -> Manifest:
        self.version += 1
        return {
            **manifest,
            "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)},
        }

    def _tell(self, change: Change) -> None:
        if len(self.history) == _KEPT:
            self.oldest = self.history[0].version
        self.history.append(change)
        for listener in list(self.listeners):
            listener(change)


def has_status(kind: Kind) -> bool:
    return kind.plural not in _WITHOUT_STATUS


def _key(kind: Kind, namespace: str, name: str) -> Key:
    return kind.api_version, kind.plural, namespace if kind.namespaced else "", name


def _isolated(kind: Kind, old: Manifest, wanted: Manifest, part: str | None) -> Manifest:
    """Status is written through its subresource alone, and nothing else is."""
    if part == "status":
        new = {**old, "status": wanted["status"]} if "status" in wanted else dict(old)
        return copy.deepcopy(new)
    given = dict(wanted.get("metadata") or {})
    kept = {
        key: value
        for key, value in old["metadata"].items()
        if key
        in {
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
        }
    }
    new = {**wanted, "metadata": {**given, **kept}}
    new |= {"apiVersion": old["apiVersion"], "kind": old["kind"]}
    if has_status(kind):
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return copy.deepcopy(new)


def _owned_part(kind: Kind, manifest: Manifest, part: str | None) -> Manifest:
    if part == "status":
        return {"status": copy.deepcopy(manifest.get("status"))}
    config = {
        key: copy.deepcopy(value)
        for key, value in manifest.items()
        if key not in {"apiVersion", "kind", "metadata"}
        and not (key == "status" and has_status(kind))
    }
    metadata = {
        key: copy.deepcopy(value)
        for key, value in (manifest.get("metadata") or {}).items()
        if key in {"labels", "annotations", "finalizers", "ownerReferences"}
    }
    return {**config, "metadata": metadata} if metadata else config


def _body(manifest: Manifest) -> Manifest:
    return {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}


def _refuse_immutable(kind: Kind, old: Manifest, new: Manifest) -> None:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for name in _IMMUTABLE.get(kind.plural, ()):
        if isinstance(before, Mapping) and before.get(name) != after.get(name):
            raise _invalid(kind, old["metadata"]["name"], f"spec.{name}: field is immutable")


def _not_found(kind: Kind, name: str) -> ApiError:
    group = f".{kind.group}" if kind.group else ""
    return ApiError(404, "NotFound", f'{kind.plural}{group} "{name}" not found')


def _invalid(kind: Kind, name: str, why: str) -> ApiError:
    return ApiError(422, "Invalid", f'{kind.name} "{name}" is invalid: {why}')
