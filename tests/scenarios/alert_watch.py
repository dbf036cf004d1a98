"""What an operator of the platform would get by mail: real Prometheus, Alertmanager and mail server, a little hasty."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.scenarios.platform import Platform
from tests.support.alertmanager import config_of_compose, running_alertmanager
from tests.support.eventually import eventually
from tests.support.prometheus import Prometheus, running_prometheus, scrape_config
from tests.support.smtp import Mail, MailServer, mail_server

RULES = Path(__file__).resolve().parents[2] / "grafana" / "rules"


@dataclass(frozen=True)
class AlertWatch:
    prometheus: Prometheus
    mails: MailServer

    def firing(self) -> set[str]:
        return {name for name, state in self.prometheus.alerts().items() if state == "firing"}

    async def sees(self, metric: str, within: float = 30) -> None:
        await eventually(lambda: bool(self.prometheus.query(metric)), within=within, every=0.2)

    async def mail(self, state: str, alert: str, within: float = 120) -> Mail:
        """The first mail that says so, such as FIRING of an alert."""
        found = await eventually(
            lambda: self.mails.about(f"[{state}] {alert}"), within=within, every=0.2
        )
        return found[0]


def hasty(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration, but that no mail waits for others to come along."""

    def route(one: dict[str, Any]) -> dict[str, Any]:
        waits = {key: "1s" for key in ("group_wait", "group_interval") if key in one}
        return one | waits | {"routes": [route(below) for below in one.get("routes", ())]}

    return config | {"route": route(config["route"] | {"group_wait": "", "group_interval": ""})}


def without_patience(rules: Path, folder: Path) -> list[Path]:
    """The rules as they are, but that no alert waits before it fires."""
    folder.mkdir()
    written = []
    for file in sorted(rules.glob("*.yaml")):
        content: dict[str, Any] = yaml.safe_load(file.read_text())
        for group in content["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
                rule.pop("keep_firing_for", None)
        (folder / file.name).write_text(yaml.safe_dump(content))
        written.append(folder / file.name)
    return written


@contextmanager
def alert_watch(platform: Platform) -> Iterator[AlertWatch]:
    folder = platform.folder / "watch"
    folder.mkdir()
    with mail_server() as mails:
        config = config_of_compose(
            folder,
            ALERT_EMAIL_TO="ops@example.org",
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(mails.port),
            SMTP_FROM="sentops@example.org",
            SMTP_REQUIRE_TLS="false",
        )
        with running_alertmanager(hasty(config), folder / "alertmanager") as alertmanager:
            scrapes = scrape_config(
                rule_files=without_patience(RULES, folder / "rules"),
                alertmanager=alertmanager.port,
                web=platform.web.port,
                backoffice=platform.backoffice.port,
                model=platform.model.port,
                trainer=platform.trainer.port,
                monitor=platform.monitor.port,
            )
            with running_prometheus(scrapes, folder / "prometheus") as prometheus:
                yield AlertWatch(prometheus, mails)
