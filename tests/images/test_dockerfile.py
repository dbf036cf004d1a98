"""The Dockerfile as written: one recipe, a target per program, the same versions as everywhere else."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.images.sizes import IMAGES, PROGRAMS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
STAGES = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)


def members() -> dict[str, dict[str, object]]:
    """Every workspace member's folder, and what its pyproject.toml says."""
    files = [ROOT / "operator/pyproject.toml", *(ROOT / "services").glob("*/pyproject.toml")]
    return {str(file.parent.relative_to(ROOT)): tomllib.loads(file.read_text()) for file in files}


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [hadolint, "--no-color", "--disable-ignore-pragma", ROOT / "Dockerfile"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # The one warning left: a stage of this very file, chosen by an argument, has no tag.
    assert [line for line in found.splitlines() if "DL3006" not in line] == []


def test_every_program_has_a_target_and_nothing_else_runs() -> None:
    assert tuple(name for base, name in STAGES if base == "runtime") == IMAGES
    assert f"IMAGES := {' '.join(IMAGES)}" in MAKEFILE


def test_the_builder_gets_what_each_member_asks_for_and_no_more_of_the_tree() -> None:
    copied = set(re.findall(r"^COPY (\S+)/pyproject.toml", DOCKERFILE, re.MULTILINE))
    assert copied == {*members(), "compose/mlflow"}  # MLflow has a lock of its own
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[1] == "*"
    assert let_in[:5] == ["pyproject.toml", "uv.lock", "operator", "services", "compose/mlflow"]
    runbook = ROOT / let_in[6]  # a link to the other one, so the builder needs both
    assert let_in[5:] == [
        "grafana/runbook.md",
        "services/backoffice/src/sentops_backoffice/runbook.md",
    ]
    assert runbook.resolve() == ROOT / let_in[5]
    assert ignored.index("**/*.md") < ignored.index(f"!{let_in[5]}")


@pytest.mark.parametrize("program", [*PROGRAMS, "cli"])
def test_an_image_holds_one_member_and_starts_it(program: str) -> None:
    installed = re.search(
        rf"FROM {program}-packages AS {program}-code\n.*?--package (\S+)", DOCKERFILE, re.DOTALL
    )
    started = re.search(
        rf'AS {program}\n.*?ENTRYPOINT \["python", "-m", "(\w+)"\]', DOCKERFILE, re.DOTALL
    )
    assert installed is not None
    assert started is not None
    assert installed[1].replace("-", "_") == started[1]
    assert installed[1] in {str(one["project"]["name"]) for one in members().values()}  # type: ignore[index]


@pytest.mark.parametrize("program", PROGRAMS)
def test_our_own_code_never_comes_from_the_cache_of_an_earlier_build(program: str) -> None:
    """uv looks at pyproject.toml alone to tell whether a wheel of ours is still the same."""
    stage = DOCKERFILE.split(f"AS {program}-code\n")[1].split("\nFROM ")[0]
    assert "uv sync --quiet --no-cache" in stage
    assert "type=cache" not in stage


def test_uv_and_torch_have_the_versions_of_make_install() -> None:
    trainer = (ROOT / "services/trainer/pyproject.toml").read_text()
    for name in ("UV_VERSION", "TORCH_VERSION"):
        here = set(re.findall(rf"^ARG {name}=(\S+)", DOCKERFILE, re.MULTILINE))
        there = re.search(rf"^{name} := (\S+)", MAKEFILE, re.MULTILINE)
        assert there is not None
        assert here == {there[1]}
    assert f'"torch=={there[1]}"' in trainer


def test_only_the_trainer_is_given_torch() -> None:
    asks = {
        folder
        for folder, content in members().items()
        if any("torch" in one for one in content["project"].get("dependencies", ()))  # type: ignore[attr-defined]
    }
    assert asks == {"services/trainer"}
