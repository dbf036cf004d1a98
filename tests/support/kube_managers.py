"""Who owns which field after a patch, as the API server notes it in metadata.managedFields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]


def noted(old: Mapping[str, Any], new: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """The new document with what changed in spec and annotations as the manager's, and nobody else's."""
    metadata = dict(new["metadata"])
    changed = _changed(_watched(old), _watched(new))
    if not manager or not changed:
        return dict(new)
    mine: Fields = changed
    entries = []
    for entry in metadata.get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if entry.get("manager") == manager and not entry.get("subresource"):
            mine = _joined(fields, changed)
        else:
            entries.append({**entry, "fieldsV1": _less(fields, changed)})
    mine = {
        "manager": manager,
        "operation": "Update",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fieldsType": "FieldsV1",
        "fieldsV1": mine,
    }
    return {**new, "metadata": {**metadata, "managedFields": [*entries, mine]}}


def _watched(document: Mapping[str, Any]) -> dict[str, Any]:
    annotations = document["metadata"].get("annotations") or {}
    return {"spec": document.get("spec") or {}, "metadata": {"annotations": annotations}}


def _changed(old: Any, new: Any) -> Fields:
    """Fields of the new document that the old one lacks or has otherwise."""
    old = old if isinstance(old, Mapping) else {}
    found: Fields = {}
    for key, value in new.items():
        if isinstance(value, Mapping):
            if inner := _changed(old.get(key), value):
                found[f"f:{key}"] = inner
        elif old.get(key) != value:
            found[f"f:{key}"] = {}
    return found


def _joined(one: Fields, other: Fields) -> Fields:
    return {key: _joined(one.get(key, {}), other.get(key, {})) for key in one | other}


def _less(fields: Fields, changed: Fields) -> Fields:
    kept = {}
    for key, inner in fields.items():
        left = _less(inner, changed.get(key, {}))
        if left or key not in changed:
            kept[key] = left
    return kept
