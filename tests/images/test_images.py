"""The images as built: small, confined, without torch where none is needed. `make images` builds them first."""

import json
import time

import pytest

from tests.images.engine import docker, image_of, python, run, running, why_not
from tests.images.sizes import AIMS, PROGRAMS, above_base
from tests.support.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

USER = 10001
PORTS = {
    "web": 8000,
    "backoffice": 8001,
    "model": 8501,
    "trainer": 8502,
    "monitor": 8003,
    "operator": 8080,
}
SETTINGS = {
    # The database is away: alive is a program that answers, ready one that can work.
    "monitor": ("--env", "SENTOPS_MONITOR_DATABASE_URL=postgresql://nobody:x@127.0.0.1:1/none"),
    "model": (),
}


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(f"{reason}; the images are not tried")
    missing = [one for one in PROGRAMS if docker("image", "inspect", image_of(one)).returncode]
    if missing:
        pytest.skip(f"`make images` first: there is no {', '.join(map(image_of, missing))}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_says_what_it_is_and_runs_as_nobody_special(program: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image_of(program)).stdout)
    config = found["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert list(config["ExposedPorts"]) == [f"{PORTS[program]}/tcp"]
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"sentops-{program}"
    for name in ("description", "version", "revision", "vendor", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"], name


@pytest.mark.parametrize("program", PROGRAMS)
def test_torch_and_development_tools_are_where_they_belong(program: str) -> None:
    names = ("torch", "pytest", "mypy", "uv", "asyncpg", "sentops_cli")
    found = python(
        program,
        f"from importlib.util import find_spec; print(*[n for n in {names} if find_spec(n)])",
    ).split()
    expected = {"trainer": ["torch", "asyncpg"], "operator": [], "model": []}
    assert found == expected.get(program, ["asyncpg"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_everything_a_program_depends_on_is_in_its_image(program: str) -> None:
    """All modules of ours load, and each distribution's requirements are met."""
    code = """
import re, sys
from importlib.metadata import distributions
from pkgutil import walk_packages
from importlib import import_module
there = {re.sub("[-_.]+", "-", one.metadata["Name"]).lower() for one in distributions()}
for one in distributions():
    for wanted in one.requires or ():
        name, _, marker = wanted.partition(";")
        name = re.sub("[-_.]+", "-", re.match("[A-Za-z0-9_.-]+", name)[0]).lower()
        if not marker and name not in there:
            print(one.metadata["Name"], "lacks", name)
package = import_module(sys.argv[1])
for module in walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        import_module(module.name)
"""
    package = {"model": "sentops_model_server"}.get(program, f"sentops_{program}")
    answer = run(program, "python", "-c", code, package)
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr[-2000:]


@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - {"model"}))
def test_a_program_without_settings_ends_with_one_clear_message(program: str) -> None:
    answer = run(program)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Settings are missing or wrong:")
    assert f"SENTOPS_{program.upper()}_" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("program", sorted(SETTINGS))
async def test_a_confined_program_becomes_healthy_and_ends_when_asked(program: str) -> None:
    with running(program, "--health-interval", "1s", *SETTINGS[program]) as container:

        def healthy() -> bool:
            state = json.loads(docker("inspect", container).stdout)[0]["State"]
            assert state["Running"], docker("logs", container).stderr
            return bool(state["Health"]["Status"] == "healthy")

        await eventually(healthy, within=60, every=0.5)
        began = time.monotonic()
        docker("stop", "--time", "30", container)
        assert time.monotonic() - began < 15
        state = json.loads(docker("inspect", container).stdout)[0]["State"]
        assert state["ExitCode"] == 0, docker("logs", container).stdout[-2000:]


def test_a_new_volume_belongs_to_the_programs_user() -> None:
    for folder in ("/var/lib/sentops", "/work", "/cache"):
        answer = run(
            "trainer",
            "python",
            "-c",
            f"open('{folder}/written', 'w').close()",
            options=("--volume", folder),
        )
        assert answer.returncode == 0, answer.stderr


def test_bytecode_is_there_already_since_nobody_can_write_it_later() -> None:
    for program in PROGRAMS:
        code = "import os, sentops_core.domain.plan as plan; print(os.path.exists(plan.__cached__))"
        assert python(program, code) == "True"


def test_the_trainer_image_migrates_and_runs_trainings() -> None:
    migrate = run("trainer", "python", "-m", "sentops_core.store.migrate")
    assert "SENTOPS_DATABASE_URL" in migrate.stderr
    bad = run(
        "trainer", "python", "-m", "sentops_trainer.run", "--spec", "/none", "--out", "/tmp/work"
    )
    result = json.loads(bad.stdout.splitlines()[-1])
    assert (bad.returncode, result["reason"]) == (4, "InvalidSpec")


@pytest.mark.parametrize("program", sorted(AIMS))
def test_an_image_is_as_small_as_it_was_meant_to_be(program: str) -> None:
    assert above_base(image_of(program)) <= AIMS[program]
