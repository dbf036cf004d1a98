"""Lines of the audit log as people read them."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from sentops_core.http.i18n import Words

_PAGES = {
    "model_version": "/backoffice/versions/",
    "training_job": "/backoffice/training/",
    "dataset_version": "/backoffice/datasets/",
    "retrain_policy": "/backoffice/retraining/",
}
_GONE = ".deleted"
_SHORT = 200


def action_in_words(words: Words, action: str) -> str:
    """What was done; a deed that we have no words for is shown as it is called."""
    key = f"audit.{action}"
    return words(key) if words.knows(key) else action


def link_of(action: str, subject: str) -> str:
    """The page of what it was done to; empty where there is none."""
    address = _PAGES.get(action.partition(".")[0])
    return f"{address}{quote(subject, safe='')}" if address and not action.endswith(_GONE) else ""


def told(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The parts of the evidence that fit on a line; the rest is for whoever opens it."""
    return [
        (name.replace("_", " "), text)
        for name, value in evidence.items()
        if (text := _plain(value))
    ]


def in_full(evidence: Mapping[str, Any]) -> str:
    return json.dumps(evidence, indent=2, ensure_ascii=False)


def _plain(value: object) -> str:
    if value is None or value == "" or isinstance(value, Mapping):
        return ""
    if isinstance(value, list):
        return "; ".join(_plain(one) for one in value)[:_SHORT]
    if isinstance(value, bool | int | float):
        return to_json(value).decode()
    return str(value)[:_SHORT]
