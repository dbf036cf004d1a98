"""skaffold.yaml names what the Dockerfile and the chart really have."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.images.sizes import PROGRAMS
from tests.support.helm import Helm, Rendered

pytest_plugins = ["tests.support.helm"]

ROOT = Path(__file__).parents[2]
SKAFFOLD: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
ARTIFACTS: list[dict[str, Any]] = SKAFFOLD["build"]["artifacts"]
(RELEASE,) = SKAFFOLD["deploy"]["helm"]["releases"]


@pytest.fixture
def rendered(helm: Helm) -> Rendered:
    """The chart as `skaffold run` installs it, with the images it would have built."""
    templates = RELEASE["setValueTemplates"]
    values = {path: f"registry/{path.split('.')[0]}:built" for path in templates}
    options = tuple(part for path, value in values.items() for part in ("--set", f"{path}={value}"))
    return helm.template(release=RELEASE["name"], namespace=RELEASE["namespace"], options=options)


def test_every_image_is_built_from_its_target() -> None:
    built = [(one["image"], one["docker"]["target"]) for one in ARTIFACTS]
    assert built == [(f"sentops-{program}", program) for program in PROGRAMS]
    assert {one["docker"]["dockerfile"] for one in ARTIFACTS} == {"Dockerfile"}


def test_every_image_that_was_built_is_the_one_that_is_installed(rendered: Rendered) -> None:
    for path, template in RELEASE["setValueTemplates"].items():
        program = path.removesuffix(".image")
        assert template == f"{{{{.IMAGE_FULLY_QUALIFIED_sentops_{program}}}}}"
        assert f"registry/{program}:built" in rendered.text
    assert set(RELEASE["setValueTemplates"]) == {f"{program}.image" for program in PROGRAMS}
    assert not re.search(r"image: \"?sentops-", rendered.text), "an image of another build"


def test_what_is_forwarded_is_a_service_of_the_release(rendered: Rendered) -> None:
    for forward in SKAFFOLD["portForward"]:
        service = rendered.one("Service", forward["resourceName"], namespace=forward["namespace"])
        assert forward["port"] in [port["port"] for port in service["spec"]["ports"]]


def test_the_profiles_change_what_is_there_and_set_values_that_the_chart_takes(
    helm: Helm,
) -> None:
    profiles = {one["name"]: one["patches"] for one in SKAFFOLD["profiles"]}
    (no_push, fewer) = profiles["local"]
    assert (no_push["path"], no_push["value"]) == ("/build/local/push", False)
    options = tuple(
        part for path, value in fewer["value"].items() for part in ("--set", f"{path}={value}")
    )
    assert helm.template(options=options).manifests
    (torch,) = profiles["gpu"]
    position = int(torch["path"].split("/")[3])
    assert ARTIFACTS[position]["docker"]["target"] == "trainer"
    (argument,) = torch["value"]
    assert f"ARG {argument}=" in (ROOT / "Dockerfile").read_text()
