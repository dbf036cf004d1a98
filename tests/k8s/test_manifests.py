"""What `kubectl apply -k k8s/` installs."""

import importlib.util
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes import client

from tests.k8s import rendering
from tests.support.helm import Helm, program

K8S = Path(__file__).parents[2] / "k8s"
KNOWN_ONLY_TO_US = {"CustomResourceDefinition"}


@pytest.fixture(scope="module")
def installed() -> list[dict[str, Any]]:
    done = subprocess.run(
        [program("kubectl"), "kustomize", str(K8S)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pods_of(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if "template" in document.get("spec", {}):
            yield document["spec"]["template"]["spec"]


def test_the_rendered_file_is_what_the_chart_renders_now(tmp_path: Path) -> None:
    now = rendering.rendered(Helm(tmp_path))
    assert rendering.FILE.read_text() == now, "the chart has changed: run `make k8s-manifests`"


def test_everything_is_installed_into_one_restricted_namespace(
    installed: list[dict[str, Any]],
) -> None:
    (namespace,) = (one for one in installed if one["kind"] == "Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    places = {one["metadata"].get("namespace") for one in installed}
    assert places == {None, "sentops"}
    kinds = {one["kind"] for one in installed}
    assert {"CustomResourceDefinition", "ValidatingAdmissionPolicyBinding", "StatefulSet"} <= kinds


def test_every_manifest_is_valid(installed: list[dict[str, Any]]) -> None:
    for document in installed:
        if document["kind"] not in KNOWN_ONLY_TO_US:
            kubernetes_validate.validate(document, "1.36", strict=True)


def test_nothing_secret_is_in_the_manifests(installed: list[dict[str, Any]]) -> None:
    assert not [one for one in installed if one["kind"] == "Secret"]


def test_every_secret_that_a_pod_reads_is_made_with_that_key(
    installed: list[dict[str, Any]], maker: ModuleType
) -> None:
    made = {
        "sentops-credentials": maker.credentials().keys(),
        "sentops-database": maker.database("sentops").keys(),
    }
    read = {
        (env["valueFrom"]["secretKeyRef"]["name"], env["valueFrom"]["secretKeyRef"]["key"])
        for pod in pods_of(installed)
        for container in [*pod["containers"], *pod.get("initContainers", ())]
        for env in container.get("env", ())
        if "secretKeyRef" in env.get("valueFrom", {})
    }
    assert read
    assert [one for one in read if one[1] not in made[one[0]]] == []


def test_every_pod_is_as_restricted_as_the_namespace_asks(installed: list[dict[str, Any]]) -> None:
    pods = list(pods_of(installed))
    assert len(pods) >= 6
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """secrets/make_secrets.py, as the Job's pod runs it."""
    place = importlib.util.spec_from_file_location("maker", K8S / "secrets" / "make_secrets.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.fixture
def secrets_api() -> Iterator[tuple[client.CoreV1Api, dict[str, Any]]]:
    """Kubernetes' client against a server that keeps Secrets, refuses a second one, and knows nothing else."""
    kept: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            place = f"{self.path}/{body['metadata']['name']}"
            self.send_response(409 if place in kept else 201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())
            kept.setdefault(place, body["stringData"])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
    yield client.CoreV1Api(client.ApiClient(address)), kept
    server.shutdown()
    server.server_close()


def test_secrets_are_made_once_and_never_changed(
    maker: ModuleType, secrets_api: tuple[client.CoreV1Api, dict[str, Any]]
) -> None:
    api, kept = secrets_api
    assert maker.make(api, "sentops", "sentops-database", maker.database("sentops"))
    before = dict(kept)
    assert not maker.make(api, "sentops", "sentops-database", maker.database("sentops"))
    assert kept == before
    (content,) = kept.values()
    host = "sentops-postgresql.sentops.svc:5432/prediction"
    assert content["url"] == f"postgresql://sentops:{content['password']}@{host}"


def test_two_trials_share_no_password(maker: ModuleType) -> None:
    one, two = maker.credentials(), maker.credentials()
    assert not set(one.values()) & set(two.values())
    assert len(one["web-signing-key"]) >= 32
    assert len(one["first-admin-password"]) >= 12


def test_who_makes_the_secrets_may_do_nothing_else(installed: list[dict[str, Any]]) -> None:
    (role,) = (
        one
        for one in installed
        if one["kind"] == "Role" and one["metadata"]["name"] == "sentops-make-secrets"
    )
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
