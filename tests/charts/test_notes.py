"""What is printed after an installation says what to do next, in commands that exist."""

import re
from typing import Any

import yaml

from sentops_cli.__main__ import build_app
from tests.charts.cases import CASES
from tests.support.helm import CHART, Helm


def notes(helm: Helm, values: dict[str, Any]) -> str:
    helm.values_file.write_text(yaml.safe_dump(values))
    done = helm.run(
        *("install", "sentops", str(CHART), "--namespace", "platform", "--dry-run=client"),
        *("--values", str(helm.values_file)),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


def test_every_object_that_commands_name_exists(helm: Helm) -> None:
    text = notes(helm, {})
    rendered = helm.template()
    for service, port in re.findall(r"port-forward service/(\S+) \d+:(\d+)", text):
        ports = rendered.one("Service", service)["spec"]["ports"]
        assert {str(one["port"]) for one in ports} == {port}
    for secret, key in re.findall(r"get secret (\S+) -o jsonpath='\{\.data\.([-\w]+)\}'", text):
        assert key in rendered.one("Secret", secret)["data"]
    assert text.count("get secret sentops-credentials") == 3
    assert all("-n platform" in line for line in text.splitlines() if "kubectl" in line)


def test_the_first_password_is_one_command_away_and_not_printed(helm: Helm) -> None:
    text = notes(helm, {})
    assert "{.data.first-admin-password}' | base64 --decode" in text
    assert '"admin"' in text


def test_variables_and_commands_are_those_of_the_command(helm: Helm) -> None:
    text = notes(helm, {})
    known = {command.callback.__name__ for command in build_app().registered_commands}
    groups = {group.name for group in build_app().registered_groups}
    for name in re.findall(r"sentops (\w+) ", text):
        assert name in known | groups
    assert set(re.findall(r"(SENTOPS_\w+)=", text)) == {
        "SENTOPS_BACKOFFICE_URL",
        "SENTOPS_TRAINER_URL",
        "SENTOPS_BACKOFFICE_API_TOKEN",
        "SENTOPS_TRAINER_TOKEN",
    }


def test_the_way_in_is_the_one_that_was_chosen(helm: Helm) -> None:
    text = notes(helm, CASES["ingress"])
    assert "https://ask.example.com/" in text
    assert "https://staff.example.com/backoffice/index" in text
    assert "forwardedAllowIps" not in text


def test_what_will_bite_is_said(helm: Helm) -> None:
    plain = {"ingress": {"enabled": True, "backoffice": {"host": "staff.example.com"}}}
    text = notes(helm, plain)
    assert "nobody can log in" in text
    assert "web.settings.forwardedAllowIps" in text
    assert "share a node" in text
    assert "no backup" in text
    quiet = notes(helm, CASES["secrets of one's own"])
    assert "NOTE" not in quiet
