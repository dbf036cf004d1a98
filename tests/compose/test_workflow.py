"""The workflow: sound by actionlint, with the least rights; and its deployment over a real SSH connection."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = FILE.read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
SECRETS = ("SSH_HOST", "SSH_USER", "SSH_PRIVATE_KEY", "SSH_KNOWN_HOSTS")
COMMIT = "c0ffee" * 6 + "c0ff"


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def test_actionlint_finds_nothing() -> None:
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [tools / "actionlint", "-no-color", "-shellcheck", tools / "shellcheck", FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_runs_on_every_push_and_on_pull_requests() -> None:
    triggers = WORKFLOW[True]  # YAML 1.1 reads `on` so
    assert triggers == {"push": {"branches": ["**"]}, "pull_request": None}


def test_only_publishing_may_write_and_only_packages() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert granted == {"publish": {"contents": "read", "packages": "write"}, "deploy": {}}


def test_every_job_ends_some_day() -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for job in JOBS.values())


def test_actions_are_githubs_own_and_pinned_by_commit() -> None:
    used = [step["uses"] for _, step in steps() if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)
    lines = [line for line in TEXT.splitlines() if "uses:" in line]
    assert all(re.search(r" # v\d+\.\d+\.\d+$", line) for line in lines)  # for whoever updates them


def test_no_token_stays_in_a_checkout() -> None:
    for _, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_nothing_that_somebody_wrote_becomes_part_of_a_script() -> None:
    for _, step in steps():
        assert "${{" not in step.get("run", "")
    for name, step in steps():
        for value in (step.get("env") or {}).values():
            assert "github.event" not in str(value), name


def test_a_desk_runs_the_same_checks_and_tests() -> None:
    commands = {name: [step.get("run") for step in job["steps"]] for name, job in JOBS.items()}
    assert "make check" in commands["check"]
    assert "make test" in commands["test"]


def test_images_are_pushed_from_main_alone_after_checks_and_tests_with_the_commit_as_tag() -> None:
    publish = JOBS["publish"]
    assert publish["needs"] == ["check", "test"]
    assert publish["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    pushing = [name for name, step in steps() if "docker push" in step.get("run", "")]
    assert pushing == ["publish"]
    assert any('TAG="$GITHUB_SHA"' in step.get("run", "") for step in publish["steps"])
    assert JOBS["images"]["if"] == "github.ref != 'refs/heads/main'"


def test_a_deployment_is_asked_for_by_the_message_of_a_push_to_main() -> None:
    deploy = JOBS["deploy"]
    assert deploy["needs"] == "publish"
    for part in ("== 'push'", "'refs/heads/main'", "head_commit.message, 'deploy')"):
        assert part in deploy["if"]
    assert deploy["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    assert deploy["environment"] == "production"


def test_every_secret_and_variable_is_explained_at_the_head() -> None:
    head = TEXT.partition("\nname: ci")[0]
    for name in re.findall(r"\b(?:secrets|vars)\.(\w+)", TEXT):
        assert name in head or name == "GITHUB_TOKEN"
    for name in SECRETS:
        assert f"secrets.{name} " in TEXT


def test_the_key_of_the_server_is_always_checked() -> None:
    script = deploy_step()["run"]
    assert "StrictHostKeyChecking=yes" in script
    assert "StrictHostKeyChecking=no" not in TEXT
    assert "accept-new" not in TEXT
    assert "GlobalKnownHostsFile=/dev/null" in script


def deploy_step() -> dict[str, Any]:
    (step,) = JOBS["deploy"]["steps"]
    found: dict[str, Any] = step
    return found


# ---- the deployment's own script, with the real ssh against a real server

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh client here")


@dataclass
class Server:
    """An SSH server on this machine whose commands run in a shell, with a clone and a deploy.sh that notes its arguments."""

    folder: Path
    host_key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    user_key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    port: int = 0
    commands: list[str] = field(default_factory=list)

    @property
    def clone(self) -> Path:
        return self.folder / "the clone"

    @property
    def deployed(self) -> str:
        noted = self.folder / "deployed"
        return noted.read_text() if noted.exists() else ""

    def secrets(self) -> dict[str, str]:
        public = self.host_key.export_public_key().decode().strip()
        return {
            "SSH_HOST": "127.0.0.1",
            "SSH_USER": "deployer",
            "SSH_PRIVATE_KEY": self.user_key.export_private_key().decode(),
            "SSH_KNOWN_HOSTS": f"[127.0.0.1]:{self.port} {public}",
            "SSH_PORT": str(self.port),
            "DEPLOY_PATH": str(self.clone),
            "ATTEMPT": "1",
        }

    def git(self, *arguments: str, there: Path | None = None) -> str:
        named = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        done = subprocess.run(
            ["git", *named, *arguments],
            cwd=there or self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """In the repository that the clone was made from."""
        origin = self.folder / "origin"
        self.git("commit", "--quiet", "--allow-empty", "--message", message, there=origin)
        return self.git("rev-parse", "HEAD", there=origin)

    def prepare(self) -> None:
        script = self.folder / "origin" / "compose" / "deploy.sh"
        script.parent.mkdir(parents=True)
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{self.folder}/deployed"\n')
        script.chmod(0o755)
        origin = script.parent.parent
        self.git("init", "--quiet", "--initial-branch=main", there=origin)
        self.git("add", "--all", there=origin)
        self.git("commit", "--quiet", "--message", "first", there=origin)
        self.git("clone", "--quiet", str(origin), str(self.clone))

    async def handle(self, process: asyncssh.SSHServerProcess[str]) -> None:
        command = process.command or ""
        self.commands.append(command)
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-c", command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await shell.communicate()
        process.stdout.write(said.decode())
        process.exit(shell.returncode or 0)

    async def deploy(self, commit: str, **changes: str) -> tuple[int, str]:
        """The step's own script, as a runner starts it."""
        runner = self.folder / "runner.sh"
        runner.write_text(deploy_step()["run"])
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GITHUB_SHA": commit,
            **self.secrets(),
            **changes,
        }
        process = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc", "-eo", "pipefail", str(runner)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, said.decode()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    one = Server(tmp_path)
    one.prepare()
    public = asyncssh.import_authorized_keys(one.user_key.export_public_key().decode())
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[one.host_key],
        authorized_client_keys=public,
        process_factory=one.handle,
    )
    one.port = listener.get_port()
    try:
        yield one
    finally:
        listener.close()
        await listener.wait_closed()


