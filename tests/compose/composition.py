"""compose.yaml read as compose reads it, without Docker: variables replaced, YAML merged, each service as data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sentops_cli.compose_env import check_options, make_plan

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "compose"
FILE = FOLDER / "compose.yaml"
GUIDE = (FOLDER / "README.md").read_text()

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Missing(Exception):
    """A variable that the file requires; what compose says then."""


def settings(**options: str) -> dict[str, str]:
    """What `sentops init compose` writes into a new .env with these options, by name."""
    plan = make_plan(None, check_options(options), FOLDER / ".env")
    return {line.name: line.meaning for line in plan.lines if line.name}


def uses(text: str) -> set[str]:
    """The variables that a text names, those in a default's default as well."""
    return set(re.findall(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)", text))


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """$$, $NAME and ${NAME}, :-, -, :?, ?, :+ and +, one in the other; Missing where the file requires a value."""
    done, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        done.append(text[at:dollar])
        if text.startswith("$$", dollar):
            done.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar):
            end = _closing(text, dollar + 2)
            done.append(_expression(text[dollar + 2 : end], values))
            at = end + 1
        elif (name := _NAME.match(text, dollar + 1)) is not None:
            done.append(values.get(name[0], ""))
            at = name.end()
        else:
            raise ValueError(f"a single $ in {text!r}")
    return "".join((*done, text[at:]))


def _closing(text: str, at: int) -> int:
    depth = 1
    for position in range(at, len(text)):
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            return position
    raise ValueError(f"no closing brace in {text!r}")


def _expression(inside: str, values: Mapping[str, str]) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise ValueError(f"no name in ${{{inside}}}")
    operator = re.match(r":?[-?+]|", inside[name.end() :])
    assert operator is not None
    rest = inside[name.end() + operator.end() :]
    value = values.get(name[0])
    there = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1:]:
        case "-" if not there:
            return interpolate(rest, values)
        case "?" if not there:
            raise Missing(f"required variable {name[0]} is missing a value: {rest}")
        case "+":
            return interpolate(rest, values) if there else ""
        case "" if rest:
            raise ValueError(f"what is ${{{inside}}}?")
    return value or ""


def _resolve(node: Any, values: Mapping[str, str]) -> Any:
    match node:
        case str():
            return interpolate(node, values)
        case dict():
            return {key: _resolve(part, values) for key, part in node.items()}
        case list():
            return [_resolve(part, values) for part in node]
    return node


# ---- what a service has


@dataclass(frozen=True)
class Port:
    address: str
    host: int
    container: int
    protocol: str

    @classmethod
    def read(cls, text: str) -> "Port":
        found = re.fullmatch(r"(\[[^]]+\]|[^:]+):(\d+):(\d+)(?:/(tcp|udp))?", text)
        assert found is not None, f"{text}: write ADDRESS:PORT:PORT"
        return cls(found[1], int(found[2]), int(found[3]), found[4] or "tcp")


@dataclass(frozen=True)
class Mount:
    source: str
    target: str
    read_only: bool

    @property
    def of_a_folder(self) -> bool:
        return self.source.startswith((".", "/"))


@dataclass(frozen=True)
class Service:
    name: str
    content: dict[str, Any]

    @property
    def profiles(self) -> set[str]:
        return set(self.content.get("profiles", ()))

    @property
    def image(self) -> str:
        return str(self.content["image"])

    @property
    def ours(self) -> bool:
        return "build" in self.content

    @property
    def target(self) -> str:
        """Of the Dockerfile: the program."""
        return str(self.content["build"]["target"])

    @cached_property
    def environment(self) -> dict[str, str]:
        return {key: str(value) for key, value in self.content.get("environment", {}).items()}

    @property
    def networks(self) -> set[str]:
        return set(self.content["networks"])

    @property
    def ports(self) -> list[Port]:
        return [Port.read(text) for text in self.content.get("ports", ())]

    @property
    def mounts(self) -> list[Mount]:
        found = []
        for text in self.content.get("volumes", ()):
            source, target, *mode = text.split(":")
            found.append(Mount(source, target, mode == ["ro"]))
        return found


@dataclass(frozen=True)
class Composition:
    content: dict[str, Any]

    @cached_property
    def services(self) -> dict[str, Service]:
        return {name: Service(name, one) for name, one in self.content["services"].items()}

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services.values())

    def reaches(self, name: str) -> set[str]:
        """Who shares a network with this one."""
        networks = self[name].networks
        return {one.name for one in self if one.networks & networks} - {name}


def composition(values: Mapping[str, str] | None = None, file: Path = FILE) -> Composition:
    """The file with these variables; without any: with what init writes for a machine of one's own."""
    content = yaml.safe_load(file.read_text())
    return Composition(_resolve(content, settings() if values is None else values))
