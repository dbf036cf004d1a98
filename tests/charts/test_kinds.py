"""The chart brings the custom resources and the admission policy of k8s/, word for word."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.cases import CASES
from tests.support.helm import CHART, Helm, Manifest

K8S = CHART.parents[1] / "k8s"


def without(manifest: Manifest, *, annotations: bool = False) -> Manifest:
    """Without what Helm's life cycle adds."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "labels"}
    if annotations:
        metadata.pop("annotations", None)
    return manifest | {"metadata": metadata}


def originals(folder: str) -> list[Manifest]:
    return [
        one
        for file in sorted((K8S / folder).glob("*.yaml"))
        for one in yaml.safe_load_all(file.read_text())
        if one and "metadata" in one
    ]


@pytest.mark.parametrize("folder", ["crds", "admission"])
def test_every_file_is_a_link_to_the_only_copy(folder: str) -> None:
    links = {file.name: file for file in (CHART / "files" / folder).iterdir()}
    wanted = {
        file.name for file in (K8S / folder).glob("*.yaml") if file.name != "kustomization.yaml"
    }
    assert set(links) == wanted
    for link in links.values():
        assert link.is_symlink()
        assert not Path(link.readlink()).is_absolute()
        assert link.resolve().parent == K8S / folder


def test_the_custom_resources_are_those_of_k8s(helm: Helm) -> None:
    rendered = helm.template()
    names = {one["metadata"]["name"] for one in originals("crds")}
    assert rendered.names("CustomResourceDefinition") == names
    for original in originals("crds"):
        made = rendered.one("CustomResourceDefinition", original["metadata"]["name"])
        assert without(made, annotations=True) == without(original, annotations=True)
        kept = original["metadata"].get("annotations", {})
        assert made["metadata"]["annotations"] == kept | {"helm.sh/resource-policy": "keep"}


def test_uninstalling_keeps_everybodys_resources_unless_told_otherwise(helm: Helm) -> None:
    values: dict[str, Any] = {"crds": {"keep": False}}
    for one in helm.template(values).of_kind("CustomResourceDefinition"):
        annotations = one["metadata"].get("annotations", {})
        assert "helm.sh/resource-policy" not in annotations


def test_the_custom_resources_can_be_left_to_another_release(helm: Helm) -> None:
    rendered = helm.template({"crds": {"enabled": False}})
    assert rendered.of_kind("CustomResourceDefinition") == []


def test_the_admission_policy_is_that_of_k8s(helm: Helm) -> None:
    rendered = helm.template()
    assert len(originals("admission")) == 2
    for original in originals("admission"):
        made = rendered.one(original["kind"], original["metadata"]["name"])
        assert without(made) == without(original)


def test_the_admission_policy_can_be_left_out(helm: Helm) -> None:
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    assert helm.template(CASES["small"]).of_kind(*kinds) == []


def test_a_package_holds_the_files_behind_the_links(helm: Helm, tmp_path: Path) -> None:
    packed = helm.run("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("*.tgz")
    shown = helm.run("template", "sentops", str(archive), "--namespace", "platform")
    kinds = [one["kind"] for one in yaml.safe_load_all(shown.stdout) if one]
    assert kinds.count("CustomResourceDefinition") == len(originals("crds"))
    assert "ValidatingAdmissionPolicy" in kinds
