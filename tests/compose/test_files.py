"""compose.yaml as a person reads it: what each service may do, what it keeps, and whom it can talk to."""

import json
import os
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.composition import (
    FILE,
    FOLDER,
    GUIDE,
    ROOT,
    Composition,
    Missing,
    Port,
    Service,
    composition,
    settings,
)

STACK = composition()
SERVICES = list(STACK)
LASTING = [one for one in SERVICES if one.content["restart"] == "unless-stopped"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
_STAGE = re.compile(r"^FROM \S+ AS (\S+)$(.*?)(?=^FROM |\Z)", re.MULTILINE | re.DOTALL)
STAGES = dict(_STAGE.findall(DOCKERFILE))

# What is written to elsewhere than in volumes and /tmp, and why.
WRITABLE = {
    "postgres": "its start script and its socket",
    "grafana": "plugins and its own logs",
    "alertmanager": "compose copies its configuration in when it starts",
}
ENDS = {"prepare": "on-failure:3", "sentops": "no", "backup": "no", "restore": "no"}
AS_ROOT = {"backup", "restore"}  # read what other users' programs wrote


def named(service: Service) -> str:
    return service.name


# ---- every service


@pytest.mark.parametrize("service", SERVICES, ids=named)
def test_a_service_is_confined_and_bounded(service: Service) -> None:
    content = service.content
    assert content["restart"] == ENDS.get(service.name, "unless-stopped")
    assert content["cap_drop"] == ["ALL"]
    assert content["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", content["mem_limit"])
    assert content["pids_limit"] > 0
    assert content["logging"]["driver"] == "json-file"
    assert set(content["logging"]["options"]) == {"max-size", "max-file"}
    assert not content.get("privileged")
    for forbidden in ("network_mode", "pid", "ipc", "userns_mode", "devices", "links"):
        assert forbidden not in content
    assert "docker.sock" not in str(content), "who has the engine's socket is root of the server"


def test_rights_beyond_none_are_few_and_meant() -> None:
    added = {one.name: set(one.content["cap_add"]) for one in SERVICES if "cap_add" in one.content}
    for_others = {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
    assert added == {
        "postgres": for_others | {"SETGID", "SETUID"},
        "caddy": {"NET_BIND_SERVICE"},
        "backup": for_others,
        "restore": for_others,
    }


@pytest.mark.parametrize("service", SERVICES, ids=named)
def test_a_service_writes_only_where_it_was_given_room(service: Service) -> None:
    assert service.content.get("read_only", False) is (service.name not in WRITABLE)
    assert not (service.ours and service.name in WRITABLE)


@pytest.mark.parametrize("service", [one for one in SERVICES if one.ours], ids=named)
def test_a_program_of_ours_is_nobody_special_and_comes_from_our_recipe(service: Service) -> None:
    assert service.content.get("user") == ("0:0" if service.name in AS_ROOT else None)
    assert "\nUSER 10001:10001\n" in STAGES["runtime"]
    assert "USER " not in STAGES[service.target]
    assert service.image == f"sentops-{service.target}:dev"
    pulled = composition({**settings(), "REGISTRY": "ghcr.io/acme/", "TAG": "1.2"})
    assert pulled[service.name].image == f"ghcr.io/acme/sentops-{service.target}:1.2"


@pytest.mark.parametrize("service", LASTING, ids=named)
def test_what_lasts_says_whether_it_is_well(service: Service) -> None:
    if service.ours and "healthcheck" not in service.content:
        assert "HEALTHCHECK --interval" in STAGES[service.target]
        return
    check = service.content["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "start_period"} <= set(check)


@pytest.mark.parametrize("service", [one for one in SERVICES if not one.ours], ids=named)
def test_an_image_of_others_is_pinned_and_can_be_taken_from_elsewhere(service: Service) -> None:
    assert re.search(r":[\w.-]*\d[\w.-]*$", service.image)
    key = f"{service.name.upper()}_IMAGE"
    assert composition({**settings(), key: "here/it:1"})[service.name].image == "here/it:1"


def test_programs_start_when_the_database_is_prepared() -> None:
    prepared = {"prepare": {"condition": "service_completed_successfully"}}
    for name in ("web", "backoffice", "trainer", "monitor", "grafana", "mlflow"):
        assert STACK[name].content["depends_on"] == prepared
    healthy = {"condition": "service_healthy"}
    assert STACK["prepare"].content["depends_on"] == {"postgres": healthy}


def test_the_edge_is_not_replaced_with_the_programs_behind_it() -> None:
    """Compose replaces whoever depends on what it replaces: the edge would be shut until the program is well."""
    assert "depends_on" not in STACK["caddy"].content
    edge = (FOLDER / "caddy/Caddyfile").read_text()
    assert edge.count("lb_try_duration 30s") == 2  # it waits instead


# ---- ports


def documented() -> dict[str, tuple[set[tuple[str, int]], str]]:
    """Of each service in the guide's table: where it answers, and its profile."""
    found = {}
    for row in (line for line in GUIDE.splitlines() if line.count("|") == 5):
        name, where, profile, _ = (cell.strip(" `") for cell in row.strip("|").split("|"))
        ports = {(address, int(port)) for address, port in re.findall(r"([\d.]{7,}):(\d+)", where)}
        if ports:
            found[name] = (ports, profile)
    return found


def test_ports_and_profiles_are_those_of_the_guide() -> None:
    written = {
        one.name: (
            {(port.address, port.host) for port in one.ports},
            "".join(one.profiles),
        )
        for one in SERVICES
        if one.ports
    }
    assert written == documented()
    assert all(STACK[name].profiles == {"tools"} for name in ("sentops", "backup", "restore"))


def test_only_the_edge_is_open_to_the_world() -> None:
    for service in SERVICES:
        open_to = {port.address for port in service.ports}
        assert open_to <= ({"0.0.0.0"} if service.name == "caddy" else {"127.0.0.1"})


def test_an_address_opens_everything_but_the_database_which_has_its_own() -> None:
    opened = composition({**settings(), "BIND_ADDRESS": "10.0.0.5"})
    for service in opened:
        expected = {"caddy": "0.0.0.0", "postgres": "127.0.0.1"}.get(service.name, "10.0.0.5")
        assert {port.address for port in service.ports} <= {expected}
    everywhere = composition({**settings(), "BIND_ADDRESS": "[::1]"})
    assert everywhere["web"].ports == [Port("[::1]", 8000, 8000, "tcp")]


def test_no_two_services_want_one_port_and_each_can_be_moved() -> None:
    taken = [(port.host, port.protocol) for one in SERVICES for port in one.ports]
    assert len(taken) == len(set(taken))
    keys = set(re.findall(r"\$\{(\w+_PORT):-\d+\}:", FILE.read_text()))
    moved = composition({**settings(), **dict.fromkeys(keys, "1234")})
    assert all(port.host == 1234 for one in moved for port in one.ports)


def test_a_published_port_is_the_one_that_the_program_listens_on() -> None:
    for service in SERVICES:
        if service.ours and service.ports:
            (exposed,) = re.findall(r"^EXPOSE (\d+)$", STAGES[service.target], re.MULTILINE)
            assert {port.container for port in service.ports} == {int(exposed)}


# ---- what is kept


def test_nothing_must_be_there_before() -> None:
    for kind in ("volumes", "networks", "configs", "secrets"):
        for name, one in STACK.content[kind].items():
            assert not {"external", "name", "driver_opts", "file"} & set(one or {}), (
                f"{kind}: {name}"
            )
    for service in SERVICES:
        for mount in service.mounts:
            if mount.of_a_folder and mount.target != "/backups":
                assert (FOLDER / mount.source).resolve().is_dir(), mount.source
                assert mount.read_only


def test_volumes_are_those_of_the_guide_and_each_is_used() -> None:
    declared = set(STACK.content["volumes"])
    used = {mount.source for one in SERVICES for mount in one.mounts if not mount.of_a_folder}
    assert used == declared
    told = re.search(r"^Volumes: (.*?)\.\n", GUIDE, re.MULTILINE | re.DOTALL)
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == declared
    wanted = {"db_data", "grafana_data", "models", "hf_cache", "caddy_data", "spool"}
    assert wanted <= declared


def test_versions_are_written_by_those_who_make_them_and_read_by_the_others() -> None:
    writers = {
        one.name: mount.read_only
        for one in SERVICES
        for mount in one.mounts
        if mount.source == "models"
    }
    assert writers == {
        "trainer": False,
        "backoffice": False,
        "restore": False,
        "model": True,
        "backup": True,
    }
    places = {
        STACK["trainer"].environment["SENTOPS_TRAINER_STORE_URI"],
        STACK["backoffice"].environment["SENTOPS_BACKOFFICE_STORE_URI"],
        STACK["backup"].environment["SENTOPS_STORE_URI"],
        STACK["restore"].environment["SENTOPS_STORE_URI"],
    }
    assert places == {"file:///var/lib/sentops/store"}  # the model server is told it by the trainer


def test_a_new_volume_belongs_to_who_writes_it() -> None:
    """A new volume takes over the owner of the folder that it is put on."""
    for service in SERVICES:
        if not service.ours or service.name in AS_ROOT:
            continue
        for mount in service.mounts:
            recipe = STAGES["runtime"] + STAGES[service.target]
            assert re.search(rf"--chown=10001:10001 /empty {mount.target}\n", recipe), mount.target


# ---- who can talk to whom

# Each with all that it asks: what is not here has no business together.
ASKS = {
    "caddy": {"web", "backoffice", "grafana"},
    "web": {"postgres", "trainer", "model"},
    "backoffice": {"postgres", "trainer"},
    "trainer": {"postgres", "model", "mlflow"},
    "monitor": {"postgres"},
    "grafana": {"postgres", "prometheus"},
    "mlflow": {"postgres"},
    "prometheus": {"web", "backoffice", "model", "trainer", "monitor", "caddy", "alertmanager"},
    "prepare": {"postgres"},
    "sentops": {"web", "trainer", "backoffice", "monitor"},
    "backup": {"postgres"},
    "restore": {"postgres"},
}
NEVER = {
    # The one that the world reaches leads to three, and to nothing behind them.
    "caddy": {"postgres", "trainer", "model", "monitor", "mlflow", "alertmanager"},
    # It loads what others trained: not to the database, nor to what people log in to.
    "model": {"postgres", "backoffice", "grafana", "mlflow", "caddy", "monitor", "alertmanager"},
    # It has no login.
    "mlflow": {
        "web",
        "backoffice",
        "model",
        "monitor",
        "grafana",
        "caddy",
        "prometheus",
        "sentops",
    },
    "alertmanager": {"postgres", "web", "backoffice", "model", "trainer", "monitor", "mlflow"},
    "prometheus": {"postgres", "mlflow"},
    "grafana": {"model", "mlflow"},
    "sentops": {"postgres", "model", "mlflow"},
}


@pytest.mark.parametrize("name", ASKS)
def test_a_service_reaches_what_it_asks(name: str) -> None:
    assert STACK.reaches(name) >= ASKS[name]


@pytest.mark.parametrize("name", NEVER)
def test_a_service_does_not_reach_what_it_has_no_business_with(name: str) -> None:
    assert STACK.reaches(name) & NEVER[name] == set()
    assert ASKS.get(name, set()) & NEVER[name] == set()


def test_who_is_given_an_address_can_reach_it() -> None:
    for service in SERVICES:
        asked = set(re.findall(r"(?://|@)([a-z]+):\d+", " ".join(service.environment.values())))
        # A user of the database may have the name of the service, and a password that begins like a port.
        others = asked & set(STACK.services) - {service.name}
        assert others <= STACK.reaches(service.name), service.name


def test_the_edge_meets_each_program_on_one_network_alone() -> None:
    """On a second one its requests would come from another address than the one that programs believe."""
    for other in STACK.reaches("caddy"):
        assert STACK[other].networks & STACK["caddy"].networks == {"front"}


def test_programs_believe_the_edges_own_address_who_a_client_is() -> None:
    for prefix in ("172.29.250", "10.9.8"):
        stack = composition({**settings(), "FRONT_PREFIX": prefix})
        address = stack["caddy"].content["networks"]["front"]["ipv4_address"]
        (pool,) = stack.content["networks"]["front"]["ipam"]["config"]
        assert pool == {"subnet": f"{prefix}.0/24", "ip_range": f"{prefix}.128/25"}
        assert address == f"{prefix}.2"  # outside of what others are given
        for name in ("web", "backoffice"):
            environment = stack[name].environment
            assert environment[f"SENTOPS_{name.upper()}_FORWARDED_ALLOW_IPS"] == address


def test_every_network_has_two_who_talk() -> None:
    for network in STACK.content["networks"]:
        inside = {one.name for one in SERVICES if network in one.networks}
        pairs = combinations(sorted(inside), 2)
        assert any(b in ASKS.get(a, ()) or a in ASKS.get(b, ()) for a, b in pairs), network


# ---- without .env, and as compose itself reads it


def test_without_settings_nothing_starts_and_a_sentence_says_what_to_do() -> None:
    with pytest.raises(Missing) as refused:
        composition({})
    assert "required variable DATABASE_PASSWORD is missing" in str(refused.value)
    assert "make compose-init" in str(refused.value)
    assert "required variable DATABASE_PASSWORD is missing" in GUIDE


def test_the_override_for_a_gpu_changes_the_trainer_alone() -> None:
    content = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
    assert set(content) == {"services"}
    assert set(content["services"]) == {"trainer"}
    (device,) = content["services"]["trainer"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def compose_config(environment: Path, *files: Path) -> dict[str, Any]:
    chosen = [part for file in files for part in ("--file", str(file))]
    chosen += ["--env-file", str(environment), "--profile", "*"]
    answer = subprocess.run(
        ["docker", "compose", *chosen, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
    )
    assert answer.returncode == 0, answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


@pytest.fixture
def _compose() -> None:
    command = ["docker", "compose", "version"]
    if (
        shutil.which("docker") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("no docker compose here; the file is read without it")


@pytest.mark.usefixtures("_compose")
def test_compose_reads_the_file_as_these_tests_do(tmp_path: Path) -> None:
    values = settings(
        domain="example.org", profiles="edge,tracking", alert_email_to="a@example.org"
    )
    (tmp_path / ".env").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    told = compose_config(tmp_path / ".env", FILE)
    read: Composition = composition(values)
    assert set(told["services"]) == set(read.services)
    for name, one in told["services"].items():
        ours = read[name]
        assert one["image"] == ours.image
        assert one.get("environment", {}) == ours.environment
        assert one.get("command") == ours.content.get("command")
        assert set(one["networks"]) == ours.networks
        ports = [
            Port(p["host_ip"], int(p["published"]), p["target"], p["protocol"])
            for p in one.get("ports", ())
        ]
        assert ports == ours.ports
        assert [mount["target"] for mount in one.get("volumes", ())] == [
            m.target for m in ours.mounts
        ]
    assert (
        told["configs"]["alertmanager"]["content"]
        == read.content["configs"]["alertmanager"]["content"]
    )


@pytest.mark.usefixtures("_compose")
@pytest.mark.parametrize(
    "override",
    [FOLDER / "compose.gpu.yaml", Path(__file__).with_name("standins.yaml")],
    ids=lambda file: file.name,
)
def test_an_override_fits(tmp_path: Path, override: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{key}={value}\n" for key, value in settings().items()))
    assert compose_config(tmp_path / ".env", FILE, override)["services"]
