"""Custom resources for tests: written out, with every field filled in, and spoilt in some places."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.k8s.api_server import CustomResource, Json, Schema

HASH = "sha256:" + "a" * 64

_EXAMPLES: dict[str, Json] = {
    "modelName": "reviews-it",
    "storageUri": "pvc://models/reviews-it",
    "digest": HASH,
    "contentHash": HASH,
    "datasetHash": HASH,
    "championDigest": HASH,
    "servedDigest": HASH,
    "learningRate": "5e-5",
    "reason": "RunStarted",
    "cron": "0 3 * * SUN",
    "timeZone": "Europe/Rome",
    "floor": "0.75",
    "labels": ["negative", "positive"],
    "label": "positive",
    "limits": {"cpu": 2, "memory": "4Gi"},
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "tolerations": [
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
    ],
    "steps": [{"setWeight": 5}, {"pauseSeconds": 60}, {"analysis": True}],
    "perClass": {"positive": {"precision": 1, "recall": 0.5, "f1": 0.25, "support": 3}},
}
_OTHER_TEXT = [
    *(
        "",
        " ",
        "A",
        "a\n",
        "a b",
        "-a",
        "a-",
        "é",
        "٣",
        "a\u00a0b",
        "a.b",
        "a_b",
        "joy",
        "positive",
    ),
    *(
        "-1",
        "0",
        "-0",
        "0.0",
        "1",
        "1.01",
        "9",
        "0.01",
        "0.5",
        "5E-1",
        "0.5 ",
        "1e",
        "1e999",
        "1e-999",
    ),
    *(
        ".5",
        "1_0",
        "0x1",
        "NaN",
        "true",
        "2",
        "500m",
        "1.5Gi",
        "-2",
        "+1",
        "1e3",
        "4GiB",
        "1.",
        "+.5",
    ),
    *(
        "hf://org/name@rev",
        "s3://b/p",
        "named://x",
        "package://p/q",
        "ftp://x/y",
        "s3://",
        "gs://b/p",
    ),
    *("file:///a b", "file:///é%20", "file:///a\u00a0b", "FILE:///a", "https://a/b", "pvc://c/p\n"),
    *("sha256:" + "A" * 64, HASH + "0", "sha1:" + "a" * 40, "Exists", "NoSchedule", "Linear"),
    *("2026-11-21T12:00:00Z", "2026-11-21t12:00:00.5+01:00", "2026-11-21T12:00:00", "1764000000"),
    *(
        "2026-11-21 12:00:00Z",
        "2026-11-21",
        "2026-13-01T00:00:00Z",
        "2026-11-21T25:00:00Z",
        "yesterday",
    ),
]
ABSENT = object()
_OTHER_TYPES: list[Json] = [
    7,
    0,
    -1,
    1.5,
    True,
    False,
    "text",
    "3",
    [],
    [{}],
    ["a"],
    {},
    {"a": "b"},
]


def a_training_job(**spec: Json) -> Json:
    required = {
        "modelName": "reviews-it",
        "baseModel": {"storageUri": "hf://org/name@rev"},
        "dataset": {"storageUri": "s3://bucket/datasets/v7", "contentHash": HASH},
        "output": {"storageUri": "pvc://models/reviews-it"},
    }
    return _document("TrainingJob", required | spec)


def a_model_version(**spec: Json) -> Json:
    required = {
        "modelName": "reviews-it",
        "version": 13,
        "artifact": {"storageUri": "s3://bucket/artifacts/aa", "digest": HASH, "sizeBytes": 1000},
        "datasetHash": HASH,
    }
    return _document("ModelVersion", required | spec)


def a_retrain_policy(**spec: Json) -> Json:
    required = {"modelName": "reviews-it", "triggers": {"newLabels": {"min": 200}}}
    return _document("RetrainPolicy", required | spec)


def a_full_document(resource: CustomResource) -> Json:
    """Every field of spec and status filled in."""
    properties = resource.schema["properties"]
    document = _document(resource.kind, _filled(properties["spec"], "spec"))
    return document | {"status": _filled(properties["status"], "status")}


def _document(kind: str, spec: Json) -> Json:
    metadata = {"name": "reviews-it-13"}
    return {
        "apiVersion": "sentops.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": copy.deepcopy(spec),
    }


def _filled(schema: Schema, name: str) -> Json:
    if name in _EXAMPLES and not (name == "labels" and schema["type"] == "object"):
        return copy.deepcopy(_EXAMPLES[name])
    if "enum" in schema:
        return schema["enum"][-1]
    match schema.get("type"):
        case "object" if "additionalProperties" in schema:
            return {"example": _filled(schema["additionalProperties"], "")}
        case "object":
            return {key: _filled(child, key) for key, child in schema.get("properties", {}).items()}
        case "array":
            return [_filled(schema["items"], "")]
        case "boolean":
            return True
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "number":
            return 0.5
        case "string" if schema.get("format") == "date-time":
            return "2026-11-21T12:00:00Z"
    return "0"  # a name, a quantity, a share, a label's value


@dataclass(frozen=True)
class Place:
    """One field of a document, and the schema that it stands under."""

    path: tuple[str | int, ...]
    schema: Schema

    def value_in(self, document: Json) -> Json:
        for part in self.path:
            document = document[part]
        return document

    def is_in(self, document: Json) -> bool:
        try:
            self.value_in(document)
        except (KeyError, IndexError, TypeError):
            return False
        return True

    def set_in(self, document: Json, value: Json) -> None:
        holder = Place(self.path[:-1], {}).value_in(document)
        if value is ABSENT:
            del holder[self.path[-1]]
        else:
            holder[self.path[-1]] = copy.deepcopy(value)


def places(document: Json, resource: CustomResource) -> list[Place]:
    """Where a document can be spoilt; apiVersion and kind are said by the address as well."""
    name = Place(("metadata", "name"), {"type": "string", "maxLength": 63})
    properties = resource.schema["properties"]
    return [
        name,
        *_places(document["spec"], properties["spec"], ("spec",)),
        *_places(document["status"], properties["status"], ("status",)),
    ]


def _places(value: Json, schema: Schema, path: tuple[str | int, ...]) -> Iterator[Place]:
    if path[-1] == "reason" and "conditions" in path:
        return  # a closed set of ours; the schema leaves it open, so that an older CRD stops no newer operator
    yield Place(path, schema)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict):
        for key, child in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            yield from _places(child, inner, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _places(child, schema["items"], (*path, index))


def other_values(place: Place, value: Json) -> list[Json]:
    """What to put there instead: nothing, wrong types, bounds, just past them, what other fields hold."""
    schema = place.schema
    others = [*_OTHER_TYPES, *_around_bounds(schema, value), *schema.get("enum", ())]
    if isinstance(value, str):
        others += _OTHER_TEXT
    if isinstance(value, dict):
        others.append({**value, "colour": "red"})
    if isinstance(value, list):
        others += [value + value[:1], value[:1], ["a", "a"], ["a", "b"]]
    if place.path[:2] == (
        "status",
        "trainerStatus",
    ):  # the run's progress may hold more than we know
        others = [other for other in others if not isinstance(other, dict)]
    if place.path == ("status", "conditions"):  # one per type, which our one helper sees to
        others = [
            other for other in others if not isinstance(value, list) or other != value + value
        ]
    return [ABSENT, *others]


def _around_bounds(schema: Schema, value: Json) -> list[Json]:
    found: list[Json] = []
    for bound in ("minimum", "maximum"):
        found += [schema[bound] + step for step in (-1, 0, 1) if bound in schema]
    for bound in ("minLength", "maxLength"):
        found += ["a" * (schema[bound] + step) for step in (-1, 0, 1) if bound in schema]
    for bound in ("minItems", "maxItems"):
        if bound in schema and isinstance(value, list) and value:
            found += [_of_length(value, schema[bound] + step) for step in (-1, 0, 1)]
    if "maxProperties" in schema and isinstance(value, dict) and value:
        child = next(iter(value.values()))
        found += [
            {f"k{n}": child for n in range(schema["maxProperties"] + step)} for step in (0, 1)
        ]
    return found


def _of_length(items: list[Any], length: int) -> list[Any]:
    if items and isinstance(items[0], str):
        return [f"{items[0]}{n}" for n in range(length)]
    return [items[n % len(items)] for n in range(length)]


@st.composite
def near_documents(draw: st.DrawFn, resource: CustomResource) -> Json:
    """Documents with fields left out, and spoilt in up to three places."""
    document = a_full_document(resource)
    everywhere = places(document, resource)
    required = {("metadata", "name"), ("spec",)}
    for place in draw(st.lists(st.sampled_from(everywhere), max_size=8)):
        if place.is_in(document) and place.path not in required:
            place.set_in(document, ABSENT)
    for place in draw(st.lists(st.sampled_from(everywhere), max_size=3)):
        if place.is_in(document):
            values = other_values(place, place.value_in(document))
            place.set_in(document, values[draw(st.integers(0, len(values) - 1))])
    return document
