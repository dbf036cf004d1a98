"""`sentops export`: from the APIs of a running platform to what a cluster goes live with by itself."""

import asyncio
import base64
import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from sentops_cli.__main__ import run
from sentops_core.artifacts import fetch_artifact, get_folder
from sentops_core.domain.artifact import HexSha256
from sentops_core.domain.resources import (
    ArtifactRef,
    DesiredState,
    GateResult,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    NameRef,
    RetrainPolicy,
    Rollout,
    Verdict,
)
from sentops_core.kube.kinds import MODEL_VERSION
from sentops_core.store.pool import Connection
from tests.k8s.api_server import CustomResource
from tests.operator.actors import NAMESPACE, Cluster
from tests.operator.conftest import (  # noqa: F401 - fixtures
    RunningOperator,
    clock,
    cluster,
    kube,
    operator,
)
from tests.services.cli.a_platform import TOKEN, Platform, a_dataset, a_job, finished, serving
from tests.support.builders import a_digest, a_model_version
from tests.support.filled_platform import FilledPlatform, fill_platform, in_database
from tests.support.helm import Helm, program
from tests.support.postgres import copied_database
from tests.support.programs import running

OLD = "file:///var/lib/sentops/store"
SIGNING_KEY = "k" * 64
ENV = f"""\
# what compose-init wrote
REGISTRY=ghcr.io/acme/
TAG=1.2.3
DOMAIN=ask.example.org
TRAINER_TOKEN=trainer-secret
BACKOFFICE_API_TOKEN="backoffice-secret"
WEB_SIGNING_KEY={SIGNING_KEY}
FIRST_ADMIN_PASSWORD=
"""
STEPS = Rollout.model_validate(
    {"shadowSeconds": 3600, "steps": [{"setWeight": 5}, {"analysis": True}, {"setWeight": 50}]}
)
FAILED_GATE = GateResult(verdict=Verdict.FAIL, reasons=("Worse.",), samples=600)


def a_version(
    number: int, phase: ModelVersionPhase, *, store: str = OLD, **spec: object
) -> ModelVersion:
    """As one machine has it: generated fields, a status, a folder of its own disk."""
    digest = a_digest("0123456789abcdef"[number])
    serves = phase is ModelVersionPhase.LIVE
    artifact = ArtifactRef(
        storage_uri=f"{store}/artifacts/{hex_of(digest)}", digest=digest, size_bytes=10**9
    )
    version = a_model_version(
        number,
        artifact=artifact,
        desired_state=DesiredState.CHAMPION if serves else DesiredState.CANDIDATE,
        training_job_ref=NameRef(name="first"),
        status=ModelVersionStatus(phase=phase, traffic_percent=100 if serves else 0),
        **spec,
    )
    metadata = version.metadata.model_copy(
        update={"uid": "u", "annotations": {"local": "yes"}, "resource_version": "7"}
    )
    return version.model_copy(update={"metadata": metadata})


def hex_of(digest: str) -> HexSha256:
    return digest.removeprefix("sha256:")


@pytest.fixture
def platform() -> Iterator[Platform]:
    """Version 2 serves; 1 served before it, 3 was found wanting."""
    with serving(Platform(champion="sentiment-v2")) as found:
        versions = [
            a_version(3, ModelVersionPhase.QUARANTINED),
            a_version(2, ModelVersionPhase.LIVE, gate_result=FAILED_GATE, rollout=STEPS),
            a_version(1, ModelVersionPhase.ARCHIVED),
        ]
        found.versions = {one.metadata.name: one for one in versions}
        job = a_job("first", finished("Succeeded"))
        metadata = job.metadata.model_copy(update={"uid": "uid-of-the-first"})
        found.jobs = {"first": [job.model_copy(update={"metadata": metadata})]}
        found.datasets = [
            a_dataset("v1", "reviews") | {"storage_uri": f"{OLD}/datasets/{'d' * 64}"}
        ]
        yield found


class Export:
    """What one export wrote."""

    def __init__(self, folder: Path, code: int, out: str, error: str) -> None:
        self.folder, self.code, self.out, self.error = folder, code, out, error

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()

    @property
    def versions(self) -> list[dict[str, Any]]:
        return list(yaml.safe_load_all((self.folder / "model-versions.yaml").read_text()))

    @property
    def values(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / "values.yaml").read_text())
        return found

    @property
    def guide(self) -> str:
        return (self.folder / "README.md").read_text()

    @property
    def blocks(self) -> list[str]:
        return re.findall(r"```sh\n(.*?)```", self.guide, re.DOTALL)


