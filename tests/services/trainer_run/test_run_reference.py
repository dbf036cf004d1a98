"""Every artefact brings along what production is later compared with."""

from pathlib import Path

import numpy as np
import pytest

from sentops_core.artifacts import fetch_artifact, read_manifest
from sentops_core.artifacts.artifact import verify_artifact
from sentops_core.domain.errors import ArtifactError
from sentops_core.domain.reference import ReferenceProfile, count_words_of
from sentops_core.inference import Scored, Scorer
from sentops_trainer.rows import Dataset, Rows, read_dataset
from tests.support.training_runs import LABELS, Done

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("method", ["linear", "fine_tuned"])
def test_an_artefact_brings_the_counts_of_its_training_and_of_its_answers(
    method: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    done: Done = request.getfixturevalue(method)
    assert done.result.artifact is not None
    folder = fetch_artifact(done.result.artifact.storage_uri, done.result.artifact.digest, tmp_path)
    profile = ReferenceProfile.model_validate_json((folder / "reference.json").read_bytes())
    dataset = read_dataset(Path(done.spec.dataset_uri.removeprefix("file://")), done.spec)

    assert profile.texts == sum(profile.lengths) == len(dataset.train)
    assert sum(profile.languages.values()) == profile.texts
    assert profile.vocabulary
    scored = Scorer.load(folder).score(dataset.holdout.texts)
    held_out = profile.held_out
    assert held_out.labels == {
        label: sum(one.label == label for one in scored)
        for label in LABELS
        if any(one.label == label for one in scored)
    }
    assert {label: sum(bins) for label, bins in held_out.confidences.items()} == held_out.labels
    words = count_words_of(dataset.holdout.texts, profile.known_words())
    assert (held_out.words, held_out.unseen_words) == (words.words, words.unseen)


def test_the_digest_covers_the_reference(linear: Done) -> None:
    """Nobody can make drift go away by rewriting what it is measured against."""
    folder = linear.folder / "artifact"
    assert "reference.json" in {file.path for file in read_manifest(folder).files}
    assert linear.result.artifact is not None
    reference = folder / "reference.json"
    content = reference.read_bytes()
    try:
        reference.write_bytes(content.replace(b'"texts":', b'"texts" :', 1))
        with pytest.raises(ArtifactError, match=r"reference\.json"):
            verify_artifact(folder, linear.result.artifact.digest)
    finally:
        reference.write_bytes(content)


def test_of_very_many_rows_always_the_same_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentops_trainer.engine import reference

    monkeypatch.setattr(reference, "MOST_TEXTS", 2)
    train = Rows(
        hashes=["c" * 64, "a" * 64, "b" * 64],
        texts=["left out", "first one", "second one"],
        labels=np.array([0, 1, 0]),
        languages=["fr"] * 3,
        weights=np.ones(3),
    )
    dataset = Dataset(train, train, {})
    scored = [Scored(label, 0.9, {}, False) for label in ("neutral", "negative", "positive")]
    reference.write_reference(tmp_path, dataset, scored, detect=lambda _: "it")
    profile = ReferenceProfile.model_validate_json((tmp_path / "reference.json").read_bytes())
    assert profile.texts == 2
    assert profile.languages == {"it": 2}  # by detection, as production's are
    assert profile.held_out.labels == {"negative": 1, "positive": 1}
