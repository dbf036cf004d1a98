"""The schema is current before a program needs it: at the first installation, and before an upgrade replaces anything."""

from typing import Any

import pytest

from tests.charts.cases import CASES
from tests.charts.conftest import RenderIn
from tests.charts.objects import environment, pod, pods_of
from tests.support.helm import Helm, Manifest


def hook_jobs(manifests: tuple[Manifest, ...]) -> list[Manifest]:
    return [
        one
        for one in manifests
        if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-upgrade"
    ]


def test_what_refuses_an_old_schema_migrates_before_it_starts(helm: Helm) -> None:
    rendered = helm.template()
    for made in pods_of(rendered):
        waits = [one["name"] for one in made.spec.get("initContainers", ())]
        assert waits == (["migrate"] if made.component in {"backoffice", "trainer"} else [])


def test_migrating_waits_for_a_database_that_is_being_made(helm: Helm) -> None:
    container = pod(helm.template(), "trainer").container("migrate")
    assert container["command"] == [
        *("python", "-m", "sentops_core.store.migrate", "--wait", "300"),
    ]
    assert environment(container) == {
        "SENTOPS_DATABASE_URL": {"secretKeyRef": {"name": "sentops-database", "key": "url"}}
    }


def test_a_first_installation_has_no_hook_that_waits_for_what_it_installs(helm: Helm) -> None:
    for one in helm.template().manifests:
        hook = one["metadata"].get("annotations", {}).get("helm.sh/hook", "")
        assert "install" not in hook


def test_where_nothing_can_be_asked_there_is_no_hook(helm: Helm) -> None:
    assert hook_jobs(helm.template().manifests) == []


@pytest.mark.parametrize(("available", "hooks"), [(1, 1), (0, 0), (None, 0)])
async def test_an_upgrade_migrates_first_where_programs_run(
    render_in: RenderIn, available: int | None, hooks: int
) -> None:
    there: list[Manifest] = []
    if available is not None:
        there = [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "sentops-backoffice", "namespace": "platform"},
                "status": {"availableReplicas": available},
            }
        ]
    assert len(hook_jobs((await render_in(there, {})).manifests)) == hooks


@pytest.mark.parametrize(("when", "hooks"), [("always", 1), ("never", 0)])
def test_values_can_decide_it(helm: Helm, when: str, hooks: int) -> None:
    values: dict[str, Any] = {"migrations": {"beforeUpgrade": when}}
    assert len(hook_jobs(helm.template(values).manifests)) == hooks


def test_the_job_stops_the_upgrade_and_leaves_nothing(helm: Helm) -> None:
    (job,) = hook_jobs(helm.template(CASES["external database"]).manifests)
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["activeDeadlineSeconds"] == 1800
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_the_job_needs_nothing_that_the_upgrade_would_bring(helm: Helm) -> None:
    rendered = helm.template(CASES["external database"])
    made = pod(rendered, "migrate")
    # Accounts and Secrets of the release that is there; a name of its own would not exist before the upgrade.
    assert made.spec["serviceAccountName"] == "sentops-backoffice"
    assert made.spec["serviceAccountName"] in rendered.names("ServiceAccount")