@needs_ssh
async def test_the_server_fetches_the_commit_and_deploys_it(server: Server) -> None:
    commit = server.commit("deploy this")
    code, said = await server.deploy(commit)
    assert code == 0, said
    assert server.deployed == f"--commit {commit} {commit}\n"
    assert server.git("cat-file", "-t", commit, there=server.clone) == "commit"


@needs_ssh
async def test_a_failed_deployment_fails_the_job(server: Server) -> None:
    (server.clone / "compose" / "deploy.sh").write_text("#!/bin/sh\necho no; exit 3\n")
    code, said = await server.deploy(server.commit("deploy this"))
    assert (code, said.splitlines()[-1]) == (3, "no")


@needs_ssh
async def test_a_commit_that_cannot_be_fetched_is_not_deployed(server: Server) -> None:
    code, _ = await server.deploy(COMMIT)
    assert code != 0
    assert not server.deployed


@needs_ssh
async def test_an_older_commit_does_not_overtake_unless_it_is_asked_for_again(
    server: Server,
) -> None:
    older = server.commit("deploy one")
    newer = server.commit("deploy two")
    server.git("fetch", "--quiet", "origin", newer, there=server.clone)
    server.git("checkout", "--quiet", "--detach", newer, there=server.clone)
    code, said = await server.deploy(older)
    assert code == 0
    assert "run this job again" in said
    assert not server.deployed
    code, said = await server.deploy(older, ATTEMPT="2")
    assert code == 0, said
    assert server.deployed == f"--commit {older} {older}\n"


@needs_ssh
async def test_another_servers_key_ends_it_before_anything_is_said_to_it(server: Server) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    known = f"[127.0.0.1]:{server.port} {other}"
    code, said = await server.deploy(server.commit("deploy this"), SSH_KNOWN_HOSTS=known)
    assert code == 255
    assert "Host key verification failed" in said
    assert not server.commands


@needs_ssh
async def test_what_is_in_a_path_runs_no_command(server: Server) -> None:
    await server.deploy(
        server.commit("deploy this"), DEPLOY_PATH=f"/nowhere; touch {server.folder}/injected; '"
    )
    assert server.commands
    assert not (server.folder / "injected").exists()


@needs_ssh
@pytest.mark.parametrize("name", SECRETS)
async def test_a_missing_secret_is_named(server: Server, name: str) -> None:
    code, said = await server.deploy(COMMIT, **{name: ""})
    assert code == 1
    assert f"Set the secret {name}" in said
    assert not server.commands
