"""Every alert has an entry in the runbook that says what it means, how to look and what to do; no entry is about nothing."""

import re
from pathlib import Path

import pytest

from tests.grafana.test_rules import ALERTS

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
