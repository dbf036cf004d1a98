"""Every alert has an entry in the runbook that says what it means, how to look and what to do; no entry is about nothing."""

import re
from pathlib import Path

import pytest

from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings as BackofficeSettings
from sentops_cli.__main__ import build_app
from sentops_cli.compose_env import KEYS
from sentops_web.settings import Settings as WebSettings
from tests.compose.composition import GUIDE
from tests.grafana.test_rules import ALERTS
from tests.support.metric_catalogue import known_series

TEXT = (Path(__file__).parents[2] / "grafana/runbook.md").read_text()
ENTRIES = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_every_alert_has_an_entry_and_every_entry_an_alert() -> None:
    assert set(ENTRIES) == set(ALERTS)


@pytest.mark.parametrize("alert", ENTRIES)
def test_an_entry_says_what_it_means_how_to_look_and_what_to_do(alert: str) -> None:
    body = ENTRIES[alert]
    parts = [body.index(f"**{part}.**") for part in ("Means", "Look", "Do")]
    assert parts == sorted(parts)
    commands = re.findall(r"```sh\n(.*?)```", body, re.DOTALL)
    assert commands
    lines = "".join(commands).splitlines()
    assert any("kubectl" in line for line in lines)
    # What only a cluster has needs no command for a server.
    if "In a cluster" not in body and "SentopsOperator" not in alert:
        assert any(re.search(r"docker|curl|df -h", line) for line in lines)


def test_links_lead_to_entries() -> None:
    anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings()}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) - anchors == set()


def headings() -> list[str]:
    return re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)


def test_pages_that_it_names_are_there() -> None:
    settings = BackofficeSettings.model_validate(
        {"database_url": "x", "trainer_token": "x", "store_uri": "file:///x"}
    )
    paths = {
        route.path
        for included in create_backoffice(settings).routes
        if hasattr(included, "effective_route_contexts")
        for route in included.effective_route_contexts()
    }
    named = set(re.findall(r"`(/backoffice/[a-z/-]+[a-z])`", TEXT))
    assert named
    assert named - paths == set()


def test_metrics_and_settings_that_it_names_are_there() -> None:
    assert set(re.findall(r"`(sentops_[a-z_]+)`", TEXT)) - set(known_series()) == set()
    known = {key.name for key in KEYS} | set(re.findall(r"`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`", GUIDE))
    known |= {f"SENTOPS_WEB_{name.upper()}" for name in WebSettings.model_fields}
    named = {one for one in re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", TEXT) if "_" in one}
    assert named
    assert named - known == set()


def test_commands_that_it_names_are_there() -> None:
    app = build_app()
    known = {one.callback.__name__ for one in app.registered_commands if one.callback}
    known |= {one.name for one in app.registered_groups if one.name}
    named = set(re.findall(r"(?:`|run --rm )sentops ([a-z]+)", TEXT))
    assert named
    assert named - known == set()