def export(
    platform: Platform, folder: Path, *options: str, home: Path | None = None, **urls: str
) -> Export:
    addresses = {
        "SENTOPS_TRAINER_URL": platform.url,
        "SENTOPS_TRAINER_TOKEN": TOKEN,
        "SENTOPS_BACKOFFICE_URL": platform.url,
        "SENTOPS_BACKOFFICE_API_TOKEN": TOKEN,
        "SENTOPS_HOME": str(home or folder / "no-home"),
        **urls,
    }
    out, error = io.StringIO(), io.StringIO()
    target = folder / "to-cluster"
    with mock.patch.dict(os.environ, addresses), redirect_stdout(out), redirect_stderr(error):
        code = run(["export", str(target), *options])
    return Export(target, code, out.getvalue(), error.getvalue())


def done(platform: Platform, folder: Path, *options: str, **more: Any) -> Export:
    found = export(platform, folder, *options, **more)
    assert found.code == 0, found.error
    return found


def an_env(folder: Path, text: str = ENV) -> Path:
    path = folder / ".env"
    path.write_text(text)
    return path


# ---- documents


def test_who_serves_is_asked_for_as_champion_and_holds_nothing_of_the_old_machine(
    platform: Platform, tmp_path: Path
) -> None:
    champion, newest = done(platform, tmp_path).versions
    assert set(champion) == {"apiVersion", "kind", "metadata", "spec"}
    assert champion["metadata"] == {
        "name": "sentiment-v2",
        "labels": {"sentops.dev/training-job-uid": "uid-of-the-first"},
    }
    assert champion["spec"]["desiredState"] == "Champion"
    assert champion["spec"]["approval"]["approved"] is True
    assert champion["spec"]["approval"]["skipSteps"] is True
    assert champion["spec"]["gateResult"]["verdict"] == "Fail"
    uri = f"pvc://sentops-artifacts/store/artifacts/{'2' * 64}"
    assert champion["spec"]["artifact"]["storageUri"] == uri
    assert newest["metadata"]["name"] == "sentiment-v3"


def test_a_number_above_the_champions_comes_along_so_that_none_is_given_twice(
    platform: Platform, tmp_path: Path
) -> None:
    found = done(platform, tmp_path)
    assert [one["metadata"]["name"] for one in found.versions] == ["sentiment-v2", "sentiment-v3"]
    assert found.versions[1]["spec"]["desiredState"] == "Archived"
    assert (
        "Was Quarantined; is kept out of service."
        in (found.folder / "model-versions.yaml").read_text()
    )


def test_with_all_every_version_comes_and_only_one_of_them_is_asked_for(
    platform: Platform, tmp_path: Path
) -> None:
    other = a_version(9, ModelVersionPhase.ARCHIVED, model_name="another")
    platform.versions["another-v9"] = other
    states = {
        one["metadata"]["name"]: (one["spec"]["desiredState"], "approval" in one["spec"])
        for one in done(platform, tmp_path, "--all").versions
    }
    assert states == {
        "sentiment-v2": ("Champion", True),
        "sentiment-v3": ("Archived", False),
        "sentiment-v1": ("Candidate", False),
    }


def test_the_api_server_takes_every_document(platform: Platform, tmp_path: Path) -> None:
    resource = CustomResource.read("modelversion")
    for one in done(platform, tmp_path, "--all").versions:
        assert resource.refusals(one) == []


def test_policies_come_along_without_what_was_decided(platform: Platform, tmp_path: Path) -> None:
    spec = {"modelName": "sentiment", "triggers": {"newLabels": {"min": 50}}}
    local = {"template": {"baseModel": {"storageUri": "file:///models/mine"}}}
    platform.policies = {
        name: RetrainPolicy.model_validate({"metadata": {"name": name, "uid": "u"}, "spec": one})
        for name, one in (("weekly", spec), ("local", spec | local))
    }
    found = done(platform, tmp_path)
    text = (found.folder / "retrain-policies.yaml").read_text()
    weekly, other = yaml.safe_load_all(text)
    assert weekly.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert weekly["metadata"] == {"name": "weekly"}
    resource = CustomResource.read("retrainpolicy")
    assert [resource.refusals(one) for one in (weekly, other)] == [[], []]
    assert "No pod can reach file:///models/mine" in text
    assert 'apply --filename "$EXPORT/retrain-policies.yaml"' in found.guide


