"""Secrets are made once, of enough characters, and found again; no password comes with the chart."""

import base64
import copy
import re
from typing import Any

import pytest
import yaml

from tests.charts.cases import CASES
from tests.charts.conftest import RenderIn
from tests.charts.objects import environment, pod, pods_of, secret_references
from tests.support.helm import CHART, Helm, Manifest, Rendered


def content(rendered: Rendered, name: str) -> dict[str, str]:
    data = rendered.one("Secret", name)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def checksums(rendered: Rendered) -> dict[str, str | None]:
    return {
        made.component: made.metadata.get("annotations", {}).get("checksum/config")
        for made in pods_of(rendered)
        if made.serves
    }


def test_every_installation_has_secrets_of_its_own(helm: Helm) -> None:
    one, other = (helm.template(release=name) for name in ("sentops", "sentops-b"))
    for suffix in ("credentials", "database"):
        first, second = (
            content(rendered, f"{name}-{suffix}")
            for rendered, name in ((one, "sentops"), (other, "sentops-b"))
        )
        assert set(first) == set(second)
        assert not set(first.values()) & set(second.values())


def test_secrets_are_long_enough_for_the_programs(helm: Helm) -> None:
    made = content(helm.template(), "sentops-credentials")
    assert {key: len(value) for key, value in made.items()} == {
        "trainer-token": 43,
        "backoffice-api-token": 43,
        "web-signing-key": 64,
        "first-admin-password": 20,
    }
    assert all(re.fullmatch(r"[A-Za-z0-9]+", value) for value in made.values())


def test_the_database_address_holds_the_generated_password(helm: Helm) -> None:
    made = content(helm.template(), "sentops-database")
    host = "sentops-postgresql.platform.svc"
    assert made["url"] == f"postgresql://sentops:{made['password']}@{host}:5432/prediction"
    assert made["password"] != made["superuser-password"]


def test_what_is_generated_outlives_the_release(helm: Helm) -> None:
    for name in ("sentops-credentials", "sentops-database"):
        annotations = helm.template().one("Secret", name)["metadata"]["annotations"]
        assert annotations == {"helm.sh/resource-policy": "keep"}


def test_one_token_opens_the_trainer_for_web_and_back_office(helm: Helm) -> None:
    rendered = helm.template()
    readers = {
        f"{program}_{name}": environment(pod(rendered, program).container(program))[
            f"SENTOPS_{program.upper()}_{name}"
        ]
        for program, name in (
            ("trainer", "TOKEN"),
            ("web", "TRAINER_TOKEN"),
            ("backoffice", "TRAINER_TOKEN"),
        )
    }
    wanted = {"secretKeyRef": {"name": "sentops-credentials", "key": "trainer-token"}}
    assert all(value == wanted for value in readers.values())


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_written_into_a_pod(helm: Helm, case: str) -> None:
    rendered = helm.template(CASES[case])
    secrets = {
        base64.b64decode(value).decode()
        for one in rendered.of_kind("Secret")
        for value in one["data"].values()
    }
    # An endpoint or a region is in the Secret of the bucket because runs read it from there.
    secrets -= {"http://minio.storage.svc:9000", "id", "key"}
    for made in pods_of(rendered):
        for container in made.containers:
            for value in environment(container).values():
                assert not isinstance(value, str) or value not in secrets


def test_no_value_is_secret_from_the_start() -> None:
    secretive = re.compile(r"(?i)password|token|secret|accesskey|^url$")

    def filled(values: dict[str, Any]) -> list[str]:
        found = []
        for key, value in values.items():
            if isinstance(value, dict):
                found += filled(value)
            elif secretive.search(key) and value and key != "existingSecretKey":
                found.append(key)
        return found

    assert filled(yaml.safe_load((CHART / "values.yaml").read_text())) == []


def test_programs_read_only_their_own_secrets(helm: Helm) -> None:
    rendered = helm.template(CASES["artefacts in a bucket"])
    keys: dict[str, set[tuple[str, str | None]]] = {
        made.component: set(secret_references(made)) for made in pods_of(rendered)
    }
    database = ("sentops-database", "url")
    token = ("sentops-credentials", "trainer-token")
    assert keys["web"] == {database, token, ("sentops-credentials", "web-signing-key")}
    assert keys["monitor"] == {database}
    assert keys["operator"] == set()
    assert keys["trainer"] == {database, token, ("sentops-storage", None)}
    assert keys["backoffice"] == {
        database,
        token,
        ("sentops-credentials", "backoffice-api-token"),
        ("sentops-credentials", "first-admin-password"),
        ("sentops-storage", None),
    }


