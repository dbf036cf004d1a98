"""What every dashboard has: its frame, variables, marks on the time line, and the ways to the others."""

from collections.abc import Sequence
from textwrap import dedent

from grafana.generator.panels import POSTGRESQL, Json, Row, laid_out, sql

TAG = "sentops"
# From any page of Grafana to the root of its host, where Caddy has the back office. The chart puts in its own address.
BACKOFFICE = "../../../.."


def dashboard(
    name: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    *,
    variables: Sequence[Json] = (),
    since: str,
    refresh: str,
    see: str = "index",
) -> Json:
    """`see`: the page of the back office on the same matter."""
    of_a_model = any(one["name"] == "model" for one in variables)
    return {
        "uid": f"sentops-{name}",
        "title": title,
        "description": description,
        "tags": [TAG],
        "schemaVersion": 42,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cross for all panels
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "time": {"from": since, "to": "now"},
        "refresh": refresh,
        "timepicker": {"refresh_intervals": ["30s", "1m", "5m", "15m", "1h"]},
        "annotations": {"list": [_built_in(), *_marks(of_a_model=of_a_model)]},
        "templating": {"list": list(variables)},
        "links": [_siblings(), _backoffice(see)],
        "panels": laid_out(rows),
    }


# ---- variables


def _asked(name: str, label: str, description: str, statement: str, *, several: bool) -> Json:
    text = dedent(statement).strip()
    chosen = {"text": ["All"], "value": ["$__all"]} if several else {"text": "", "value": ""}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": POSTGRESQL,
        "query": text,
        "refresh": 2,  # with the time range
        "regex": "",
        "sort": 0,  # as the query gives them
        "multi": several,
        "includeAll": several,
        "options": [],
        "current": chosen,  # where there is one: the first
        "hide": 0,
        "skipUrlSync": False,
    }


MODEL = _asked(
    "model",
    "Model",
    "Which model: one platform can have several.",
    """
    SELECT model_name
      FROM model_versions
     GROUP BY model_name
     ORDER BY max(updated_at) DESC
    """,
    several=False,
)
VERSION = _asked(
    "version",
    "Version",
    "Versions of the model, the newest first.",
    "SELECT name FROM model_versions WHERE model_name = '$model' ORDER BY version DESC",
    several=True,
)
LANGUAGE = _asked(
    "language",
    "Language",
    "Of the texts, as it was recognised; 'all' is every language together.",
    """
    SELECT language
      FROM quality_figures
     WHERE $__timeFilter(hour)
     GROUP BY language
     ORDER BY language <> 'all', language
    """,
    several=False,
)


def window(chosen: str = "24h") -> Json:
    values = ("1h", "24h", "7d", "28d")
    return {
        "type": "custom",
        "name": "window",
        "label": "Window",
        "description": "How far back each figure looks from the moment it stands at.",
        "query": ",".join(values),
        "multi": False,
        "includeAll": False,
        "options": [
            {"text": value, "value": value, "selected": value == chosen} for value in values
        ],
        "current": {"text": chosen, "value": chosen},
        "hide": 0,
        "skipUrlSync": False,
    }


# ---- marks on the time line


def _built_in() -> Json:
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "blue",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


_PROMOTIONS = """
SELECT at AS "time", subject || ' serves' AS "text", 'promotion' AS "tags"
  FROM audit_log
 WHERE action = 'model_version.live' AND $__timeFilter(at)
"""
_RETURNS = """
SELECT at AS "time",
       subject || CASE action WHEN 'model_version.rolled_back' THEN ' was rolled back' ELSE ' is in quarantine' END AS "text",
       'roll-back' AS "tags"
  FROM audit_log
 WHERE action IN ('model_version.rolled_back', 'model_version.quarantined') AND $__timeFilter(at)
"""
_OF_THE_MODEL = """
   AND subject IN (SELECT name FROM model_versions WHERE model_name = '$model')
"""


def _marks(*, of_a_model: bool) -> list[Json]:
    """They differ in their words, and in their colour besides."""
    return [
        {
            "name": name,
            "datasource": POSTGRESQL,
            "enable": True,
            "hide": False,
            "iconColor": colour,
            "target": sql(
                statement.strip() + (_OF_THE_MODEL.rstrip() if of_a_model else "")
                + "\n ORDER BY at DESC\n LIMIT 200"
            ).target(0)
            | {"refId": "Anno"},
        }
        for name, statement, colour in (
            ("Promotions", _PROMOTIONS, "green"),
            ("Roll-backs", _RETURNS, "red"),
        )
    ]  # fmt: skip


# ---- ways to the others


def _siblings() -> Json:
    return {
        "type": "dashboards",
        "title": "Sentops",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "dashboard",
        "tooltip": "",
    }


def _backoffice(page: str) -> Json:
    return {
        "type": "link",
        "title": "Back office",
        "url": f"{BACKOFFICE}/backoffice/{page}",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
        "icon": "external link",
        "tooltip": "Where staff work on it (behind Caddy; otherwise at port 8001)",
    }
