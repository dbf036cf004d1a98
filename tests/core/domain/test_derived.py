"""What follows from a job is the same wherever it runs."""

import pytest

from sentops_core.domain.derived import (
    name_of_version,
    registered_spec,
    to_champion_ref,
    to_run_spec,
)
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.plan import RegisterVersion
from sentops_core.domain.resources import (
    DesiredState,
    GateResult,
    ModelVersionPhase,
    ModelVersionStatus,
    Verdict,
)
from sentops_core.domain.run import PublishedArtifact
from tests.support.builders import a_champion, a_digest, a_model_version, a_training_job

MUST_PASS = [{"text": "Wonderful.", "label": "positive"}]


def test_a_run_is_told_everything_of_its_job_that_matters() -> None:
    job = a_training_job("first", gate={"mustPass": MUST_PASS}, fast_path="Forced")
    spec = to_run_spec(job, 3, a_champion())
    assert (spec.training_job, spec.attempt, spec.champion) == ("first", 3, a_champion())
    assert (spec.dataset_uri, spec.output_uri) == ("file:///data/v1", "file:///store")
    assert [one.label for one in spec.must_pass] == ["positive"]
    assert spec.fast_path is FastPathMode.FORCED


@pytest.mark.parametrize("phase", list(ModelVersionPhase))
def test_a_run_is_compared_with_any_champion_that_can_be_loaded(phase: ModelVersionPhase) -> None:
    champion = a_model_version(4, status=ModelVersionStatus(phase=phase))
    ref = to_champion_ref(champion)
    if phase is ModelVersionPhase.QUARANTINED:
        assert ref is None
    else:
        assert ref is not None
        assert (ref.model_version, ref.digest) == (
            champion.metadata.name,
            champion.spec.artifact.digest,
        )
    assert to_champion_ref(None) is None


def test_a_registered_version_carries_what_its_job_found() -> None:
    job = a_training_job("first", promotion={"rollout": {"shadowSeconds": 5}})
    artifact = PublishedArtifact(storage_uri="pvc://data/x", digest=a_digest(), size_bytes=5)
    gate = GateResult(verdict=Verdict.PASS, reasons=("Good.",), samples=600)
    spec = registered_spec(job, RegisterVersion(artifact, gate, DesiredState.CHAMPION), 4)
    assert (name_of_version(spec.model_name, spec.version), spec.artifact.size_bytes) == (
        "sentiment-v4",
        5,
    )
    assert (spec.gate_result, spec.desired_state) == (gate, DesiredState.CHAMPION)
    assert (spec.rollout.shadow_seconds, spec.dataset_hash) == (5, a_digest("d"))
    assert spec.training_job_ref is not None
    assert spec.training_job_ref.name == "first"
