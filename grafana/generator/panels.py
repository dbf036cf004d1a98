"""Panels as Grafana's classic JSON has them. What a panel needs is an argument; what all share is here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any, Literal
from zlib import crc32

Json = dict[str, Any]

POSTGRESQL: Json = {"type": "grafana-postgresql-datasource", "uid": "sentops-postgresql"}
PROMETHEUS: Json = {"type": "prometheus", "uid": "sentops-prometheus"}
NO_DATA = "no data"
_COLUMNS = 24
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Query:
    """One target; a panel gives it its letter."""

    source: Json
    content: Json

    def target(self, number: int) -> Json:
        return {"refId": chr(ord("A") + number), "datasource": self.source, **self.content}


def sql(statement: str, *, series: bool = False) -> Query:
    """`series`: columns time, metric (the series' name) and value; otherwise the rows as they are."""
    content = {
        "editorMode": "code",
        "format": "time_series" if series else "table",
        "rawQuery": True,
        "rawSql": dedent(statement).strip(),
    }
    return Query(POSTGRESQL, content)


def prom(expression: str, legend: str = "", *, table: bool = False, now: bool = False) -> Query:
    """`now`: the last value alone; `table`: its labels as columns."""
    instant = now or table
    content = {
        "editorMode": "code",
        "expr": " ".join(dedent(expression).split()),
        "legendFormat": legend or "__auto",
        "format": "table" if table else "time_series",
        "instant": instant,
        "range": not instant,
    }
    return Query(PROMETHEUS, content)


@dataclass(frozen=True)
class Panel:
    kind: str
    title: str
    description: str
    queries: tuple[Query, ...] = ()
    options: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()
    width: int = 8
    height: int = 8
    least_interval: str = ""  # of $__interval

    @property
    def number(self) -> int:
        """By the title, so that links to a panel outlive its moving."""
        return crc32(self.title.encode()) % 1_000_000

    def at(self, x: int, y: int) -> Json:
        made: Json = {
            "id": self.number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "options": self.options,
        }
        if self.queries:
            made |= {
                "datasource": self.queries[0].source,  # all of a panel ask the same one
                "targets": [query.target(at) for at, query in enumerate(self.queries)],
                "fieldConfig": {
                    "defaults": {"noValue": NO_DATA, **self.defaults},
                    "overrides": list(self.overrides),
                },
            }
        if self.least_interval:
            made["interval"] = self.least_interval
        if self.transformations:
            made["transformations"] = list(self.transformations)
        return made


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def laid_out(rows: Sequence[Row]) -> list[Json]:
    """From left to right, and a new line where the width is used up."""
    made: list[Json] = []
    y = 0
    for row in rows:
        made.append(
            {
                "id": crc32(f"row {row.title}".encode()) % 1_000_000,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
            }
        )
        y += 1
        x = line = 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, line = 0, y + line, 0
            made.append(panel.at(x, y))
            x, line = x + panel.width, max(line, panel.height)
        y += line
    return made


# ---- colours come with a word or a line, never alone


def steps(*found: tuple[float | None, str]) -> Json:
    """Thresholds: from which value on which colour; the first from None."""
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in found],
    }


PLAIN = steps((None, "text"))


def words(said: Mapping[str, str | tuple[str, str]]) -> list[Json]:
    """Values shown as words: by value, the word or (word, colour)."""
    options: Json = {}
    for at, (value, word) in enumerate(said.items()):
        text, colour = word if isinstance(word, tuple) else (word, None)
        options[value] = {"index": at, "text": text} | ({"color": colour} if colour else {})
    return [{"type": "value", "options": options}]


def on(name: str, **properties: Any) -> Json:
    """What differs for one field; `custom_x` stands for custom.x."""
    return _override({"id": "byName", "options": name}, properties)


def on_all(pattern: str, **properties: Any) -> Json:
    """What differs for the fields whose name the pattern finds."""
    return _override({"id": "byRegexp", "options": f"/{pattern}/"}, properties)


def _override(matcher: Json, properties: Mapping[str, Any]) -> Json:
    return {
        "matcher": matcher,
        "properties": [
            {"id": name.replace("custom_", "custom."), "value": value}
            for name, value in properties.items()
        ],
    }


def columns(**names: str) -> Json:
    """Which of an answer's columns a table shows, in this order, and what they are called; Time and Value are left out."""
    kept = set(names) - {"Value"}
    hidden = {"Time": True, "__name__": True} | ({} if "Value" in names else {"Value": True})
    return {
        "id": "organize",
        "options": {
            "excludeByName": {name: True for name in sorted(hidden) if name not in kept},
            "indexByName": {name: at for at, name in enumerate(names)},
            "renameByName": dict(names),
        },
    }


# The ends of an interval beside its value: thin, dashed, and only in the tooltip.
ENDS = on_all(
    " (low|high)$",
    custom_lineWidth=1,
    custom_lineStyle={"fill": "dash", "dash": [4, 6]},
    custom_hideFrom={"legend": True, "tooltip": False, "viz": False},
)
# Two things in one picture: the second is dotted.
DOTTED = {"fill": "dot", "dash": [0, 6]}
# What an alert compares with, from grafana/rules/thresholds.yaml: its series is called so.
LIMIT = "limit of the alert"
AT_THE_LIMIT = on(LIMIT, custom_lineWidth=1, custom_lineStyle={"fill": "dash", "dash": [10, 6]})