def test_an_artefact_outside_the_store_is_said_to_be_copied_by_hand(
    platform: Platform, tmp_path: Path
) -> None:
    platform.versions["sentiment-v3"] = a_version(
        3, ModelVersionPhase.ARCHIVED, store="file:///home/ada"
    )
    found = done(platform, tmp_path)
    new = f"pvc://sentops-artifacts/store/artifacts/{'3' * 64}"
    assert found.versions[1]["spec"]["artifact"]["storageUri"] == new
    assert f"`/home/ada/artifacts/{'3' * 64}` to `{new}`" in found.guide


def test_what_is_in_a_bucket_already_stays_there(platform: Platform, tmp_path: Path) -> None:
    for number, phase in ((2, ModelVersionPhase.LIVE), (3, ModelVersionPhase.ARCHIVED)):
        version = a_version(number, phase, store="s3://models/sentops")
        platform.versions[version.metadata.name] = version
    found = done(platform, tmp_path, "--store-uri", "s3://models/sentops")
    uris = [one["spec"]["artifact"]["storageUri"] for one in found.versions]
    assert uris == [f"s3://models/sentops/artifacts/{digit * 64}" for digit in "23"]


# ---- in a cluster


def apply(cluster: Cluster, documents: list[dict[str, Any]]) -> None:  # noqa: F811
    for one in documents:
        metadata = one["metadata"] | {"namespace": NAMESPACE}
        cluster.kube.put(MODEL_VERSION, one | {"metadata": metadata})


