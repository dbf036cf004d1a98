"""The systemd units that back up every night."""

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

_COMPOSE = Path(__file__).parents[2] / "compose"
_UNITS = _COMPOSE / "backup"


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string((_UNITS / name).read_text())
    return parser


def test_the_service_runs_the_backup_that_compose_describes() -> None:
    service = unit("sentops-backup.service")["Service"]
    words = service["ExecStart"].split()
    assert words[:3] == ["/usr/bin/docker", "compose", "run"]
    described = yaml.safe_load((_COMPOSE / "compose.yaml").read_text())["services"]
    assert described[words[-1]]["command"][0] == "backup"
    assert service["WorkingDirectory"].startswith("/")
    assert service["Type"] == "oneshot"


def test_the_timer_makes_up_for_a_night_the_machine_was_off_and_spreads_the_load() -> None:
    timer = unit("sentops-backup.timer")
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Timer"]["RandomizedDelaySec"]
    assert timer["Timer"]["OnCalendar"].startswith("*-*-* ")  # daily
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert "Unit" not in timer["Timer"]  # so it starts the service of its own name


def test_systemd_finds_nothing_to_say_of_them(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    for name in ("sentops-backup.service", "sentops-backup.timer"):
        text = (_UNITS / name).read_text()
        # Docker and its service need not be on the machine that runs the tests.
        kept = [line for line in text.splitlines() if not line.startswith("Requires=")]
        text = "\n".join(kept).replace("/usr/bin/docker", "/bin/true")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    said = [line for line in done.stderr.splitlines() if "sentops-backup" in line]
    assert not said
    calendar = unit("sentops-backup.timer")["Timer"]["OnCalendar"]
    subprocess.run([analyze, "calendar", calendar], check=True, capture_output=True)