# ---- kinds of panels


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    least: float | None = None,
    most: float | None = None,
    thresholds: Json | None = None,
    draw: Literal["line", "bars"] = "line",
    stacked: Literal["none", "normal", "percent"] = "none",
    gap_hours: float | None = None,
    overrides: Sequence[Json] = (),
    least_interval: str = "",
    width: int = 12,
    height: int = 8,
) -> Panel:
    """Something over time. `gap_hours`: a line ends where nothing was known for so long."""
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "thresholds": thresholds or PLAIN,
        "custom": {
            "drawStyle": draw,
            "lineInterpolation": "linear",
            "lineWidth": 1 if draw == "bars" else 2,
            "fillOpacity": 60 if draw == "bars" else 30 if stacked != "none" else 0,
            "pointSize": 5,
            "showPoints": "never" if draw == "bars" else "auto",
            "spanNulls": False,
            "insertNulls": int(gap_hours * _HOUR_MS) if gap_hours else False,
            "stacking": {"mode": stacked, "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
            "axisPlacement": "auto",
            "axisLabel": "",
            "scaleDistribution": {"type": "linear"},
        },
    }
    if least is not None:
        defaults["min"] = least
    if most is not None:
        defaults["max"] = most
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "min", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(
        "timeseries", title, description, queries, options, defaults, tuple(overrides), (),
        width, height, least_interval,
    )  # fmt: skip


def figure(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    thresholds: Json | None = None,
    mappings: Sequence[Json] = (),
    decimals: int | None = None,
    words_only: bool = False,
    named: bool = False,
    overrides: Sequence[Json] = (),
    no_value: str = NO_DATA,
    width: int = 4,
    height: int = 4,
) -> Panel:
    """One value, large. `words_only`: it is a word; `named`: there are several, each with its name."""
    defaults: Json = {
        "unit": unit,
        "mappings": list(mappings),
        "thresholds": thresholds or PLAIN,
        "color": {"mode": "thresholds"},
        "noValue": no_value,
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": {
            "calcs": ["lastNotNull"],
            "fields": "/.*/" if words_only else "",
            "values": False,
        },
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name" if named else "value",
        "wideLayout": True,
        "showPercentChange": False,
    }
    return Panel(
        "stat", title, description, queries, options, defaults, tuple(overrides), (), width, height
    )


def table(
    title: str,
    description: str,
    *queries: Query,
    overrides: Sequence[Json] = (),
    transformations: Sequence[Json] = (),
    no_value: str = NO_DATA,
    width: int = 24,
    height: int = 8,
) -> Panel:
    """Rows. An empty cell is something unknown."""
    defaults: Json = {
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True},
        "thresholds": PLAIN,
        "color": {"mode": "thresholds"},
        "noValue": no_value,
    }
    options = {"showHeader": True, "cellHeight": "sm", "sortBy": []}
    return Panel(
        "table", title, description, queries, options, defaults,
        tuple(overrides), tuple(transformations), width, height,
    )  # fmt: skip


def bars(
    title: str,
    description: str,
    *queries: Query,
    along: str,
    unit: str = "short",
    stacked: Literal["none", "normal", "percent"] = "none",
    upright: bool = True,
    most: float | None = None,
    overrides: Sequence[Json] = (),
    width: int = 12,
    height: int = 8,
) -> Panel:
    """One bar for each row; `along`: the column that names it."""
    defaults: Json = {
        "unit": unit,
        "min": 0,
        "color": {"mode": "palette-classic"},
        "thresholds": PLAIN,
        "custom": {"fillOpacity": 70, "lineWidth": 1, "axisPlacement": "auto"},
    }
    if most is not None:
        defaults["max"] = most
    options = {
        "xField": along,
        "orientation": "vertical" if upright else "horizontal",
        "stacking": stacked,
        "showValue": "auto",
        "groupWidth": 0.8,
        "barWidth": 0.9,
        "xTickLabelSpacing": 0,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    return Panel(
        "barchart",
        title,
        description,
        queries,
        options,
        defaults,
        tuple(overrides),
        (),
        width,
        height,
    )


def states(
    title: str,
    description: str,
    *queries: Query,
    mappings: Sequence[Json],
    width: int = 12,
    height: int = 8,
) -> Panel:
    """Who was in which state when, each state with its word."""
    defaults: Json = {
        "mappings": list(mappings),
        "thresholds": PLAIN,
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 70, "lineWidth": 0},
    }
    options = {
        "showValue": "always",
        "mergeValues": True,
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel(
        "state-timeline", title, description, queries, options, defaults, (), (), width, height
    )


def note(title: str, description: str, text: str, *, width: int = 24, height: int = 4) -> Panel:
    options = {"mode": "markdown", "content": dedent(text).strip()}
    return Panel("text", title, description, options=options, width=width, height=height)
