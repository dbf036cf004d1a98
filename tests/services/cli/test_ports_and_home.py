"""Ports, the state folder, secrets and the lock."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from sentops_cli.home import Home, home_at
from sentops_cli.lock import only_supervisor
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.ports import Ports, check_free
from sentops_cli.programs import local_programs
from sentops_cli.secrets_file import forget_first_password, load, load_or_generate
from tests.services.cli.support import free_port


@contextmanager
def a_taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_an_offset_moves_every_port_but_the_named_ones() -> None:
    ports = Ports().changed(offset=100, web=9000)
    assert dict(ports) == {
        "web": 9000,
        "backoffice": 8101,
        "model": 8601,
        "trainer": 8602,
        "monitor": 8103,
        "postgres": 5655,
    }


@pytest.mark.parametrize(
    ("offset", "single", "sentence"),
    [(60_000, {}, "not between 1 and 65535"), (0, {"web": 8001}, "cannot share a port")],
)
def test_impossible_ports_are_bad_input(offset: int, single: dict[str, int], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        Ports().changed(offset=offset, **single)
    assert refused.value.code is ExitCode.BAD_INPUT


def test_a_taken_port_is_named_with_its_holder_and_the_option_that_helps() -> None:
    with a_taken_port() as port:
        ports = Ports(*(free_port() for _ in range(6))).changed(web=port)
        with pytest.raises(CommandError) as refused:
            check_free(ports)
    sentence = str(refused.value)
    assert (
        f"Port {port} (web) is in use by {psutil.Process().name()} (pid {os.getpid()})" in sentence
    )
    suggested = re.search(r"--web-port (\d+)", sentence)
    assert suggested is not None
    assert int(suggested[1]) > port
    assert refused.value.code is ExitCode.REFUSED


def test_a_port_of_a_program_that_will_not_be_started_may_be_taken() -> None:
    with a_taken_port() as port:
        ports = Ports(*(free_port() for _ in range(6))).changed(postgres=port)
        check_free(ports, skip=frozenset({"postgres"}))


def test_the_state_folder_and_the_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    load_or_generate(home.secrets)
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o600


def test_a_state_folder_that_is_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(CommandError, match="name another one with --home"):
        Home(tmp_path / "home").create()


def test_a_folder_that_holds_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build\n")
    (tmp_path / "project.py").write_text("")
    tmp_path.chmod(0o755)
    with pytest.raises(CommandError, match=r"holds 'project\.py'.*empty folder with --home"):
        Home(tmp_path).create()
    assert (tmp_path / ".gitignore").read_text() == "build\n"
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "project.py"]


def test_a_folder_in_which_a_supervisor_worked_is_taken_whatever_else_is_in_it(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    home.create()
    home.create()  # a start that ended before it had the lock
    with only_supervisor(home):
        (tmp_path / "notes.txt").write_text("mine")
    home.create()


def test_a_state_folder_of_another_account_is_refused_in_a_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o000)
    me = os.geteuid()
    try:
        if me == 0:  # root may look everywhere
            os.seteuid(65534)
        with pytest.raises(CommandError, match="belongs to another account") as refused:
            home_at(home)
    finally:
        if me == 0:
            os.seteuid(0)
        home.chmod(0o700)
    assert refused.value.code is ExitCode.REFUSED


def test_a_home_of_nobody_is_bad_input() -> None:
    with pytest.raises(CommandError, match="no such account"):
        home_at(Path("~nobody-has-this-name/x"))


def test_secrets_stay_the_same_and_the_first_password_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = load_or_generate(path)
    assert load_or_generate(path) == made
    assert made.first_admin_password is not None
    forget_first_password(path, made)
    kept = load(path)
    assert kept is not None
    assert kept.first_admin_password is None
    assert kept.signing_key == made.signing_key
    assert made.first_admin_password not in path.read_text()


def test_secrets_never_show_in_a_representation(tmp_path: Path) -> None:
    made = load_or_generate(tmp_path / "secrets.json")
    assert made.signing_key not in repr(made)


def test_unreadable_secrets_stop_the_start_and_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"control_token": ')
    with pytest.raises(CommandError, match="cannot be read as the platform's secrets"):
        load_or_generate(path)
    assert path.read_text() == '{"control_token": '


def test_every_program_gets_its_settings_and_no_other_ones(tmp_path: Path) -> None:
    home = Home(tmp_path)
    secrets = load_or_generate(tmp_path / "secrets.json")
    programs = local_programs(home, Ports(), secrets, database_url="postgresql://x", python="py")
    assert [program.name for program in programs] == [
        "model",
        "trainer",
        "web",
        "backoffice",
        "monitor",
    ]
    for program in programs:
        own = {
            key for key in program.environment if key.startswith("SENTOPS_") and "HOME" not in key
        }
        assert all(key.startswith(f"SENTOPS_{program.name.upper()}_") for key in own)
    web = next(program for program in programs if program.name == "web")
    assert secrets.control_token not in web.environment.values()
    assert secrets.signing_key not in repr(web)


def test_the_second_supervisor_of_a_home_is_told_who_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with only_supervisor(home):
        second = subprocess.run(
            [sys.executable, "-m", "sentops_cli", "up", "--home", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode == ExitCode.REFUSED
    assert f"(process {os.getpid()})" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_taken_port_ends_the_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with a_taken_port() as port:
        ports = [f"--{name}-port={free_port()}" for name, _ in Ports() if name != "trainer"]
        ports.append(f"--trainer-port={port}")
        up = subprocess.run(
            [sys.executable, "-m", "sentops_cli", "up", "--home", str(tmp_path), *ports],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert up.returncode == ExitCode.REFUSED
    assert f"Port {port} (trainer) is in use" in up.stderr
    assert not (tmp_path / "postgres").exists()
    down = subprocess.run(
        [sys.executable, "-m", "sentops_cli", "down", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (down.returncode, down.stdout) == (0, f"Nothing was running in {tmp_path}\n")


def test_status_of_a_home_where_nothing_runs_says_how_to_start(tmp_path: Path) -> None:
    status = subprocess.run(
        [sys.executable, "-m", "sentops_cli", "status", "--home", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert status.returncode == ExitCode.NOT_RUNNING
    assert json.loads(status.stdout) == {"running": False, "leftovers": []}
