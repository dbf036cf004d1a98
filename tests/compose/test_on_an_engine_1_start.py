"""On an engine: a clean host, one command, and everything is as the file says. See project.py."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.compose.composition import FILE
from tests.compose.project import Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

WAY_IN = {"web": 8000, "backoffice": 8001, "model": 8501, "trainer": 8502, "postgres": 5432}


def test_without_settings_nothing_starts_and_a_sentence_says_what_to_do(
    project: Project, tmp_path: Path
) -> None:
    shutil.copy(FILE, tmp_path)
    command = ["docker", "compose", "--project-name", f"{project.name}-none", "up", "--detach"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    answer = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode != 0
    assert "required variable DATABASE_PASSWORD is missing" in answer.stderr
    assert "run 'make compose-init'" in answer.stderr


def test_everything_is_healthy_and_all_of_it_is_the_projects_own(project: Project) -> None:
    for service in project.lasting:
        assert project.is_healthy(service), project.log(service)
    prepared = project.inspect("prepare")["State"]
    assert (prepared["Status"], prepared["ExitCode"]) == ("exited", 0)
    for service in project.lasting:
        found = project.inspect(service)
        for mount in found["Mounts"]:
            if mount["Type"] == "volume":
                assert mount["Name"].startswith(f"{project.name}_")
        assert all(
            name.startswith(f"{project.name}_") for name in found["NetworkSettings"]["Networks"]
        )


def test_ports_are_open_where_the_file_says(project: Project) -> None:
    for service in project.lasting:
        bound = project.inspect(service)["HostConfig"]["PortBindings"] or {}
        found = {
            (one["HostIp"], int(one["HostPort"]), port)
            for port, places in bound.items()
            for one in places
        }
        assert found == {
            (one.address, one.host, f"{one.container}/{one.protocol}")
            for one in project.stack[service].ports
        }
        expected = {"0.0.0.0"} if service == "caddy" else {"127.0.0.1"}
        assert {address for address, *_ in found} <= expected


def test_containers_are_as_confined_as_they_were_written(project: Project) -> None:
    for service in project.lasting:
        found = project.inspect(service)
        host, written = found["HostConfig"], project.stack[service]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["ReadonlyRootfs"] is bool(written.content.get("read_only"))
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        if written.ours:
            assert found["Config"]["User"] == "10001:10001"


def test_who_has_no_business_with_another_does_not_reach_it(project: Project) -> None:
    reached = {
        (a, b): project.reaches(a, b, WAY_IN[b])
        for a, b in [
            ("caddy", "web"),
            ("caddy", "trainer"),
            ("caddy", "postgres"),
            ("model", "postgres"),
            ("mlflow", "postgres"),
            ("mlflow", "web"),
            ("alertmanager", "postgres"),
            ("prometheus", "model"),
        ]
    }
    assert reached == {
        pair: pair in {("caddy", "web"), ("mlflow", "postgres"), ("prometheus", "model")}
        for pair in reached
    }
