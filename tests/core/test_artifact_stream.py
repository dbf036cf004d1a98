"""An artefact handed on piece by piece is the one that was published, or an error before its last piece."""

import hashlib
from pathlib import Path

import pytest

from sentops_core.artifacts import publish_folder, streaming
from sentops_core.artifacts.streaming import ArtifactStream, open_artifact
from sentops_core.domain.artifact import MANIFEST, MODEL
from sentops_core.domain.errors import ArtifactError, InvalidInput
from tests.support.artifacts import build_artifact


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStream:
    monkeypatch.setattr(streaming, "PIECE_BYTES", 100)
    built = build_artifact(tmp_path / "built")
    published = publish_folder(built.folder, (tmp_path / "store").as_uri())
    return open_artifact(published.storage_uri, published.digest)


def test_every_file_comes_in_pieces_and_whole(stream: ArtifactStream) -> None:
    assert {file.path for file in stream.files} >= {MODEL, MANIFEST}
    for file in stream.files:
        pieces = list(stream.pieces(file))
        assert hashlib.sha256(b"".join(pieces)).hexdigest() == file.sha256
        assert file.path == MANIFEST or max(map(len, pieces)) <= 100


@pytest.mark.parametrize("change", [lambda old: old[:-1], lambda old: old[:-1] + b"?"])
def test_a_changed_file_never_gets_to_its_end(stream: ArtifactStream, change) -> None:
    path = stream.place._path / MODEL
    path.write_bytes(change(path.read_bytes()))
    (model,) = [file for file in stream.files if file.path == MODEL]
    got: list[bytes] = []
    with pytest.raises(ArtifactError, match=r"not what manifest\.json recorded"):
        got.extend(stream.pieces(model))
    assert len(b"".join(got)) < model.size - 1


def test_a_file_that_is_gone_is_an_error_of_the_artefact(stream: ArtifactStream) -> None:
    (stream.place._path / MODEL).unlink()
    (model,) = [file for file in stream.files if file.path == MODEL]
    with pytest.raises(ArtifactError, match="not in the store"):
        list(stream.pieces(model))


def test_another_digest_or_no_artefact_is_an_error(tmp_path: Path) -> None:
    built = build_artifact(tmp_path / "built")
    with pytest.raises(ArtifactError, match="wanted is"):
        open_artifact(built.uri, "sha256:" + "0" * 64)
    with pytest.raises(ArtifactError, match="there is no"):
        open_artifact((tmp_path / "other").as_uri(), built.digest)
    with pytest.raises(InvalidInput):
        open_artifact("ftp://x/y", built.digest)
