"""One project of compose for tests: a name, ports, a network and settings of its own, on the engine of this machine."""

import json
import os
import secrets
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.compose.composition import FILE, FOLDER, ROOT, Composition, composition
from tests.images.engine import docker, image_of, why_not
from tests.support.eventually import eventually
from tests.support.postgres import a_free_port

STANDINS = Path(__file__).with_name("standins.yaml")
PROGRAMS = ("web", "backoffice", "model", "trainer", "monitor", "cli", "mlflow")
OTHERS = ("postgres", "caddy", "prometheus", "alertmanager", "grafana")
OPTIONS = (
    "--profiles=edge,metrics,tracking",
    "--domain=localhost",
    "--alert-email-to=ops@example.org",
    "--smtp-host=127.0.0.1",
)
_PULL_SECONDS = 60
_LABEL = "com.docker.compose"


class Unavailable(Exception):
    """What is missing for a project here, in one line."""


def _is_there(image: str) -> bool:
    """On the engine, or fetched now."""
    if docker("image", "inspect", image).returncode == 0:
        return True
    try:
        return docker("pull", "--quiet", image, seconds=_PULL_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _needed() -> bool:
    """Whether there is a Grafana; Unavailable for anything else that is not here."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise Unavailable("the compose project is run by one process: leave out -n")
    if (reason := why_not()) is not None:
        raise Unavailable(f"{reason}; the compose project is not run")
    if docker("compose", "version").returncode:
        raise Unavailable("this Docker has no Compose v2; the compose project is not run")
    missing = [one for one in map(image_of, PROGRAMS) if docker("image", "inspect", one).returncode]
    if missing:
        raise Unavailable(f"`make images` first: there is no {', '.join(missing)}")
    stack = composition()
    away = [name for name in OTHERS if not _is_there(stack[name].image)]
    if set(away) - {"grafana"}:
        raise Unavailable(f"these images can be had from nowhere: {', '.join(away)}")
    return not away


def _free_prefix() -> str:
    """A /24 that no network of this engine has."""
    names = docker("network", "ls", "--quiet").stdout.split()
    taken = docker("network", "inspect", *names).stdout
    return next(
        prefix
        for number in range(249, 99, -1)
        if f'"{(prefix := f"172.29.{number}")}.' not in taken
    )


@dataclass
class Project:
    folder: Path
    base: Path  # a base model, which the trainer sees as file:///base
    has_grafana: bool
    name: str = field(default_factory=lambda: f"sentops-test-{secrets.token_hex(4)}")

    # ---- settings

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    @property
    def settings(self) -> dict[str, str]:
        lines = [line.partition("=") for line in self.env_file.read_text().splitlines()]
        return {name: value for name, equals, value in lines if equals and name[0] != "#"}

    def set(self, **values: object) -> None:
        """As a person edits .env."""
        lines = self.env_file.read_text().splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in values]
        kept += [f"{name}={value}" for name, value in values.items()]
        self.env_file.write_text("\n".join(kept) + "\n")

    def write_settings(self) -> str:
        """With the real `make compose-init`; what it said."""
        (self.folder / "compose.yaml").symlink_to(FILE)
        script = ROOT / "services/cli/src/sentops_cli/compose_env.py"
        images = [
            f"--tag={os.environ.get('SENTOPS_IMAGE_TAG', 'dev')}",
            f"--registry={os.environ.get('SENTOPS_IMAGE_PREFIX', '')}",
        ]
        said = subprocess.run(
            [sys.executable, script, "--folder", self.folder, *OPTIONS, *images],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        backups = self.folder / "backups"
        backups.mkdir()
        ports = {key: a_free_port() for key in self._ports()}
        self.set(**ports, FRONT_PREFIX=_free_prefix(), BACKUP_TO=backups)
        return said

    @staticmethod
    def _ports() -> list[str]:
        moved = [f"{one.name.upper()}_PORT" for one in composition() if one.ports]
        return [*(key for key in moved if key != "CADDY_PORT"), "HTTP_PORT", "HTTPS_PORT"]

    @property
    def stack(self) -> Composition:
        """As these settings make it."""
        return composition(self.settings)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.settings[f'{service.upper()}_PORT']}"

    @property
    def edge(self) -> str:
        return f"https://localhost:{self.settings['HTTPS_PORT']}"

    def trusting_the_edge(self) -> ssl.SSLContext:
        """With the root that Caddy made for itself, taken out of its volume."""
        target = self.folder / "root.crt"
        inside = "/data/caddy/pki/authorities/local/root.crt"
        self.compose("cp", f"caddy:{inside}", str(target))
        return ssl.create_default_context(cafile=target)

    # ---- compose

    def override(self) -> None:
        """Only for the test: a base model to train, and health that is looked at more often."""
        often = {"interval": "2s", "timeout": "5s", "start_period": "60s"}
        services: dict[str, Any] = {name: {"healthcheck": dict(often)} for name in self.lasting}
        services["trainer"]["volumes"] = [f"{self.base}:/base:ro"]
        (self.folder / "test.yaml").write_text(yaml.safe_dump({"services": services}))

    def compose(self, *arguments: str, seconds: float = 300, check: bool = True) -> str:
        """What the command prints; AssertionError with what it complained of."""
        files = [FILE, *([] if self.has_grafana else [STANDINS]), self.folder / "test.yaml"]
        chosen = [part for file in files for part in ("--file", str(file))]
        command = ["docker", "compose", "--project-name", self.name, *chosen]
        answer = subprocess.run(
            [*command, "--env-file", str(self.env_file), *arguments],
            cwd=FOLDER,
            env=_clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check:
            assert answer.returncode == 0, f"{' '.join(arguments)}: {answer.stderr[-3000:]}"
        return answer.stdout if check else answer.stdout + answer.stderr

    def up(self, *options: str) -> None:
        self.compose("up", "--detach", "--no-build", *options, seconds=400)

    def sentops(self, *arguments: str, mounts: tuple[str, ...] = ()) -> str:
        """`docker compose run --rm sentops ...`"""
        options = [part for mount in mounts for part in ("--volume", mount)]
        return self.compose("run", "--rm", "-T", *options, "sentops", *arguments)

    def sql(self, statement: str) -> list[list[str]]:
        client = ("psql", "--username", "postgres", "--dbname", "prediction")
        options = ("--no-align", "--tuples-only", "--command", statement)
        answer = self.compose("exec", "-T", "postgres", *client, *options)
        return [line.split("|") for line in answer.splitlines()]

    def remove(self) -> None:
        """Every container, network and volume of it."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10")

    # ---- containers

    @property
    def lasting(self) -> list[str]:
        """The services that are to run all the time."""
        return [
            one.name
            for one in self.stack
            if one.content["restart"] == "unless-stopped"
            and (one.name != "grafana" or self.has_grafana)
        ]

    def container(self, service: str) -> str:
        """Its id. Asked of the engine, which takes a tenth of the time that compose takes."""
        labels = (f"project={self.name}", f"service={service}", "oneoff=False")
        filters = [part for one in labels for part in ("--filter", f"label={_LABEL}.{one}")]
        ids = docker("ps", "--all", "--quiet", "--no-trunc", *filters).stdout.split()
        assert len(ids) == 1, f"{service}: {ids}"
        return ids[0]

    def inspect(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(docker("inspect", self.container(service)).stdout)
        result: dict[str, Any] = found
        return result

    def is_healthy(self, service: str) -> bool:
        state = self.inspect(service)["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    async def healthy(self, *services: str, within: float = 90) -> None:
        for service in services:
            try:
                await eventually(lambda: self.is_healthy(service), within=within, every=0.5)  # noqa: B023
            except AssertionError as error:
                raise AssertionError(f"{service} is not healthy: {self.log(service)}") from error

    def log(self, service: str, lines: int = 30) -> str:
        return self.compose("logs", "--no-color", "--tail", str(lines), service, check=False)

    def crash(self, service: str) -> None:
        """The first process ends as by the kernel; unlike `docker kill`, that leaves the restart to Docker."""
        pid = self.inspect(service)["State"]["Pid"]
        assert pid > 1
        code = f"import os; os.kill({pid}, 9)"
        options = ("--rm", "--pid", "host", "--user", "0:0", "--cap-drop", "ALL")
        rest = ("--cap-add", "KILL", "--network", "none", "--entrypoint", "python")
        answer = docker("run", *options, *rest, image_of("model"), "-c", code)
        assert answer.returncode == 0, answer.stderr

    def kill(self, service: str) -> None:
        """`docker kill`: by Docker's own rule it is not restarted."""
        answer = docker("kill", self.container(service))
        assert answer.returncode == 0, answer.stderr

    def reaches(self, service: str, host: str, port: int) -> bool:
        """From the service's own network: whether somebody by this name takes a connection."""
        code = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
        space = f"container:{self.container(service)}"
        options = ("--rm", "--network", space, "--entrypoint", "python")
        return docker("run", *options, image_of("model"), "-c", code).returncode == 0

    def leftovers(self) -> dict[str, list[str]]:
        label = f"label={_LABEL}.project={self.name}"
        lists = {
            "containers": ("ps", "--all"),
            "networks": ("network", "ls"),
            "volumes": ("volume", "ls"),
        }
        return {
            kind: docker(*command, "--quiet", "--filter", label).stdout.split()
            for kind, command in lists.items()
        }


def _clean_environment() -> dict[str, str]:
    """Without settings of this shell that compose would prefer to those of .env."""
    kept = {"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"}
    return {
        key: value for key, value in os.environ.items() if key in kept or key.startswith("DOCKER_")
    }


@contextmanager
def a_project(folder: Path, base: Path) -> Iterator[Project]:
    """Written, but not started; removed whatever happens. Unavailable says why there can be none."""
    project = Project(folder, base, has_grafana=_needed())
    project.write_settings()
    project.override()
    try:
        yield project
    finally:
        _remove_backups(project)
        project.remove()


def _remove_backups(project: Project) -> None:
    """They are root's."""
    code = "import glob, shutil; [shutil.rmtree(one) for one in glob.glob('/backups/*')]"
    options = ("--rm", "--user", "0:0", "--entrypoint", "python", "--network", "none")
    mount = f"{project.folder / 'backups'}:/backups"
    docker("run", *options, "--volume", mount, image_of("cli"), "-c", code)
