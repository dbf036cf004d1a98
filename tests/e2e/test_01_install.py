"""The chart has just been installed; nothing is trained yet."""

import httpx

from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.platform import Platform
from tests.e2e.support.release import CRDS


def test_every_program_of_the_release_is_ready(platform: Platform) -> None:
    pods = platform.kubectl.list("pods", {"app.kubernetes.io/instance": "sentops"})
    programs = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    assert {"web", "backoffice", "trainer", "monitor", "operator", "postgresql"} <= programs
    for pod in pods:
        ready = [one for one in pod["status"]["conditions"] if one["type"] == "Ready"]
        done = pod["status"]["phase"] == "Succeeded"
        assert done or ready[0]["status"] == "True", pod["metadata"]["name"]


def test_kubectl_knows_the_kinds_by_name_category_and_explanation(
    kubectl: Kubectl, platform: Platform
) -> None:
    for name in CRDS:
        kubectl.wait(f"crd/{name}", "condition=Established", 10)
    # kubectl remembers for hours what a cluster offers; this makes it ask again.
    known = kubectl.run("api-resources", "--api-group", "sentops.dev", "--output", "name").stdout
    assert set(known.split()) == set(CRDS)
    kubectl.run("get", "sentops")
    kubectl.run("get", "tj,mv")
    explained = kubectl.run("explain", "trainingjob.spec.dataset.contentHash").stdout
    assert "contentHash" in explained


def test_before_the_first_training_web_says_that_there_is_no_model(platform: Platform) -> None:
    if platform.kubectl.list("modelversions.sentops.dev"):
        return  # another scenario was faster; then there is one
    with platform.web() as client:
        answer = client.post("/api/predict", json={"text": "bello"})
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")


def test_the_control_plane_refuses_whoever_has_no_token(platform: Platform) -> None:
    with platform.kubectl.forward("sentops-trainer", 8502) as url:
        answer = httpx.post(f"{url}/train", json={"dataset_id": "v1"}, timeout=30)
    assert answer.status_code == 401
