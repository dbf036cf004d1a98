"""A panel's SQL as Grafana sends it: variables put in as its SQL data sources do, then the macros that PostgreSQL's has.

Written after Grafana's own sources (interpolateVariable of @grafana/sql, macros.go of the PostgreSQL data source): an
unknown macro is an error, and a macro's argument ends at the first closing bracket.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

Value = str | Sequence[str]  # several: of a variable that can have several

_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_VARIABLE = re.compile(r"\$(\w+)|\[\[(\w+)\]\]|\$\{(\w+)[^}]*\}")
BUILT_IN = {"__interval", "__interval_ms", "__rate_interval", "__range", "__from", "__to"}


class UnknownMacro(Exception):
    pass


@dataclass(frozen=True)
class Asked:
    """What a dashboard is looked at with."""

    start: datetime
    end: datetime
    variables: Mapping[str, Value] = field(default_factory=dict)
    interval: timedelta = timedelta(minutes=10)

    def sql(self, statement: str) -> str:
        return self._with_macros(self._with_variables(statement))

    def promql(self, expression: str, *, rate_interval: str) -> str:
        def put_in(found: re.Match[str]) -> str:
            name = found[1] or found[2] or found[3]
            if name == "__rate_interval":
                return rate_interval
            value = self.variables[name]
            if isinstance(value, str):
                return value.replace("\\", "\\\\").replace('"', '\\"')
            return "|".join(re.escape(one).replace("\\", "\\\\") for one in value)

        return _VARIABLE.sub(put_in, expression)

    def _with_variables(self, statement: str) -> str:
        def put_in(found: re.Match[str]) -> str:
            name = found[1] or found[2] or found[3]
            if name in self.variables:
                value = self.variables[name]
                if isinstance(value, str):
                    return value.replace("'", "''")
                return ",".join("'" + one.replace("'", "''") + "'" for one in value)
            if name == "__interval":
                return f"{int(self.interval.total_seconds())}s"
            return found[0]

        return _VARIABLE.sub(put_in, statement)

    def _with_macros(self, statement: str) -> str:
        def expand(found: re.Match[str]) -> str:
            name, arguments = found[1], [one.strip() for one in found[2].split(",")]
            return self._macro(name, arguments)

        expanded = _MACRO.sub(expand, statement)
        left = _VARIABLE.findall(expanded)
        if left:
            raise UnknownMacro(f"left in the statement: {left}")
        return expanded

    def _macro(self, name: str, arguments: list[str]) -> str:
        start, end = (f"'{moment.isoformat()}'" for moment in (self.start, self.end))
        match name:
            case "__timeFilter":
                return f"{arguments[0]} BETWEEN {start} AND {end}"
            case "__timeFrom":
                return start
            case "__timeTo":
                return end
            case "__timeGroup" | "__timeGroupAlias":
                column, interval = arguments[0], _seconds(arguments[1].strip("'"))
                group = f"floor(extract(epoch from {column})/{interval})*{interval}"
                return f'{group} AS "time"' if name.endswith("Alias") else group
        raise UnknownMacro(name)


def _seconds(interval: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", interval)
    if found is None:
        raise UnknownMacro(f"no interval: {interval}")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


def variables_in(text: str) -> set[str]:
    """Of the dashboard, those of Grafana itself and macros left out."""
    names = {found[1] or found[2] or found[3] for found in _VARIABLE.finditer(text)}
    return {name for name in names if name not in BUILT_IN and not name.startswith("__")}
