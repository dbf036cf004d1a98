"""Which objects a list or a watch is about, and which part of a log is wanted, by the query of a request."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.kube_objects import ApiError, Manifest


def selector(query: Mapping[str, str]) -> Callable[[Manifest], bool]:
    labels = [_label_rule(rule) for rule in _rules(query.get("labelSelector", ""))]
    fields = [rule for rule in query.get("fieldSelector", "").split(",") if rule]

    def chosen(manifest: Manifest) -> bool:
        given = manifest["metadata"].get("labels") or {}
        return all(rule(given) for rule in labels) and all(
            _field_holds(manifest, rule) for rule in fields
        )

    return chosen


def _rules(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    return [rule.strip() for rule in re.split(r",(?![^(]*\))", text) if rule.strip()]


def _label_rule(rule: str) -> Callable[[Mapping[str, str]], bool]:
    listed = re.fullmatch(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)", rule)
    if listed:
        key, word, values = listed.groups()
        wanted = {value.strip() for value in values.split(",")}
        return lambda labels: (labels.get(key) in wanted) is (word == "in")
    equal = re.fullmatch(r"([^=!\s]+)\s*(==|=|!=)\s*(\S*)", rule)
    if equal:
        key, word, value = equal.groups()
        return lambda labels: (labels.get(key) == value) is (word != "!=")
    if rule.startswith("!"):
        return lambda labels: rule[1:] not in labels
    return lambda labels: rule in labels


def _field_holds(manifest: Manifest, rule: str) -> bool:
    found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", rule)
    if found is None:
        raise ApiError(400, "BadRequest", f"invalid field selector {rule}")
    path, word, value = found.groups()
    place: Any = manifest
    for piece in path.split("."):
        place = place.get(piece) if isinstance(place, dict) else None
    return (str(place or "") == value) is (word != "!=")


def log_part(text: str, query: Mapping[str, str]) -> bytes:
    """As the kubelet does: the last lines first, then at most so many bytes from the start of those."""
    if "tailLines" in query:
        count = int(query["tailLines"])
        text = "".join(text.splitlines(keepends=True)[-count:]) if count else ""
    raw = text.encode()
    return raw[: int(query["limitBytes"])] if "limitBytes" in query else raw
