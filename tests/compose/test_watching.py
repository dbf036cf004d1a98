"""Prometheus, its rules, Alertmanager and Grafana's data sources: files that nothing of ours reads when it starts."""

import re
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from sentops_core.store.dashboard_access import READER
from sentops_core.store.prepare import DATABASE
from tests.compose.composition import FOLDER, ROOT, composition, interpolate, settings
from tests.support.alertmanager import config_of_compose, needs_alertmanager
from tests.support.prometheus import needs_prometheus

CONFIG: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())
RULES = sorted((ROOT / "grafana/rules").glob("*.yaml"))
SOURCES = ROOT / "grafana/provisioning/datasources/datasources.yaml"
STACK = composition()


def alerts() -> list[dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


# ---- Prometheus


def jobs() -> dict[str, list[str]]:
    return {
        job["job_name"]: [target for one in job["static_configs"] for target in one["targets"]]
        for job in CONFIG["scrape_configs"]
    }


def test_every_program_with_metrics_is_scraped_where_it_listens() -> None:
    programs = {one.name: one.ports[0].container for one in STACK if one.ours and one.ports}
    del programs["mlflow"]  # it has none
    scraped = jobs()
    assert {name: scraped[name] for name in programs} == {
        name: [f"{name}:{port}"] for name, port in programs.items()
    }
    assert set(scraped) - set(programs) == {"caddy", "prometheus", "alertmanager"}


def test_prometheus_reaches_all_that_it_is_told_of() -> None:
    told = [target for targets in jobs().values() for target in targets]
    told += [
        target
        for one in CONFIG["alerting"]["alertmanagers"]
        for config in one["static_configs"]
        for target in config["targets"]
    ]
    others = {target.split(":")[0] for target in told} - {"127.0.0.1"}
    assert others <= STACK.reaches("prometheus")


def test_rules_are_where_prometheus_looks_for_them() -> None:
    mounts = {mount.target: mount.source for mount in STACK["prometheus"].mounts}
    (pattern,) = CONFIG["rule_files"]
    assert (FOLDER / mounts[str(Path(pattern).parent)]).resolve() == RULES[0].parent
    command = STACK["prometheus"].content["command"]
    (file,) = [one.split("=")[1] for one in command if one.startswith("--config.file=")]
    assert (FOLDER / mounts[str(Path(file).parent)] / Path(file).name).is_file()


@needs_prometheus
def test_promtool_finds_nothing() -> None:
    """Of the rules: see tests/grafana."""
    command = ["promtool", "check", "config", "--syntax-only", FOLDER / "prometheus/prometheus.yml"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


# ---- Alertmanager


def alertmanager(**values: str) -> dict[str, Any]:
    stack = composition({**settings(), **values})
    content: dict[str, Any] = yaml.safe_load(stack.content["configs"]["alertmanager"]["content"])
    return content


@needs_alertmanager
@pytest.mark.parametrize(
    ("severity", "to", "before"),
    [
        ("critical", "people", "nobody"),
        ("warning", "people", "nobody"),
        ("info", "people", "nobody"),
    ],
)
def test_alerts_go_to_people_once_an_address_is_set_and_to_nobody_before(
    severity: str, to: str, before: str, tmp_path: Path
) -> None:
    def receivers(place: Path, **values: str) -> set[str]:
        config = config_of_compose(place, **values)
        (place / "alertmanager.yml").write_text(yaml.safe_dump(config))
        amtool("check-config", place / "alertmanager.yml")
        routing = ("config", "routes", "test", f"--config.file={place / 'alertmanager.yml'}")
        names = {rule["alert"] for rule in alerts() if rule["labels"]["severity"] == severity}
        return {
            amtool(*routing, f"alertname={name}", f"severity={severity}").strip()
            for name in names or {"SentopsSomething"}
        }

    assert receivers(tmp_path / "silent") == {before}
    assert receivers(tmp_path / "told", ALERT_EMAIL_TO="ops@example.org") == {to}


def amtool(*command: str | Path) -> str:
    answer = subprocess.run(["amtool", *command], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_what_is_worse_is_told_again_sooner() -> None:
    (people,) = alertmanager(ALERT_EMAIL_TO="ops@example.org")["route"]["routes"]
    repeats = {route["matchers"][0]: route["repeat_interval"] for route in people["routes"]}
    assert repeats == {'severity="critical"': "4h"}
    assert alertmanager()["route"]["repeat_interval"] == "1d"


def test_the_mail_goes_where_env_says_and_when_it_is_over() -> None:
    told = alertmanager(ALERT_EMAIL_TO="ops@example.org", SMTP_HOST="smtp.example.org")
    receivers = {one["name"]: one for one in told["receivers"]}
    assert receivers["nobody"] == {"name": "nobody"}
    (mail,) = receivers["people"]["email_configs"]
    assert (mail["to"], mail["send_resolved"]) == ("ops@example.org", True)
    assert told["global"]["smtp_smarthost"] == "smtp.example.org:587"
    assert told["global"]["smtp_require_tls"] is True


def test_an_alert_is_kept_quiet_only_by_another_that_there_is() -> None:
    names = {rule["alert"] for rule in alerts()}
    for rule in alertmanager()["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            (pattern,) = [one for one in matchers if one.startswith("alertname")]
            found = re.fullmatch(r'alertname=~?"(.*)"', pattern)
            assert found is not None
            assert [name for name in names if re.fullmatch(found[1], name)], pattern


def test_grafana_and_alertmanager_send_by_the_same_server_and_only_one_of_them_by_default() -> None:
    values = {
        **settings(),
        "ALERT_EMAIL_TO": "ops@example.org",
        "SMTP_HOST": "smtp.example.org",
        "SMTP_PORT": "2525",
        "SMTP_USER": "sentops",
        "SMTP_FROM": "sentops@example.org",
    }
    grafana, other = composition(values)["grafana"].environment, alertmanager(**values)["global"]
    assert grafana["GF_SMTP_ENABLED"] == "false"
    asked = composition({**values, "GRAFANA_MAILS": "true"})["grafana"].environment
    assert asked["GF_SMTP_ENABLED"] == "true"
    assert grafana["GF_SMTP_HOST"] == other["smtp_smarthost"]
    assert grafana["GF_SMTP_USER"] == other["smtp_auth_username"]
    assert grafana["GF_SMTP_FROM_ADDRESS"] == other["smtp_from"]
    assert grafana["ALERT_EMAIL_TO"] == "ops@example.org"


def test_the_password_of_the_mail_server_is_a_file_and_in_no_configuration() -> None:
    config = alertmanager(SMTP_PASSWORD="pa$word")
    assert "pa$word" not in str(config)
    assert config["global"]["smtp_auth_password_file"] == "/run/secrets/smtp_password"
    assert STACK["alertmanager"].content["secrets"] == ["smtp_password"]
    assert STACK.content["secrets"]["smtp_password"] == {"environment": "SMTP_PASSWORD"}


# ---- Grafana


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


Name = Annotated[str, StringConstraints(min_length=1)]


class SqlOptions(Strict):
    database: Name
    sslmode: Literal["disable", "require", "verify-ca", "verify-full"]
    postgres_version: int = Field(ge=900)
    max_open_conns: int = Field(ge=1)


class SqlSecret(Strict):
    password: Name


class Source(Strict):
    name: Name
    uid: Name
    access: Literal["proxy"]
    url: Name
    is_default: bool = False
    editable: Literal[False]


class SqlSource(Source):
    type: Literal["grafana-postgresql-datasource"]
    user: Name
    json_data: SqlOptions
    secure_json_data: SqlSecret


class PrometheusOptions(Strict):
    http_method: Literal["POST"]
    time_interval: Annotated[str, StringConstraints(pattern=r"^\d+s$")]


class PrometheusSource(Source):
    type: Literal["prometheus"]
    json_data: PrometheusOptions


class Provisioned(Strict):
    api_version: Literal[1]
    prune: Literal[True]
    datasources: list[Annotated[SqlSource | PrometheusSource, Field(discriminator="type")]]


@pytest.fixture(scope="module")
def provisioned() -> Provisioned:
    return Provisioned.model_validate(yaml.safe_load(SOURCES.read_text()))


def test_data_sources_are_distinct_and_one_is_the_default(provisioned: Provisioned) -> None:
    sources = provisioned.datasources
    assert len({one.uid for one in sources}) == len({one.name for one in sources}) == len(sources)
    assert [one.type for one in sources if one.is_default] == ["grafana-postgresql-datasource"]


def test_grafana_reads_the_database_as_the_role_that_may_only_read(
    provisioned: Provisioned,
) -> None:
    (sql,) = [one for one in provisioned.datasources if isinstance(one, SqlSource)]
    assert (sql.user, sql.json_data.database) == (READER, DATABASE)
    values = settings()
    environment = composition(values)["grafana"].environment
    password = interpolate(sql.secure_json_data.password, environment)
    assert password == values["GRAFANA_DATABASE_PASSWORD"]
    image = STACK["postgres"].image
    assert sql.json_data.postgres_version == 100 * int(re.findall(r":(\d+)", image)[0])


def test_grafana_asks_servers_that_it_reaches(provisioned: Provisioned) -> None:
    for one in provisioned.datasources:
        host, port = one.url.removeprefix("http://").split(":")
        assert host in STACK.reaches("grafana")
        assert int(port) in {published.container for published in STACK[host].ports}
    (scraped,) = [one for one in provisioned.datasources if isinstance(one, PrometheusSource)]
    assert scraped.json_data.time_interval == CONFIG["global"]["scrape_interval"]


def test_grafana_is_below_one_path_with_and_without_the_edge() -> None:
    environment = composition(settings(domain="a.example.org"))["grafana"].environment
    assert environment["GF_SERVER_ROOT_URL"] == "https://a.example.org/grafana/"
    assert environment["GF_SERVER_SERVE_FROM_SUB_PATH"] == "true"
    mounts = {mount.target: mount.source for mount in STACK["grafana"].mounts if mount.of_a_folder}
    provisioning = FOLDER / mounts["/etc/grafana/provisioning"]
    assert (provisioning / "datasources" / SOURCES.name).resolve() == SOURCES
