"""The platform's alert rules and its way to a mail, as they are but for their patience."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.alertmanager import Alertmanager, config_of_compose, running_alertmanager
from tests.support.smtp import MailServer, mail_server

RULES = sorted((Path(__file__).resolve().parents[2] / "grafana" / "rules").glob("*.yaml"))


def impatient_rules(folder: Path) -> list[Path]:
    """The rules as they are, but for how long something must last."""
    folder.mkdir()
    copies = []
    for file in RULES:
        copy = folder / file.name
        copy.write_text(re.sub(r"^( +for:) .*$", r"\1 1s", file.read_text(), flags=re.MULTILINE))
        copies.append(copy)
    return copies


@contextmanager
def alerting(
    folder: Path, *, login: tuple[str, str] | None = None
) -> Iterator[tuple[Alertmanager, MailServer]]:
    """Compose's Alertmanager, and the mail server that it writes to; no mail waits for others to come along."""
    with mail_server(login) as server:
        config = config_of_compose(
            folder,
            ALERT_EMAIL_TO="ops@example.org",
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(server.port),
            SMTP_FROM="sentops@example.org",
            SMTP_USER=login[0] if login else "",
            SMTP_PASSWORD=login[1] if login else "",
            SMTP_REQUIRE_TLS="false",
            DOMAIN="sentiment.example.org",
        )
        route = _at_once(config["route"] | {"group_wait": "", "group_interval": ""})
        with running_alertmanager({**config, "route": route}, folder / "alertmanager") as manager:
            yield manager, server


def _at_once(route: Mapping[str, Any]) -> dict[str, Any]:
    waits = {key: "1s" for key in ("group_wait", "group_interval") if key in route}
    return {**route, **waits, "routes": [_at_once(below) for below in route.get("routes", ())]}
