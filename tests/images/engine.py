"""The Docker Engine of this machine, as far as these tests need it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# As in a cluster: nothing writable but /tmp, no capability, nothing to gain by set-uid programs.
CONFINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
SCRATCH = "type=tmpfs,destination=/tmp,tmpfs-mode=1777"


def docker(*arguments: str | Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    command = ["docker", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)


def why_not() -> str | None:
    """Why the tests of images cannot run here; None where they can."""
    try:
        answer = docker("info", "--format", "{{.ServerVersion}}", seconds=10)
    except (OSError, subprocess.TimeoutExpired):
        return "no Docker Engine here"
    return None if answer.returncode == 0 and answer.stdout.strip() else "no Docker Engine answers"


def image_of(program: str) -> str:
    """SENTOPS_IMAGE_PREFIX and SENTOPS_IMAGE_TAG name another build than `make images` makes."""
    prefix = os.environ.get("SENTOPS_IMAGE_PREFIX", "")
    return f"{prefix}sentops-{program}:{os.environ.get('SENTOPS_IMAGE_TAG', 'dev')}"


def run(
    program: str, *command: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The image's own program, or another command with the image's Python, to its end."""
    entry = ("--entrypoint", command[0]) if command else ()
    confined = (*CONFINED, "--mount", SCRATCH, *entry, *options)
    return docker("run", "--rm", *confined, image_of(program), *command[1:], seconds=300)


def python(program: str, code: str) -> str:
    """What this code prints in the image."""
    answer = run(program, "python", "-c", code)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@contextmanager
def running(program: str, *options: str) -> Iterator[str]:
    """The image's program in the background; the container's id."""
    started = docker("run", "--detach", *CONFINED, "--mount", SCRATCH, *options, image_of(program))
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    try:
        yield container
    finally:
        docker("rm", "--force", "--volumes", container)
