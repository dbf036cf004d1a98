"""What people get by mail: a real Alertmanager with compose's configuration, and a real mail server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.grafana.test_rules import ALERTS
from tests.support.alerting import alerting
from tests.support.alertmanager import needs_alertmanager
from tests.support.eventually import eventually

pytestmark = [needs_alertmanager, pytest.mark.filterwarnings("ignore:Requiring AUTH")]

LOGIN = ("sentops", "pa$$ word")


def an_alert(
    name: str, *, minutes_ago: int = 0, ended: bool = False, **labels: str
) -> dict[str, Any]:
    """As Prometheus sends it, its templates filled with nothing."""
    now = datetime.now(UTC)
    rule = ALERTS[name]
    alert = {
        "labels": {"alertname": name, **rule["labels"], **labels},
        "annotations": dict(rule["annotations"]),
        "startsAt": (now - timedelta(minutes=minutes_ago)).isoformat(),
    }
    return alert | ({"endsAt": now.isoformat()} if ended else {})


async def test_a_mail_says_what_is_wrong_since_when_and_what_to_do_and_another_that_it_is_over(
    tmp_path: Path,
) -> None:
    with alerting(tmp_path, login=LOGIN) as (alertmanager, server):
        alert = an_alert("SentopsQualityLow", minutes_ago=20, version="m-v2")
        alert["annotations"]["summary"] = "People disagree with m-v2 <b>too</b> often."
        alertmanager.tell(alert)
        (mail,) = await eventually(lambda: server.about("[FIRING]"), within=30)
        assert (mail.sender, mail.recipients) == ("sentops@example.org", ("ops@example.org",))
        assert mail.subject.startswith("[FIRING] SentopsQualityLow: People disagree with m-v2")
        way = "https://sentiment.example.org/backoffice/runbook#sentopsqualitylow"
        began = (datetime.now(UTC) - timedelta(minutes=20)).strftime("since %Y-%m-%d")
        assert f"What to do: {way}" in mail.text
        assert "[critical] People disagree with m-v2 <b>too</b> often." in mail.text
        assert f'href="{way}"' in mail.html
        assert "People disagree with m-v2 &lt;b&gt;too&lt;/b&gt; often." in mail.html
        for body in (mail.text, mail.html):
            assert "version m-v2" in body
            assert began in body
            assert "{{" not in body.replace("{{ $value", "")  # of the rule, filled by Prometheus

        alertmanager.tell(an_alert("SentopsQualityLow", minutes_ago=20, ended=True, version="m-v2"))
        (over,) = await eventually(lambda: server.about("[RESOLVED]"), within=30)
        assert "RESOLVED" in over.text
        assert "FIRING" not in over.text
        assert " until " in over.text
        assert way in over.html


async def test_several_alerts_of_one_kind_are_one_mail(tmp_path: Path) -> None:
    with alerting(tmp_path) as (alertmanager, server):
        alertmanager.tell(
            an_alert("SentopsDrift", version="m-v2", feature="language"),
            an_alert("SentopsDrift", version="m-v2", feature="length"),
        )
        (mail,) = await eventually(lambda: server.mails, within=30)
        assert mail.subject.endswith("(2 in all)")
        assert "feature language" in mail.text
        assert "feature length" in mail.html


async def test_what_follows_from_another_alert_is_kept_quiet(tmp_path: Path) -> None:
    with alerting(tmp_path) as (alertmanager, server):
        alertmanager.tell(
            an_alert("SentopsDiskFull", instance="web:8000", volume="spool"),
            an_alert("SentopsNoModelLive"),
        )
        await eventually(lambda: len(server.mails) == 2, within=30)
        alertmanager.tell(
            an_alert("SentopsDiskLow", instance="web:8000", volume="spool"),
            an_alert("SentopsDiskLow", instance="trainer:8502", volume="store"),
            an_alert("SentopsAnswersFail", job="web"),
        )
        (mail,) = await eventually(lambda: server.about("SentopsDiskLow"), within=30)
        assert "volume store" in mail.text
        assert "volume spool" not in mail.text
        quiet = {
            one["labels"]["alertname"]
            for one in alertmanager.alerts()
            if one["status"]["inhibitedBy"]
        }
        assert quiet == {"SentopsDiskLow", "SentopsAnswersFail"}
        assert server.about("SentopsAnswersFail") == []
