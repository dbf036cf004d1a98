"""A fresh namespace, the chart in it, a tiny base model and a dataset: once for all scenarios.

They run only when they are asked for (`make e2e`), never as part of `make test`: somebody's KUBECONFIG may name a
cluster in use.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.support import diagnostics, seed
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.platform import Platform
from tests.e2e.support.release import CRDS, POLICY, Release
from tests.e2e.support.scripts import Scripts
from tests.e2e.support.settings import Settings, read_settings

HERE = Path(__file__).parent
MANIFESTS = HERE.parents[1] / "k8s"
_FIRST_TRAINING_SECONDS = 300
_KUBECTL = pytest.StashKey[Kubectl]()
_THERE = pytest.StashKey[dict[str, object]]()


def _asked_for(config: pytest.Config) -> bool:
    named = any(
        HERE in (path := Path(argument.split("::")[0]).resolve()).parents or path == HERE
        for argument in config.args
    )
    return named or "e2e" in (config.option.markexpr or "") or bool(os.environ.get("SENTOPS_E2E"))


def _why_not(config: pytest.Config) -> str | None:
    if not _asked_for(config):
        return "`make e2e` runs these, in the cluster that KUBECONFIG names"
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster, so the scenarios of a cluster are not run"
    kubectl = Kubectl(read_settings().kubectl, "default")
    try:
        answer = kubectl.run("version", "--request-timeout=10s", check=False, seconds=30)
    except subprocess.TimeoutExpired:
        return "the cluster of KUBECONFIG does not answer"
    if answer.returncode:
        return f"the cluster of KUBECONFIG cannot be reached: {answer.stderr.strip()[-200:]}"
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    if not ours:
        return
    reason = _why_not(config)
    seconds = read_settings().timeout.total_seconds()
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        # The time of a scenario; what comes before the first (images, volumes) has its own.
        item.add_marker(pytest.mark.timeout(seconds, func_only=True))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    kubectl = item.config.stash.get(_KUBECTL, None)
    if report.failed and kubectl is not None and report.when != "teardown":
        report.sections.append(("The cluster at that time", diagnostics.gather(kubectl)))
    return report


@pytest.fixture(scope="session")
def settings() -> Settings:
    return read_settings()


@pytest.fixture(scope="session")
def kubectl(settings: Settings, pytestconfig: pytest.Config) -> Iterator[Kubectl]:
    """A namespace of our own, where Kubernetes admits only confined pods; gone afterwards, with what we brought."""
    kubectl = Kubectl(settings.kubectl, settings.namespace)
    assert kubectl.get("namespace", settings.namespace) is None, (
        f"the namespace {settings.namespace} is there already; name another one, or none, in SENTOPS_E2E_NAMESPACE"
    )
    old = {name for name in CRDS if kubectl.get("crd", name) is not None}
    there: dict[str, object] = {}
    # Of an earlier run, of another release or of `kubectl apply`: these scenarios are about the newest.
    if old:
        there["crds"] = {"enabled": False}
        _apply_over(kubectl, "crds")
    if kubectl.get("validatingadmissionpolicy", POLICY) is not None:
        there["admissionPolicy"] = {"enabled": False}
        _apply_over(kubectl, "admission")
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": settings.namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
    )
    pytestconfig.stash[_KUBECTL], pytestconfig.stash[_THERE] = kubectl, there
    yield kubectl
    if settings.keep:
        return
    kubectl.run("delete", "namespace", settings.namespace, "--wait", "--timeout=180s", seconds=200)
    for name in CRDS:
        if name not in old and not _used_elsewhere(kubectl, name):
            kubectl.delete("crd", name)


def _apply_over(kubectl: Kubectl, folder: str) -> None:
    options = ("--server-side", "--force-conflicts")
    kubectl.run("apply", *options, "--filename", str(MANIFESTS / folder))


def _used_elsewhere(kubectl: Kubectl, crd: str) -> bool:
    output = kubectl.run("get", crd, "--all-namespaces", "--output", "json").stdout
    return bool(json.loads(output)["items"])


@pytest.fixture(scope="session")
def release(
    settings: Settings,
    kubectl: Kubectl,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Release]:
    there = pytestconfig.stash[_THERE]
    release = Release(settings, tmp_path_factory.mktemp("helm"), there)
    release.install()
    yield release
    if not settings.keep:
        release.helm("uninstall", "sentops", "--ignore-not-found", "--wait", "--timeout", "180s")


@pytest.fixture(scope="session")
def platform(settings: Settings, kubectl: Kubectl, release: Release) -> Platform:
    """Installed, with a base model and a dataset to train on; nothing is trained yet."""
    platform = Platform(kubectl, release, Scripts(kubectl, settings), seed.BASE, {})
    seed.seed_base(platform)
    return replace(platform, dataset=seed.seed_dataset(platform))


@pytest.fixture(scope="session")
def first(platform: Platform) -> str:
    """The first version: fine-tuned for real, and live."""
    trainer = {
        "method": "FineTune",
        "hyperparameters": {"epochs": 3, "maxLength": 32, "learningRate": "5e-3", "batchSize": 16},
    }
    platform.train("first", trainer=trainer)
    version = platform.version_of("first", seconds=_FIRST_TRAINING_SECONDS)
    platform.live(version)
    return version
