"""What an operator of the platform would get by mail: real Prometheus, Alertmanager and mail server, a little hasty."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.scenarios.platform import Platform
from tests.support.alerting import alerting, impatient_rules
from tests.support.eventually import eventually
from tests.support.prometheus import Prometheus, running_prometheus, scrape_config
from tests.support.smtp import Mail, MailServer


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


@contextmanager
def alert_watch(platform: Platform) -> Iterator[AlertWatch]:
    folder = platform.folder / "watch"
    folder.mkdir()
    with alerting(folder) as (alertmanager, mails):
        scrapes = scrape_config(
            rule_files=impatient_rules(folder / "rules"),
            alertmanager=alertmanager.port,
            web=platform.web.port,
            backoffice=platform.backoffice.port,
            model=platform.model.port,
            trainer=platform.trainer.port,
            monitor=platform.monitor.port,
        )
        with running_prometheus(scrapes, folder / "prometheus") as prometheus:
            yield AlertWatch(prometheus, mails)
