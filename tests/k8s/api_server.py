"""What an API server makes of a custom resource: nulls dropped, defaults set, schema and CEL rules applied."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from cel_expr_python import cel
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

CRDS = Path(__file__).parents[2] / "k8s" / "crds"
Schema = dict[str, Any]
Json = Any

# Kubernetes' own part of every object: a name is an RFC 1123 subdomain.
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_METADATA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "maxLength": 253, "pattern": _SUBDOMAIN}},
}
_TIME = re.compile(
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII | re.IGNORECASE,
)
_KEPT_KEYWORDS = {
    *("type", "required", "enum", "format", "pattern", "minimum", "maximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
}
_ENVIRONMENT = cel.NewEnv(variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN})


@dataclass(frozen=True)
class CustomResource:
    """One CustomResourceDefinition, read from its file."""

    definition: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, name: str) -> "CustomResource":
        return cls(yaml.safe_load((CRDS / f"{name}.yaml").read_text()))

    def __str__(self) -> str:
        return self.kind

    @property
    def kind(self) -> str:
        return self.definition["spec"]["names"]["kind"]

    @property
    def version(self) -> dict[str, Any]:
        (version,) = self.definition["spec"]["versions"]
        return version

    @property
    def schema(self) -> Schema:
        return self.version["schema"]["openAPIV3Schema"]

    @cached_property
    def _validator(self) -> Any:
        return _Validator(_closed(self.schema), format_checker=_FORMATS)

    def stored(self, document: Json) -> Json:
        """The document with every default set, as the API server keeps it."""
        return _defaulted(copy.deepcopy(document), self.schema)

    def refusals(self, document: Json, old: Json = None) -> list[str]:
        """Sentences on why the API server refuses it (strict field validation); none if it takes it."""
        document = self.stored(document)
        wrong = [
            f"{_path(error.absolute_path)}: {error.message}"
            for error in self._validator.iter_errors(document)
        ]
        if wrong:
            return wrong  # as the API server does: rules are for documents of the right shape
        return list(_broken_rules(self.schema, document, old and self.stored(old), ()))


def every_schema(
    schema: Schema, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Each field's schema with its path; items are `[]`, values of a map `{}`."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from every_schema(child, (*path, name))
    if "items" in schema:
        yield from every_schema(schema["items"], (*path, "[]"))
    if "additionalProperties" in schema:
        yield from every_schema(schema["additionalProperties"], (*path, "{}"))


def _closed(schema: Schema) -> Schema:
    """As JSON schema: unknown fields refused, integers or strings where Kubernetes says so."""
    closed = {key: value for key, value in schema.items() if key in _KEPT_KEYWORDS}
    if schema.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
    if "properties" in schema:
        closed["properties"] = {
            name: _METADATA if name == "metadata" else _closed(child)
            for name, child in schema["properties"].items()
        }
        closed["additionalProperties"] = False
        if "metadata" in closed["properties"]:
            closed["required"] = ["apiVersion", "kind", "metadata", *closed["required"]]
    if "additionalProperties" in schema:
        closed["additionalProperties"] = _closed(schema["additionalProperties"])
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    if "x-kubernetes-list-map-keys" in schema:
        closed["listMapKeys"] = schema["x-kubernetes-list-map-keys"]
    return closed


def _distinct_by_keys(_: Any, keys: list[str], items: Json, __: Any) -> Iterator[ValidationError]:
    if isinstance(items, list) and all(isinstance(item, dict) for item in items):
        seen = [[item.get(key) for key in keys] for item in items]
        if any(one in seen[:index] for index, one in enumerate(seen)):
            yield ValidationError(f"two items with the same {', '.join(keys)}")


def _re2_pattern(_: Any, pattern: str, text: Json, __: Any) -> Iterator[ValidationError]:
    """RE2: `$` is the end, not the last line break; classes are ASCII's."""
    if isinstance(text, str) and not re.fullmatch(pattern[1:-1], text, re.ASCII):
        yield ValidationError(f"{text!r} should match {pattern}")


_Validator = validators.extend(
    Draft202012Validator, {"listMapKeys": _distinct_by_keys, "pattern": _re2_pattern}
)
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time")
def _is_moment(text: Json) -> bool:
    if not isinstance(text, str):
        return True
    day, _, time = text.upper().partition("T")
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    found = _TIME.fullmatch(time)
    return (
        len(day) == 10
        and found is not None
        and found[1] <= "23"
        and max(found[2], found[3]) <= "59"
    )


def _defaulted(value: Json, schema: Schema) -> Json:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, child in properties.items():
            if "default" in child and value.get(name) is None:
                value[name] = copy.deepcopy(child["default"])
        for name in [name for name in value if name in properties]:
            if value[name] is None:
                del value[name]
            else:
                _defaulted(value[name], properties[name])
        if "additionalProperties" in schema:
            for child in value.values():
                _defaulted(child, schema["additionalProperties"])
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            _defaulted(item, schema["items"])
    return value


def rules_of(schema: Schema, value: Json) -> list[str]:
    """The rules of this schema and of those inside it that a value breaks."""
    return list(_broken_rules(schema, value, None, ()))


def _broken_rules(
    schema: Schema, value: Json, old: Json, path: tuple[str | int, ...]
) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"] and old is None:
            continue
        if not _holds(rule["rule"], value, old):
            message = rule["message"]
            if expression := rule.get("messageExpression"):
                message = _evaluated(expression, value, old)
            yield f"{_path(path)}{rule.get('fieldPath', '')}: {message}"
    if isinstance(value, dict):
        for name, child in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(inner, dict) and name != "metadata":
                before = old.get(name) if isinstance(old, dict) else None
                yield from _broken_rules(inner, child, before, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _broken_rules(schema["items"], child, None, (*path, index))


def _holds(rule: str, value: Json, old: Json) -> bool:
    """An error while evaluating (a number too large to read) refuses, as in the API server."""
    return _evaluated(rule, value, old) is True


def _evaluated(expression: str, value: Json, old: Json) -> Json:
    return _compiled(expression).eval(data={"self": value, "oldSelf": old}).plain_value()


@cache
def _compiled(expression: str) -> Any:
    return _ENVIRONMENT.compile(expression)


def _path(parts: Any) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]
