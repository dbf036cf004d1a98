"""A compose project as small as can be: the services that deploy.sh asks, played by one little image in several versions."""

import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.images.engine import docker

SCRIPT = Path(__file__).parents[2] / "compose" / "deploy.sh"
BASE = "python:3.11-slim-bookworm"

_SERVER = """
import json, os, pathlib, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOUR = pathlib.Path("/behaviour").read_text().strip()
NAME = os.environ["NAME"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/routing":
            self.answer(200, {"variants": [{"modelVersion": "sentiment-v1"}]})
        elif BEHAVIOUR == "unhealthy" and NAME == "web":
            self.answer(503, {"ready": False})
        else:
            self.answer(200, {"ready": True})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(500 if BEHAVIOUR == "mute" else 200, {"label": "positive"})

    def answer(self, status, document):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"{NAME} is {BEHAVIOUR}", flush=True)
ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""

# Asked for the schema's version; programs called "old" find one that is too new for them.
_PSQL = """#!/bin/sh
cat /state/schema 2>/dev/null || echo 2
"""
_PREPARE = """#!/bin/sh
case "$(cat /behaviour)" in
moving) echo 3 >/state/schema; exit 1 ;;
*) [ "$(cat /state/schema 2>/dev/null || echo 2)" = 2 ] || { echo "The database is newer than this program."; exit 1; } ;;
esac
"""
_DOCKERFILE = f"""\
FROM {BASE}
ARG BEHAVIOUR
COPY server.py /server.py
COPY --chmod=755 psql prepare /usr/local/bin/
RUN printf '%s' "$BEHAVIOUR" >/behaviour
"""
_SERVICE = """\
  {name}:
    image: ${{REGISTRY:-}}{image}:${{TAG:-none}}
    command: [python, /server.py, "{port}"]
    environment: {{NAME: {name}, GENERATION: "1"}}
    depends_on: {{prepare: {{condition: service_completed_successfully}}}}
    volumes: ["state:/state"]
    stop_grace_period: 2s
    healthcheck:
      test: [CMD, python, -c, "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/health/ready')"]
      interval: 1s
      timeout: 3s
      retries: 3
"""
_PROJECT = """\
name: {project}
services:
  prepare:
    image: ${{REGISTRY:-}}{image}:${{TAG:-none}}
    command: [prepare]
    volumes: ["state:/state"]
    healthcheck: {{disable: true}}
  backup:
    profiles: [tools]
    image: ${{REGISTRY:-}}{image}:${{TAG:-none}}
    command: [sh, -c, "cat /behaviour >>/backups/made"]
    volumes: ["./backups:/backups"]
  postgres:
    image: {image}:good
    command: [sleep, infinity]
    init: true
    volumes: ["state:/state"]
{services}
volumes: {{state: {{}}}}
"""
BEHAVIOURS = ("good", "better", "unhealthy", "mute", "moving")


def build_images(folder: Path) -> str:
    """One image in each behaviour as its tag; gives the name."""
    image = f"sentops-deploy-test-{uuid.uuid4().hex[:8]}"
    (folder / "server.py").write_text(_SERVER)
    (folder / "psql").write_text(_PSQL)
    (folder / "prepare").write_text(_PREPARE)
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    for behaviour in BEHAVIOURS:
        built = subprocess.run(
            [
                *("docker", "build", "--quiet", "--build-arg", f"BEHAVIOUR={behaviour}"),
                *("--tag", f"{image}:{behaviour}", str(folder)),
            ],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
    return image


def remove_images(image: str) -> None:
    docker("rmi", "--force", *(f"{image}:{behaviour}" for behaviour in BEHAVIOURS))


@dataclass
class TinyProject:
    """A clone on a server, with its compose folder and what runs of it."""

    folder: Path
    image: str
    project: str = field(default_factory=lambda: f"sentops-deploy-test-{uuid.uuid4().hex[:8]}")

    @property
    def compose(self) -> Path:
        return self.folder / "compose"

    @property
    def env(self) -> Path:
        return self.compose / ".env"

    @property
    def log(self) -> str:
        return (self.compose / "deploy.log").read_text()

    @property
    def tag(self) -> str:
        lines = self.env.read_text().splitlines()
        return next(line.removeprefix("TAG=") for line in lines if line.startswith("TAG="))

    def write(self, tag: str) -> None:
        self.compose.mkdir(parents=True)
        shutil.copy(SCRIPT, self.compose / "deploy.sh")
        services = "".join(
            _SERVICE.format(name=name, image=self.image, port=port)
            for name, port in (("web", 8000), ("backoffice", 8001), ("trainer", 8502))
        )
        text = _PROJECT.format(project=self.project, image=self.image, services=services)
        (self.compose / "compose.yaml").write_text(text)
        self.env.write_text(f"# settings\nREGISTRY=\nTAG={tag}\nLAST=kept\n")
        self.env.chmod(0o600)

    def start(self) -> None:
        up = self.run("docker", "compose", "up", "--detach", "--wait")
        assert up.returncode == 0, up.stderr

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("./deploy.sh", *arguments)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.compose,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DEPLOY_READY_SECONDS": "4"}

    def containers(self) -> dict[str, str]:
        """The image's tag of each service that runs."""
        listed = self.run("docker", "compose", "ps", "--format", "{{.Service}} {{.Image}}").stdout
        pairs = (line.split() for line in listed.splitlines())
        return {service: image.rpartition(":")[2] for service, image in pairs}

    def container_ids(self) -> set[str]:
        return set(self.run("docker", "compose", "ps", "--quiet").stdout.split())

    def git(self, *arguments: str) -> str:
        named = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        done = subprocess.run(
            ["git", *named, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def remove(self) -> None:
        down = ("docker", "compose", "--profile", "tools", "down", "--volumes", "--timeout", "2")
        self.run(*down, "--remove-orphans")