def test_the_trainer_reads_the_address_of_an_mlflow(helm: Helm) -> None:
    address = {"tracking": {"existingSecret": "mlflow", "existingSecretKey": "address"}}
    of_trainer = set(secret_references(pod(helm.template(address), "trainer")))
    assert ("mlflow", "address") in of_trainer


def test_the_bucket_s_keys_are_where_runs_and_model_servers_are(helm: Helm) -> None:
    rendered = helm.template(
        {**CASES["artefacts in a bucket"], "operator": {"watchNamespaces": ["team-a"]}}
    )
    places = {
        one["metadata"]["namespace"]
        for one in rendered.of_kind("Secret")
        if one["metadata"]["name"] == "sentops-storage"
    }
    assert places == {"platform", "team-a"}
    assert content(
        Rendered(helm.template(CASES["artefacts in a bucket"]).text), "sentops-storage"
    ) == {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_ENDPOINT_URL": "http://minio.storage.svc:9000",
    }


def test_secrets_of_one_s_own_replace_all_generated_ones(helm: Helm) -> None:
    rendered = helm.template(CASES["secrets of one's own"])
    assert rendered.of_kind("Secret") == []
    assert ("database", "uri") in set(secret_references(pod(rendered, "trainer")))
    assert ("bucket", None) in set(secret_references(pod(rendered, "backoffice")))
    operator = environment(pod(rendered, "operator").container("operator"))
    assert operator["SENTOPS_OPERATOR_STORAGE_SECRET"] == "bucket"


def test_an_identity_of_the_cloud_needs_no_secret(helm: Helm) -> None:
    rendered = helm.template(CASES["a bucket by identity"])
    assert "sentops-storage" not in rendered.names("Secret")
    operator = environment(pod(rendered, "operator").container("operator"))
    assert "SENTOPS_OPERATOR_STORAGE_SECRET" not in operator
    account = rendered.one("ServiceAccount", "sentops-run")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:runs"}


async def test_an_upgrade_finds_the_secrets_again(helm: Helm, render_in: RenderIn) -> None:
    installed = helm.template()
    upgraded = await render_in(installed.of_kind("Secret"), {"image": {"tag": "0.2.0"}})
    for name in ("sentops-credentials", "sentops-database"):
        assert content(upgraded, name) == content(installed, name)


async def test_an_upgrade_that_changes_no_secret_rolls_no_pod_for_one(
    helm: Helm, render_in: RenderIn
) -> None:
    installed = helm.template()
    upgraded = await render_in(installed.of_kind("Secret"), {})
    assert checksums(upgraded) == checksums(installed)
    assert checksums(installed)["web"]


async def test_a_key_that_is_new_in_this_version_is_added(helm: Helm, render_in: RenderIn) -> None:
    installed = copy.deepcopy(helm.template().of_kind("Secret"))
    (credentials,) = [one for one in installed if "credentials" in one["metadata"]["name"]]
    del credentials["data"]["web-signing-key"]
    upgraded = content(await render_in(installed, {}), "sentops-credentials")
    assert len(upgraded["web-signing-key"]) == 64
    assert upgraded["trainer-token"] == _decoded(credentials)["trainer-token"]


async def test_a_rotated_secret_rolls_the_pods_that_read_it(
    helm: Helm, render_in: RenderIn
) -> None:
    before = helm.template()
    changed = copy.deepcopy(before.of_kind("Secret"))
    (credentials,) = [one for one in changed if "credentials" in one["metadata"]["name"]]
    credentials["data"]["trainer-token"] = base64.b64encode(b"another").decode()
    after = await render_in(changed, {})
    rolled = {
        name for name, checksum in checksums(after).items() if checksums(before)[name] != checksum
    }
    assert rolled == {"web", "backoffice", "trainer"}


async def test_a_secret_of_one_s_own_rolls_the_pods_too(render_in: RenderIn) -> None:
    def there(token: bytes) -> list[Manifest]:
        data = {"trainer-token": base64.b64encode(token).decode()}
        metadata = {"name": "ours", "namespace": "platform"}
        return [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}]

    values: dict[str, Any] = CASES["secrets of one's own"]
    one, same, other = [
        checksums(await render_in(there(token), values)) for token in (b"1", b"1", b"2")
    ]
    assert one == same
    assert one["web"] != other["web"]


def _decoded(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
