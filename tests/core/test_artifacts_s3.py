"""The artefact store on a real S3 server."""

from pathlib import Path

import pytest

from sentops_core.artifacts import (
    fetch_artifact,
    get_folder,
    prune_cache,
    publish_folder,
    put_folder,
)
from sentops_core.artifacts.streaming import open_artifact
from sentops_core.domain.artifact import MANIFEST, MODEL
from sentops_core.domain.errors import ArtifactError, Unavailable
from sentops_core.inference import Scorer
from tests.support.artifacts import BuiltArtifact, build_artifact
from tests.support.seaweedfs import s3_client

pytestmark = pytest.mark.s3


@pytest.fixture
def artifact(tmp_path: Path) -> BuiltArtifact:
    return build_artifact(tmp_path / "built")


def test_a_published_artifact_is_fetched_and_answers(
    artifact: BuiltArtifact, s3_root: str, tmp_path: Path
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    assert publish_folder(artifact.folder, s3_root) == published

    folder = fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")

    assert tmp_path / "cache" in folder.parents
    Scorer.load(folder).verify_golden()


def test_a_whole_copy_in_the_cache_is_not_downloaded_again(
    artifact: BuiltArtifact, s3_root: str, tmp_path: Path
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    folder = fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")
    s3_client().rm(f"{published.storage_uri}/{MODEL}")

    assert fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache") == folder


def test_a_damaged_copy_in_the_cache_is_downloaded_again(
    artifact: BuiltArtifact, s3_root: str, tmp_path: Path
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    folder = fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")
    (folder / MODEL).write_bytes(b"rotten")

    fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")

    assert (folder / MODEL).read_bytes() == (artifact.folder / MODEL).read_bytes()


def test_an_upload_that_was_interrupted_is_not_loadable_and_is_completed_by_the_next(
    artifact: BuiltArtifact, s3_root: str, tmp_path: Path
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    s3_client().rm(f"{published.storage_uri}/{MANIFEST}")  # the last object to be written

    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")
    publish_folder(artifact.folder, s3_root)
    assert fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache").is_dir()


@pytest.mark.parametrize("content", [b"short", None])
def test_a_damaged_object_is_refused_and_nothing_is_cached(
    artifact: BuiltArtifact, s3_root: str, tmp_path: Path, content: bytes | None
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    same_size = b"x" * (artifact.folder / MODEL).stat().st_size
    s3_client().pipe_file(f"{published.storage_uri}/{MODEL}", content or same_size)

    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")
    assert list((tmp_path / "cache" / "artifacts").iterdir()) == []


def test_the_cache_keeps_only_the_latest(s3_root: str, tmp_path: Path) -> None:
    folders = []
    for number in range(3):
        built = build_artifact(tmp_path / str(number), strength=1.0 + number)
        published = publish_folder(built.folder, s3_root)
        folders.append(fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache"))

    prune_cache(tmp_path / "cache", keep=2)

    assert [folder.exists() for folder in folders] == [False, True, True]


def test_a_plain_folder_comes_back_as_it_was(s3_root: str, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "train.parquet").write_bytes(b"rows" * 1000)
    (folder / "empty.json").touch()

    put_folder(folder, f"{s3_root}/datasets/abc")
    put_folder(folder, f"{s3_root}/datasets/abc")

    stored = get_folder(f"{s3_root}/datasets/abc", tmp_path / "cache")
    assert (stored / "parts" / "train.parquet").read_bytes() == b"rows" * 1000
    assert (stored / "empty.json").read_bytes() == b""


def test_wrong_credentials_are_told_apart_from_a_bad_artifact(
    artifact: BuiltArtifact, s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish_folder(artifact.folder, s3_root)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    with pytest.raises(Unavailable, match="AWS_ACCESS_KEY_ID"):
        fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")


def test_a_store_that_is_away_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(Unavailable, match="AWS_ENDPOINT_URL") as caught:
        fetch_artifact("s3://bucket/a", "sha256:" + "0" * 64, tmp_path)
    assert caught.value.retry_after is not None


def test_an_artifact_is_handed_on_piece_by_piece(artifact: BuiltArtifact, s3_root: str) -> None:
    published = publish_folder(artifact.folder, s3_root)
    stream = open_artifact(published.storage_uri, published.digest)
    for file in stream.files:
        assert b"".join(stream.pieces(file)) == (artifact.folder / file.path).read_bytes()
    s3_client().rm(f"{published.storage_uri}/{MODEL}")
    (model,) = [file for file in stream.files if file.path == MODEL]
    with pytest.raises(ArtifactError):
        list(stream.pieces(model))
