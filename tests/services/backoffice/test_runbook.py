"""The runbook as staff read it: an address per alert, no markup of its own, the very file of grafana/."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from sentops_backoffice.runbook import render_runbook, runbook
from tests.services.backoffice.support import Browser

ROOT = Path(__file__).parents[3]
ALERT = re.compile(r"^\s*- alert: (\w+)$", re.MULTILINE)


def alerts() -> set[str]:
    rules = sorted((ROOT / "grafana/rules").glob("*.yaml"))
    return {name for file in rules for name in ALERT.findall(file.read_text())}


def test_the_package_has_the_very_file_that_the_alerts_name() -> None:
    packaged = files("sentops_backoffice").joinpath("runbook.md").read_text(encoding="utf-8")
    assert packaged == (ROOT / "grafana/runbook.md").read_text(encoding="utf-8")


def test_each_alert_has_an_entry_where_its_mail_leads() -> None:
    assert alerts()
    ids = {one.id for one in runbook().headings}
    assert {name.lower() for name in alerts()} <= ids


def test_addresses_in_the_rules_lead_to_entries() -> None:
    ids = {one.id for one in runbook().headings}
    led_to = set()
    for file in sorted((ROOT / "grafana/rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                address = rule.get("annotations", {}).get("runbook_url", "")
                if "/backoffice/runbook#" in address:
                    led_to.add(address.partition("#")[2])
    assert led_to
    assert led_to <= ids


def test_headings_get_the_addresses_that_github_gives_them() -> None:
    found = render_runbook(
        "# Runbook\n\n## SentopsDisk-Full\n\ntext\n\n### What it *means*: a `word`!\n\n## SentopsDisk-Full\n"
    )
    assert [(one.id, one.level, one.text) for one in found.headings] == [
        ("sentopsdisk-full", 2, "SentopsDisk-Full"),
        ("what-it-means-a-word", 3, "What it means: a word!"),
        ("sentopsdisk-full-1", 2, "SentopsDisk-Full"),
    ]
    assert "<h1" not in found.html
    assert '<h2 id="sentopsdisk-full">' in found.html


def test_nothing_in_it_becomes_markup_of_its_own() -> None:
    found = render_runbook(
        "a <script>alert(1)</script> <b>x</b>\n\n<div onclick=x>\n\n[y](javascript:alert(1)) [z](https://example.org)\n"
    ).html
    assert "<script" not in found
    assert "<div" not in found
    assert 'href="javascript' not in found
    assert '<a href="https://example.org">z</a>' in found


def test_links_to_files_that_are_not_served_are_mere_words() -> None:
    found = render_runbook(
        "[the catalogue](metrics.md), [here](#x), [there](/backoffice/index)"
    ).html
    assert "metrics.md" not in found
    assert "the catalogue" in found
    assert '<a href="#x">here</a>' in found
    assert '<a href="/backoffice/index">there</a>' in found


def test_what_scrolls_can_be_reached_by_keyboard_and_has_no_style_of_its_own() -> None:
    found = render_runbook(
        "```sql\nSELECT 1\n```\n\n    x\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n"
    ).html
    assert found.count('<pre tabindex="0">') == 2
    assert '<div class="wide" tabindex="0"><table>' in found
    assert "style=" not in found


@pytest.mark.pg
async def test_whoever_is_logged_in_reads_it_and_nobody_else(admin: Browser, anyone) -> None:
    answer = await admin.client.get("/backoffice/runbook")
    assert answer.status_code == 200
    assert 'id="sentopsqualitylow"' in answer.text
    turned_away = await anyone.get("/backoffice/runbook")
    assert turned_away.status_code == 303
    assert "login" in turned_away.headers["location"]
