"""How writes change a document: merge patch, JSON patch, server-side apply. Lists are replaced whole."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Any


def merge_patch(target: Json, patch: Json) -> Json:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: Json, operations: Iterable[Mapping[str, Json]]) -> Json:
    """RFC 6902 without move and copy; LookupError when a path or a test does not hold."""
    for operation in operations:
        parts = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        target = _changed(target, parts, operation["op"], operation.get("value"))
    return target


def _changed(target: Json, parts: list[str], action: str, value: Json) -> Json:
    head, *tail = parts
    if isinstance(target, list):
        index = len(target) if head == "-" else int(head)
        if tail:
            return [
                *target[:index],
                _changed(target[index], tail, action, value),
                *target[index + 1 :],
            ]
        if action == "add":
            return [*target[:index], value, *target[index:]]
        _expect(action, target[index], value)
        rest = [] if action == "remove" else [value]
        return [*target[:index], *rest, *target[index + 1 :]]
    if tail:
        return {**target, head: _changed(target[head], tail, action, value)}
    if action == "add":
        return {**target, head: value}
    _expect(action, target[head], value)
    if action == "remove":
        return {key: one for key, one in target.items() if key != head}
    return {**target, head: value}


def _expect(action: str, found: Json, value: Json) -> None:
    if action == "test" and found != value:
        raise LookupError("the test of a JSON patch does not hold")


def overlay(target: Json, applied: Json) -> Json:
    """The document with every field of `applied` set."""
    if not isinstance(applied, Mapping) or not isinstance(target, Mapping):
        return applied
    return {
        **target,
        **{key: overlay(target.get(key), value) for key, value in applied.items()},
    }


def without_given_up(target: Json, before: Json, after: Json, others: Iterable[Json] = ()) -> Json:
    """The document less what a manager applied before, does not apply now, and nobody else owns."""
    if not (isinstance(target, Mapping) and isinstance(before, Mapping)):
        return target
    after = after if isinstance(after, Mapping) else {}
    others = [other for other in others if isinstance(other, Mapping)]
    kept = dict(target)
    for key in before:
        if key not in kept or (key in after and not isinstance(after[key], Mapping)):
            continue
        theirs = [other[key] for other in others if key in other]
        if not isinstance(before[key], Mapping) or not isinstance(kept[key], Mapping):
            if key not in after and not theirs:
                del kept[key]
            continue
        kept[key] = without_given_up(kept[key], before[key], after.get(key), theirs)
        if not kept[key] and key not in after and not theirs:
            del kept[key]
    return kept


def disputed(applied: Json, target: Json, other: Json, path: str = "") -> list[str]:
    """The fields that another manager owns and we would change."""
    if not (isinstance(applied, Mapping) and isinstance(other, Mapping)):
        return [path] if applied != target else []
    found: list[str] = []
    for key in applied.keys() & other.keys():
        there = target.get(key) if isinstance(target, Mapping) else None
        found += disputed(applied[key], there, other[key], f"{path}.{key}")
    return found


def less_what_changed(owned: Json, before: Json, now: Json) -> Json:
    """What a manager still owns after somebody else wrote."""
    if not isinstance(owned, Mapping):
        return owned
    before = before if isinstance(before, Mapping) else {}
    now = now if isinstance(now, Mapping) else {}
    return {
        key: less_what_changed(value, before.get(key), now.get(key))
        for key, value in owned.items()
        if before.get(key) == now.get(key)
        or (isinstance(value, Mapping) and isinstance(now.get(key), Mapping))
    }
