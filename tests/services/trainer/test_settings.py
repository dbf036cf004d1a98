"""What the program needs to be told depends on its substrate, and it says so."""

import pytest

from sentops_trainer.settings import ClusterSettings, LocalSettings, read_trainer_settings

COMMON = {"DATABASE_URL": "postgresql://x/y", "TOKEN": "t", "STORE_URI": "s3://bucket/store"}


def given(monkeypatch: pytest.MonkeyPatch, **fields: str) -> None:
    for name, value in (COMMON | fields).items():
        monkeypatch.setenv(f"SENTOPS_TRAINER_{name}", value)


def refusal() -> str:
    with pytest.raises(SystemExit) as refused:
        read_trainer_settings()
    return str(refused.value)


def test_one_machine_is_what_is_meant_when_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch)
    sentence = refusal()
    assert "SENTOPS_TRAINER_RUNS_DIR" in sentence
    assert "SENTOPS_TRAINER_MODEL_CONTROL_TOKEN" in sentence
    given(monkeypatch, RUNS_DIR="/runs", MODEL_CONTROL_TOKEN="c")
    assert isinstance(read_trainer_settings(), LocalSettings)


def test_a_cluster_needs_a_namespace_and_nothing_of_one_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, SUBSTRATE="kubernetes")
    sentence = refusal()
    assert "SENTOPS_TRAINER_NAMESPACE" in sentence
    assert "RUNS_DIR" not in sentence
    given(monkeypatch, SUBSTRATE="kubernetes", NAMESPACE="team")
    settings = read_trainer_settings()
    assert isinstance(settings, ClusterSettings)
    assert settings.namespace == "team"


def test_a_cluster_refuses_a_store_that_pods_cannot_see(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, SUBSTRATE="kubernetes", NAMESPACE="team", STORE_URI="file:///store")
    assert "pods must see the artefact store" in refusal()
    given(monkeypatch, SUBSTRATE="kubernetes", NAMESPACE="team", STORE_URI="pvc://models/store")
    assert read_trainer_settings().store_uri == "pvc://models/store"


def test_a_store_that_names_no_folder_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, SUBSTRATE="kubernetes", NAMESPACE="team", STORE_URI="pvc://models")
    assert "names no folder of the claim" in refusal()


def test_a_model_name_that_no_job_could_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, SUBSTRATE="kubernetes", NAMESPACE="team", MODEL_NAME="Reviews_IT")
    assert "SENTOPS_TRAINER_MODEL_NAME" in refusal()


def test_an_unknown_substrate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, SUBSTRATE="nomad")
    assert "SENTOPS_TRAINER_SUBSTRATE" in refusal()
