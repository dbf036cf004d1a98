"""compose/deploy.sh: forward when all is well, back when it is not, one at a time."""

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.tiny_project import SCRIPT, TinyProject, build_images, remove_images
from tests.images.engine import why_not
from tests.support.eventually import eventually

REASON = why_not()
on_an_engine = pytest.mark.skipif(REASON is not None, reason=str(REASON))
FAST = ("--no-pull", "--wait", "30")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run(
        [shellcheck, "--enable=all", "--exclude=SC2310,SC2311,SC2312,SC2250,SC2292", str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("",),
        ("one", "two"),
        ("--force", "one"),
        ("a b",),
        ("$(reboot)",),
        ("one", "--wait"),
        ("one", "--wait", "soon"),
        ("one", "--commit", "main; reboot"),
    ],
)
def test_what_makes_no_sense_exits_with_2_and_a_sentence(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("deploy.sh: ")
    assert not (SCRIPT.parent / "deploy.log").exists() or "reboot" not in done.stdout


def test_its_help_is_its_head() -> None:
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "./deploy.sh [--commit SHA]" in done.stdout
    assert "set -E" not in done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = build_images(tmp_path_factory.mktemp("image"))
    yield name
    remove_images(name)


@pytest.fixture
def project(tmp_path: Path, image: str) -> Iterator[TinyProject]:
    """The tag `good` runs."""
    tiny = TinyProject(tmp_path / "clone", image)
    tiny.write("good")
    try:
        tiny.start()
        yield tiny
    finally:
        tiny.remove()


PROGRAMS = ("web", "backoffice", "trainer")


def all_run(project: TinyProject, tag: str) -> None:
    found = project.containers()
    assert {name: found.get(name) for name in PROGRAMS} == dict.fromkeys(PROGRAMS, tag)


@pytest.mark.docker
@on_an_engine
class TestOnAnEngine:
    """With a real Docker Engine and a project of our own."""

    def test_a_tag_that_comes_up_healthy_stays(self, project: TinyProject) -> None:
        done = project.deploy(*FAST, "better")
        assert done.returncode == 0, done.stdout + done.stderr
        all_run(project, "better")
        assert project.env.read_text() == "# settings\nREGISTRY=\nTAG=better\nLAST=kept\n"
        assert stat.S_IMODE(project.env.stat().st_mode) == 0o600
        assert "better runs and is healthy; a text was answered." in done.stdout
        assert "better runs and is healthy" in project.log
        made = project.compose / "backups" / "made"
        assert made.read_text() == "good"  # by the programs of then, before anything was changed
        assert not list(project.compose.glob(".env.new-*"))

    def test_a_tag_that_stays_unhealthy_is_taken_back(self, project: TinyProject) -> None:
        done = project.deploy("--no-backup", *FAST, "unhealthy")
        assert done.returncode == 1, done.stdout + done.stderr
        all_run(project, "good")
        assert project.tag == "good"
        assert "--- web: " in done.stdout
        assert "web is unhealthy" in done.stdout  # the last it said
        last = done.stdout.splitlines()[-1]
        assert last.startswith("deploy.sh: unhealthy was not deployed, because not every container")
        assert last.endswith("good runs again.")

    def test_a_healthy_tag_that_answers_no_text_is_taken_back(self, project: TinyProject) -> None:
        done = project.deploy("--no-backup", *FAST, "mute")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "a text gets no answer, though a model was live before" in done.stdout
        all_run(project, "good")

    def test_images_that_cannot_be_had_stop_nothing(self, project: TinyProject) -> None:
        before = project.container_ids()
        project.env.write_text(
            project.env.read_text().replace("REGISTRY=", "REGISTRY=127.0.0.1:9/")
        )
        done = project.deploy("--no-backup", "better")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "the images of better cannot be pulled" in done.stdout
        assert project.tag == "good"
        assert project.container_ids() == before

    def test_a_backup_that_fails_stops_it_before_anything(self, project: TinyProject) -> None:
        before = project.container_ids()
        (project.compose / "backups").mkdir(exist_ok=True)
        (project.compose / "backups" / "made").mkdir()  # cannot be written to
        done = project.deploy(*FAST, "better")
        assert done.returncode == 1
        assert "the backup failed, so nothing was changed" in done.stdout
        assert project.tag == "good"
        assert project.container_ids() == before

    def test_a_second_one_at_the_same_time_is_refused(self, project: TinyProject) -> None:
        descriptor = os.open(project.compose, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            done = project.deploy(*FAST, "better")
        finally:
            os.close(descriptor)
        assert done.returncode == 1
        assert "another deploy is under way" in done.stderr
        assert project.tag == "good"

    def test_two_at_once_leave_one_that_did_it(self, project: TinyProject) -> None:
        command = ["./deploy.sh", "--no-backup", *FAST, "better"]
        both = [
            subprocess.Popen(
                command,
                cwd=project.compose,
                env=project.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        assert sorted(one.wait(120) for one in both) == [0, 1]
        all_run(project, "better")

    def test_the_clone_goes_to_the_commit_and_back_with_the_images(
        self, project: TinyProject
    ) -> None:
        (project.folder / ".gitignore").write_text("compose/.env\ncompose/deploy.log\n")
        project.git("init", "--quiet", "--initial-branch=main")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "one")
        first = project.git("rev-parse", "HEAD")
        file = project.compose / "compose.yaml"
        file.write_text(file.read_text().replace('GENERATION: "1"', 'GENERATION: "2"'))
        project.git("commit", "--quiet", "--all", "--message", "two")
        second = project.git("rev-parse", "HEAD")
        project.git("checkout", "--quiet", "--detach", first)

        failed = project.deploy("--no-backup", *FAST, "--commit", second, "unhealthy")
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert project.git("rev-parse", "HEAD") == first
        assert generation(project) == "1"

        done = project.deploy("--no-backup", *FAST, "--commit", second, "better")
        assert done.returncode == 0, done.stdout + done.stderr
        assert project.git("rev-parse", "HEAD") == second
        assert generation(project) == "2"

        unknown = project.deploy("--no-backup", *FAST, "--commit", "f" * 40, "good")
        assert unknown.returncode == 2
        assert "git fetch it first" in unknown.stderr

    def test_a_schema_that_the_old_programs_refuse_is_told_with_the_way_out(
        self, project: TinyProject
    ) -> None:
        done = project.deploy(*FAST, "moving")
        assert done.returncode == 3, done.stdout + done.stderr
        assert project.tag == "good"
        assert "moved the database's schema from 2 to 3" in done.stdout
        assert "docker compose run --rm restore restore /backups latest --replace" in done.stdout
        assert "(from the backup taken before)" in done.stdout
        assert done.stdout.splitlines()[-1].endswith("somebody must look.")

    def test_a_listener_that_leaves_does_not_stop_it(self, project: TinyProject) -> None:
        deploy = subprocess.Popen(
            ["./deploy.sh", "--no-backup", *FAST, "better"],
            cwd=project.compose,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert deploy.stdout is not None
        deploy.stdout.readline()
        deploy.stdout.close()
        deploy.send_signal(signal.SIGHUP)
        assert deploy.wait(120) == 0
        all_run(project, "better")
        assert "better runs and is healthy" in project.log

    async def test_one_that_is_told_to_end_goes_back_first(self, project: TinyProject) -> None:
        deploy = await asyncio.create_subprocess_exec(
            *("./deploy.sh", "--no-backup", *FAST, "unhealthy"),
            cwd=project.compose,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await eventually(lambda: project.tag == "unhealthy")
        deploy.terminate()
        assert await asyncio.wait_for(deploy.wait(), 120) == 1
        assert "because it was interrupted" in project.log
        all_run(project, "good")


def generation(project: TinyProject) -> str:
    """Of the compose file that web was started with."""
    return project.run(
        "docker", "compose", "exec", "-T", "web", "printenv", "GENERATION"
    ).stdout.strip()