async def test_the_operator_brings_the_version_live_by_itself_whatever_its_gate_said(
    platform: Platform,
    tmp_path: Path,
    cluster: Cluster,  # noqa: F811
    operator: RunningOperator,  # noqa: F811
) -> None:
    found = await asyncio.to_thread(done, platform, tmp_path, "--all")
    async with operator(), cluster.going_well():
        apply(cluster, found.versions)
        live = await cluster.version_is("Live", 2)
        await cluster.version_is("Archived", 3)
    assert live["status"]["servedDigest"] == a_digest("2")
    assert cluster.champion() == "sentiment-v2"
    assert cluster.version_phase(1) == "Pending"
    (container,) = cluster.deployment()["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    uri = f"pvc://sentops-artifacts/store/artifacts/{'2' * 64}"
    assert environment["SENTOPS_MODEL_ARTIFACT_URI"] == uri
    assert {one["mountPath"] for one in container["volumeMounts"]} >= {"/pvc/sentops-artifacts"}


async def test_it_does_not_wait_for_votes_where_another_version_serves_in_the_cluster(
    platform: Platform,
    tmp_path: Path,
    cluster: Cluster,  # noqa: F811
    operator: RunningOperator,  # noqa: F811
) -> None:
    champion, _ = (await asyncio.to_thread(done, platform, tmp_path)).versions
    async with operator():
        await cluster.live(1, "trial")
        async with cluster.going_well():
            apply(cluster, [champion])
            await cluster.version_is("Live", 2)
            await cluster.version_is("Archived", 1)


async def test_trainings_in_the_cluster_count_on_even_under_the_name_of_an_old_one(
    platform: Platform,
    tmp_path: Path,
    cluster: Cluster,  # noqa: F811
    operator: RunningOperator,  # noqa: F811
) -> None:
    found = await asyncio.to_thread(done, platform, tmp_path)
    async with operator():
        async with cluster.going_well():
            apply(cluster, found.versions)
            await cluster.version_is("Live", 2)
        await cluster.live(4, "first")  # "first" made version 2, on the old machine
        assert cluster.status("first")["modelVersionRef"]["name"] == "sentiment-v4"


# ---- values


def store_of(helm: Helm, values: dict[str, Any], release: str = "sentops") -> dict[str, str]:
    """What the rendered back office is told."""
    rendered = helm.template(values, release=release)
    name = release if "sentops" in release else f"{release}-sentops"
    container = rendered.one("Deployment", f"{name}-backoffice")["spec"]["template"]["spec"][
        "containers"
    ][0]
    return {one["name"]: one.get("value", "") for one in container["env"]} | {
        "image": container["image"]
    }


@pytest.mark.parametrize(
    ("options", "uri"),
    [
        ((), "pvc://sentops-artifacts/store"),
        (("--store-uri", "pvc://shared.models/store/"), "pvc://shared.models/store"),
        (("--store-uri", "s3://models"), "s3://models"),
        (
            ("--store-uri", "s3://models/a/b", "--store-secret", "keys"),
            "s3://models/a/b",
        ),
        (
            ("--store-uri", "s3://models/a", "--store-endpoint", "http://minio.example.org:9000"),
            "s3://models/a",
        ),
    ],
)
def test_the_chart_takes_the_values_and_looks_where_the_documents_point(
    platform: Platform, tmp_path: Path, helm: Helm, options: tuple[str, ...], uri: str
) -> None:
    found = done(platform, tmp_path, *options)
    assert store_of(helm, found.values)["SENTOPS_BACKOFFICE_STORE_URI"] == uri
    assert found.versions[0]["spec"]["artifact"]["storageUri"] == f"{uri}/artifacts/{'2' * 64}"


def test_the_values_say_what_env_said(platform: Platform, tmp_path: Path, helm: Helm) -> None:
    found = done(platform, tmp_path, "--secrets-from", str(an_env(tmp_path)), "--release", "moved")
    told = store_of(helm, found.values, "moved")
    assert told["image"] == "ghcr.io/acme/sentops-backoffice:1.2.3"
    assert told["SENTOPS_BACKOFFICE_MODEL_NAME"] == "sentiment"
    assert told["SENTOPS_BACKOFFICE_STORE_URI"] == "pvc://moved-sentops-artifacts/store"
    rendered = helm.template(found.values, release="moved")
    hosts = {one["host"] for one in rendered.of_kind("Ingress")[0]["spec"]["rules"]}
    assert hosts == {"ask.example.org"}
    assert "moved-sentops-credentials" not in rendered.names("Secret")
    assert rendered.text.count("moved-sentops-moved") > 5


def test_a_database_of_ones_own_and_a_server_of_buckets_are_reached(
    platform: Platform, tmp_path: Path, helm: Helm
) -> None:
    found = done(
        platform,
        tmp_path,
        *("--store-uri", "s3://models/a", "--store-endpoint", "http://minio.example.org:9000"),
        *("--database-secret", "database"),
    )
    rendered = helm.template(found.values)
    assert not rendered.of_kind("StatefulSet")[1:]  # web alone: no PostgreSQL
    policies = yaml.safe_dump_all(rendered.of_kind("NetworkPolicy"))
    assert "9000" in policies


def test_the_claim_has_room_for_the_models(platform: Platform, tmp_path: Path) -> None:
    assert done(platform, tmp_path).values["artifacts"]["pvc"]["size"] == "20Gi"
    for number in range(4, 15):
        version = a_version(number, ModelVersionPhase.ARCHIVED)
        platform.versions[version.metadata.name] = version
    again = done(platform, tmp_path / "again")
    assert again.values["artifacts"]["pvc"]["size"] == "40Gi"  # three times 14 GB


# ---- secrets


def test_no_secret_is_written_unasked(platform: Platform, tmp_path: Path) -> None:
    found = done(platform, tmp_path, "--secrets-from", str(an_env(tmp_path)))
    assert found.files == {"README.md", "values.yaml", "model-versions.yaml"}
    for path in found.folder.iterdir():
        for secret in (SIGNING_KEY, "trainer-secret", "backoffice-secret"):
            assert secret not in path.read_text()


def test_a_secret_that_was_asked_for_is_its_owners_alone(
    platform: Platform, tmp_path: Path, helm: Helm
) -> None:
    found = done(platform, tmp_path, "--secrets-from", str(an_env(tmp_path)), "--with-secrets")
    path = found.folder / "secret.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = yaml.safe_load(path.read_text())
    plain = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert len(plain.pop("first-admin-password")) >= 12
    assert plain == {
        "trainer-token": "trainer-secret",
        "backoffice-api-token": "backoffice-secret",
        "web-signing-key": SIGNING_KEY,
    }
    assert found.values["secrets"]["existingSecret"] == secret["metadata"]["name"]


def test_the_guides_commands_carry_the_secrets_of_env(platform: Platform, tmp_path: Path) -> None:
    text = ENV.replace('"', "")  # as compose-init writes it
    found = done(platform, tmp_path, "--secrets-from", str(an_env(tmp_path, text)))
    carried = carried_secrets(found, tmp_path)
    assert carried["web-signing-key"] == SIGNING_KEY
    assert carried["trainer-token"] == "trainer-secret"
    assert carried["backoffice-api-token"] == "backoffice-secret"
    assert len(carried["first-admin-password"]) >= 12


def test_the_guides_commands_carry_the_secrets_of_a_state_folder(
    platform: Platform, tmp_path: Path
) -> None:
    home = tmp_path / ".sentops"
    home.mkdir()
    secrets = {
        "control_token": "c",
        "trainer_token": "t-secret",
        "backoffice_token": "b-secret",
        "signing_key": SIGNING_KEY,
        "database_password": "p",
        "client_id": "me",
    }
    (home / "secrets.json").write_text(json.dumps(secrets))
    carried = carried_secrets(done(platform, tmp_path, home=home), tmp_path)
    assert carried["web-signing-key"] == SIGNING_KEY
    assert carried["trainer-token"] == "t-secret"
    assert carried["backoffice-api-token"] == "b-secret"


def carried_secrets(found: Export, folder: Path) -> dict[str, str]:
    """What the real kubectl would have sent for the guide's own lines."""
    (block,) = [one for one in found.blocks if "create secret generic" in one]
    lines = block[block.index("kubectl --namespace") :]
    line = lines.partition("\nkubectl")[0]
    answer = subprocess.run(
        ["bash", "-euc", f'kubectl() {{ "$KUBECTL" "$@" --dry-run=client -o json; }}; {line}'],
        env={**os.environ, "KUBECTL": program("kubectl"), "KUBECONFIG": "/nowhere"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first = json.JSONDecoder().raw_decode(answer.stdout)[0]
    assert first["metadata"]["name"] == found.values["secrets"]["existingSecret"]
    return {key: base64.b64decode(value).decode() for key, value in first["data"].items()}


@pytest.mark.parametrize(
    ("text", "named"),
    [("TAG=1\n", "TRAINER_TOKEN"), (ENV.replace(SIGNING_KEY, "short"), "WEB_SIGNING_KEY")],
)
def test_a_file_without_the_secrets_is_refused_before_anything_is_written(
    platform: Platform, tmp_path: Path, text: str, named: str
) -> None:
    found = export(
        platform, tmp_path, "--with-secrets", "--secrets-from", str(an_env(tmp_path, text))
    )
    assert found.code == 4
    assert named in found.error
    assert not found.files


# ---- the guide


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--secrets-from", ".env"),
        ("--database-secret", "database"),
        ("--store-uri", "s3://models/a", "--store-secret", "keys"),
        ("--store-uri", "s3://models/a", "--database-secret", "db", "--domain", "a.example.org"),
    ],
)
def test_every_block_of_the_guide_is_bash_and_every_step_has_its_number(
    platform: Platform,
    tmp_path: Path,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    an_env(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = done(platform, tmp_path, *options)
    for block in found.blocks:
        checked = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
    steps = re.findall(r"^## (\d)\. ", found.guide, re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)]
    assert "$" + "{" not in found.guide
    order = [found.guide.index(word) for word in ("create secret", "restore ", "modelversion/")]
    assert order == sorted(order)


def test_what_is_left_behind_is_said(platform: Platform, tmp_path: Path) -> None:
    platform.jobs["second"] = [a_job("second", finished("Running"))]
    platform.versions["sentiment-v3"] = a_version(3, ModelVersionPhase.CANARY)
    guide = done(platform, tmp_path).guide
    assert "not finished are not carried on: second" in guide
    assert "A roll-out is under way (sentiment-v3)" in guide


# ---- refusals


def test_nothing_is_overwritten(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "to-cluster").mkdir()
    kept = tmp_path / "to-cluster" / "values.yaml"
    kept.write_text("mine: true\n")
    found = export(platform, tmp_path)
    assert found.code == 4
    assert "nothing is overwritten" in found.error
    assert kept.read_text() == "mine: true\n"


def test_an_empty_folder_is_filled(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "to-cluster").mkdir()
    assert "values.yaml" in done(platform, tmp_path).files


def test_without_a_version_that_serves_there_is_nothing_to_move(
    platform: Platform, tmp_path: Path
) -> None:
    platform.champion = None
    found = export(platform, tmp_path)
    assert (found.code, found.files) == (4, set())
    assert "nothing to move" in found.error


@pytest.mark.parametrize(
    "options",
    [
        ("--store-uri", "file:///srv/store"),
        ("--store-uri", "pvc://claim/elsewhere"),
        ("--store-uri", "s3://"),
        ("--store-uri", "s3://Bucket/x"),
        ("--release", "Sentops"),
        ("--release", "s" * 54),
        ("--namespace", "a b"),
        ("--tag", "latest"),
        ("--domain", "https://ask.example.org"),
        ("--store-secret", "keys"),
        ("--store-uri", "s3://models", "--store-endpoint", "http://minio:port"),
        ("--with-secrets",),
        ("--secrets-from", "nowhere/.env"),
    ],
)
def test_options_that_make_no_sense_exit_with_2_and_a_sentence(
    platform: Platform, tmp_path: Path, options: tuple[str, ...]
) -> None:
    found = export(platform, tmp_path, *options)
    assert (found.code, found.files) == (2, set())
    assert found.error.startswith("Error: ")


def test_a_platform_of_a_cluster_keeps_its_claim(platform: Platform, tmp_path: Path) -> None:
    platform.versions["sentiment-v2"] = a_version(
        2, ModelVersionPhase.LIVE, store="pvc://artifacts/store"
    )
    found = export(platform, tmp_path)
    assert found.code == 4
    assert "--store-uri pvc://artifacts/store" in found.error
    assert done(platform, tmp_path, "--store-uri", "pvc://artifacts/store").files


# ---- the real programs, and the guide followed


@contextmanager
def programs_of(platform: FilledPlatform, folder: Path) -> Iterator[dict[str, str]]:
    """The real trainer and back office on this database; where they answer."""
    control = {
        "SENTOPS_TRAINER_DATABASE_URL": platform.database_url,
        "SENTOPS_TRAINER_STORE_URI": platform.store_uri,
        "SENTOPS_TRAINER_MODEL_URL": "http://127.0.0.1:1",
        "SENTOPS_TRAINER_MODEL_CONTROL_TOKEN": "control",
        "SENTOPS_TRAINER_TOKEN": TOKEN,
        "SENTOPS_TRAINER_RUNS_DIR": str(folder / "runs"),
        "SENTOPS_TRAINER_PUBLIC_URL": "http://127.0.0.1:1",
    }
    with running("trainer", control, folder) as trainer:
        staff = {
            "SENTOPS_BACKOFFICE_DATABASE_URL": platform.database_url,
            "SENTOPS_BACKOFFICE_TRAINER_URL": trainer.url,
            "SENTOPS_BACKOFFICE_TRAINER_TOKEN": TOKEN,
            "SENTOPS_BACKOFFICE_API_TOKEN": TOKEN,
            "SENTOPS_BACKOFFICE_STORE_URI": platform.store_uri,
        }
        with running("backoffice", staff, folder) as backoffice:
            yield {
                "SENTOPS_TRAINER_URL": trainer.url,
                "SENTOPS_BACKOFFICE_URL": backoffice.url,
            }


@pytest.mark.pg
def test_the_guides_restore_puts_database_and_store_where_the_documents_point(
    database_url: str,
    postgres_server: str,
    postgres_template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = fill_platform(database_url, (tmp_path / "store").as_uri(), tmp_path)
    with programs_of(platform, tmp_path) as urls:
        found = done(Platform(), tmp_path, "--all", "--store-uri", "pvc://models/store", **urls)
    champion, before = found.versions
    assert (champion["spec"]["desiredState"], before["spec"]["desiredState"]) == (
        "Champion",
        "Candidate",
    )
    for name in [name for name in os.environ if name.startswith("SENTOPS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    source = ("--database-url", database_url, "--store-uri", platform.store_uri)
    assert run(["backup", "backups", *source]) == 0

    (block,) = [one for one in found.blocks if "sentops restore" in one]
    lines = block[block.index("mkdir -p") : block.index("kill %1")]
    for other_url in copied_database(postgres_server, postgres_template):
        tools = Path(sys.executable).parent
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        restored = subprocess.run(
            ["bash", "-euc", lines],
            env={**os.environ, "PATH": path, "DATABASE": other_url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert restored.returncode == 0, restored.stderr

        async def addresses(connection: Connection) -> list[str]:
            rows = await connection.fetch("SELECT storage_uri FROM dataset_versions")
            return [row["storage_uri"] for row in rows]

        assert in_database(other_url, addresses) == [f"pvc://models/store/datasets/{'d' * 64}"]
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(tmp_path / "to-cluster"))  # what the pods will see
    for one in found.versions:
        artifact = one["spec"]["artifact"]
        assert artifact["storageUri"].startswith("pvc://models/store/artifacts/")
        fetch_artifact(artifact["storageUri"], artifact["digest"], tmp_path / "cache")
    get_folder(f"pvc://models/store/datasets/{'d' * 64}", tmp_path / "cache")
