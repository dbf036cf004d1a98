"""The newest known form of every object we watch, fed by watches, lists and our own writes.

Reading costs no call. What is read may be seconds old: actions are idempotent and statuses are saved only over
the version they were decided on, so an old view costs a turn, never correctness.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sentops_core.kube.api import Manifest
from sentops_core.kube.kinds import DEPLOYMENT, JOB, MODEL_VERSION, POD, TRAINING_JOB, Kind
from sentops_operator.manifests import metadata as names
from sentops_operator.work_queue import Key, KeyKind

WATCHED = (TRAINING_JOB, MODEL_VERSION, JOB, POD, DEPLOYMENT)

_Place: TypeAlias = tuple[Kind, str, str]
# Enough to see how a pod or a Job fares; their specs are the larger part of them.
_KEPT_OF_SPEC = {JOB: ("suspend", "completions"), POD: ()}


class ObjectCache:
    def __init__(self) -> None:
        self._objects: dict[_Place, Manifest] = {}
        self._by_key: defaultdict[tuple[Kind, Key], set[_Place]] = defaultdict(set)
        self._watched: dict[_Place, int] = {}
        self._gone: dict[_Place, int] = {}  # the version each was deleted with

    def see(self, kind: Kind, found: Manifest, *, watched: bool = False) -> Key | None:
        """Remember it unless something newer is known; gives the key it belongs to, if any."""
        place, version = _place(kind, found), _version(found)
        key = key_of(kind, found)
        if version <= self._gone.get(place, -1):
            return key  # an answer or a list from before its deletion
        if watched:
            self._watched[place] = max(version, self._watched.get(place, 0))
        known = self._objects.get(place)
        if known is not None and _version(known) > version:
            return key
        self._drop(place)
        if key is not None:
            self._objects[place] = _essence(kind, found)
            self._by_key[kind, key].add(place)
        return key

    def forget(self, kind: Kind, gone: Manifest) -> Key | None:
        place = _place(kind, gone)
        known = self._objects.get(place)
        if known is not None and known["metadata"].get("uid") != gone["metadata"].get("uid"):
            return None  # news of an earlier object of that name
        if version := max(_version(gone), _version(known) if known else 0):
            self._gone[place] = version
        self._watched.pop(place, None)
        self._drop(place)
        return key_of(kind, known or gone)

    def known(self, kind: Kind, namespace: str | None) -> dict[_Place, int]:
        """What is known of a kind (None: in all namespaces); to be asked before listing it, for `replace`."""
        # A list that is yet to be asked for knows of every deletion we know of.
        for place in [place for place in self._gone if _in_scope(place, kind, namespace)]:
            del self._gone[place]
        return {
            place: _version(found)
            for place, found in self._objects.items()
            if _in_scope(place, kind, namespace)
        }

    def known_of_key(self, kind: Kind, key: Key) -> dict[_Place, int]:
        """The same of one key."""
        return {
            place: _version(self._objects[place]) for place in self._by_key.get((kind, key), ())
        }

    def replace(
        self, kind: Kind, listed: Iterable[Manifest], before: Mapping[_Place, int]
    ) -> set[Key]:
        """A list's truth about what was known before it; what came or changed meanwhile is newer and stays."""
        touched = set()
        found = {_place(kind, one): one for one in listed}
        for place, version in before.items():
            known = self._objects.get(place)
            if place not in found and known is not None and _version(known) == version:
                touched.add(self.forget(kind, known))
        for one in found.values():
            touched.add(self.see(kind, one))
        return {key for key in touched if key is not None}

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return self._objects.get((kind, namespace, name))

    def of_key(self, kind: Kind, key: Key) -> list[Manifest]:
        """Everything of this kind that belongs to the key."""
        return [self._objects[place] for place in self._by_key.get((kind, key), ())]

    def all_of(self, kind: Kind) -> list[Manifest]:
        return [found for (one, _, _), found in self._objects.items() if one == kind]

    def unwatched(self, kind: Kind, listed: Iterable[Manifest]) -> dict[_Place, int]:
        """What a list shows and no watch has told yet: place and version."""
        newest = {_place(kind, one): _version(one) for one in listed if key_of(kind, one)}
        return {
            place: version
            for place, version in newest.items()
            if self._watched.get(place, 0) < version
        }

    def still_unwatched(self, before: dict[_Place, int]) -> list[_Place]:
        """Of those, the ones no watch has told since, though they still exist."""
        return [
            place
            for place, version in before.items()
            if place in self._objects and self._watched.get(place, 0) < version
        ]

    def _drop(self, place: _Place) -> None:
        known = self._objects.pop(place, None)
        key = key_of(place[0], known) if known is not None else None
        if key is None:
            return
        places = self._by_key[place[0], key]
        places.discard(place)
        if not places:
            del self._by_key[place[0], key]


def key_of(kind: Kind, found: Manifest) -> Key | None:
    """Whose converge an object matters to; None: nobody's."""
    metadata = found["metadata"]
    namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
    if kind == TRAINING_JOB:
        return Key(KeyKind.TRAINING_JOB, namespace, metadata["name"])
    if kind == MODEL_VERSION:
        model_name = (found.get("spec") or {}).get("modelName", "")
        return Key(KeyKind.MODEL, namespace, model_name)
    if names.TRAINING_JOB_LABEL in labels:
        return Key(KeyKind.TRAINING_JOB, namespace, labels[names.TRAINING_JOB_LABEL])
    if names.SLOT_LABEL in labels and names.MODEL_LABEL in labels:
        return Key(KeyKind.MODEL, namespace, labels[names.MODEL_LABEL])
    return None


def _in_scope(place: _Place, kind: Kind, namespace: str | None) -> bool:
    return place[0] == kind and namespace in {None, place[1]}


def _place(kind: Kind, found: Manifest) -> _Place:
    metadata = found["metadata"]
    return kind, metadata.get("namespace", ""), metadata["name"]


def _version(found: Manifest) -> int:
    """Resource versions of one kind are comparable numbers (KEP-5504); anything else is taken as old."""
    version = str(found["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdigit() else 0


def _essence(kind: Kind, found: Manifest) -> Manifest:
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    kept = _KEPT_OF_SPEC.get(kind)
    spec = found.get("spec") or {}
    if kept is not None:
        spec = {key: spec[key] for key in kept if key in spec}
    if kind == DEPLOYMENT:
        template = {"metadata": (spec.get("template") or {}).get("metadata") or {}}
        spec = {"replicas": spec.get("replicas"), "template": template}
    if kind == POD:
        # The run's spec travels as an annotation, and is long.
        metadata["annotations"] = {
            key: value
            for key, value in (metadata.get("annotations") or {}).items()
            if key.startswith("sentops.dev/") and len(value) < 200
        }
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": metadata,
        "spec": spec,
        "status": found.get("status") or {},
    }
