"""helm's own commands, and the end of the release."""

from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.platform import VERSION, Platform
from tests.e2e.support.release import CRDS, CREDENTIALS, MODEL, RELEASE, Release
from tests.e2e.support.waiting import until


def test_helm_test_predicts_and_votes(platform: Platform, first: str, release: Release) -> None:
    output = release.helm("test", RELEASE, "--timeout", "240s")
    assert "Succeeded" in output


def test_an_upgrade_keeps_the_secrets_and_what_serves(
    platform: Platform, first: str, release: Release
) -> None:
    champion = platform.champion()
    secret = platform.kubectl.there("secret", CREDENTIALS)["data"]
    deployment = platform.kubectl.there("deployment", f"{MODEL}-model")
    release.install(monitor={"settings": {"logLevel": "DEBUG"}})
    assert platform.kubectl.there("secret", CREDENTIALS)["data"] == secret
    assert platform.champion() == champion
    after = platform.kubectl.there("deployment", f"{MODEL}-model")
    assert after["spec"]["template"] == deployment["spec"]["template"]
    platform.answered_by(champion)


def test_the_end_of_the_release_leaves_the_kinds_and_everybodys_resources(
    platform: Platform, first: str, release: Release, kubectl: Kubectl
) -> None:
    """The last scenario: after it nothing runs any more."""
    versions = {one["metadata"]["name"] for one in kubectl.list(VERSION)}
    release.helm("uninstall", RELEASE, "--wait", "--timeout", "240s")
    for name in CRDS:
        assert kubectl.get("crd", name) is not None
    assert {one["metadata"]["name"] for one in kubectl.list(VERSION)} == versions
    until(lambda: not kubectl.list("deployments") and not kubectl.list("statefulsets"), seconds=120)
