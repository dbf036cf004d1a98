"""The artefact store on a disk."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sentops_core.artifacts import (
    fetch_artifact,
    get_folder,
    publish_folder,
    put_folder,
    read_manifest,
    verify_artifact,
)
from sentops_core.domain.artifact import CONFIG, MANIFEST, MODEL, digest_of_manifest
from sentops_core.domain.errors import ArtifactError, InvalidInput, Unavailable
from tests.support.artifacts import BuiltArtifact, build_artifact, seal_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> BuiltArtifact:
    return build_artifact(tmp_path / "built")


@pytest.fixture
def root(tmp_path: Path) -> str:
    return (tmp_path / "a store").as_uri()


def test_a_published_artifact_is_fetched_as_it_was(
    artifact: BuiltArtifact, root: str, tmp_path: Path
) -> None:
    published = publish_folder(artifact.folder, root)

    folder = fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")

    assert published.digest == artifact.digest
    assert published.storage_uri == f"{root}/artifacts/{artifact.digest.removeprefix('sha256:')}"
    assert published.size_bytes == sum(path.stat().st_size for path in artifact.folder.iterdir())
    assert contents(folder) == contents(artifact.folder)


def test_publishing_twice_is_success_and_changes_nothing(
    artifact: BuiltArtifact, root: str, tmp_path: Path
) -> None:
    first = publish_folder(artifact.folder, root)
    folder = fetch_artifact(first.storage_uri, first.digest, tmp_path)
    written = (folder / MODEL).stat().st_mtime_ns

    assert publish_folder(artifact.folder, root) == first
    assert (folder / MODEL).stat().st_mtime_ns == written


def test_publishing_again_repairs_a_damaged_copy(
    artifact: BuiltArtifact, root: str, tmp_path: Path
) -> None:
    published = publish_folder(artifact.folder, root)
    folder = fetch_artifact(published.storage_uri, published.digest, tmp_path)
    truncate(folder / MODEL)

    publish_folder(artifact.folder, root)

    assert contents(fetch_artifact(published.storage_uri, published.digest, tmp_path)) == contents(
        artifact.folder
    )


def test_artifacts_with_other_weights_have_other_digests(
    artifact: BuiltArtifact, tmp_path: Path
) -> None:
    """Defect 1 of the systems we read: every "new version" shipped the old weights."""
    assert build_artifact(tmp_path / "other", strength=2.0).digest != artifact.digest


@pytest.mark.parametrize("name", [CONFIG, MODEL, "tokenizer.json", "golden.jsonl", "card.md"])
def test_a_truncated_file_is_refused_by_name(
    artifact: BuiltArtifact, root: str, tmp_path: Path, name: str
) -> None:
    published = publish_folder(artifact.folder, root)
    truncate(fetch_artifact(published.storage_uri, published.digest, tmp_path) / name)

    with pytest.raises(ArtifactError, match=f"{name} has .* bytes instead of"):
        fetch_artifact(published.storage_uri, published.digest, tmp_path)


def test_a_changed_byte_is_noticed(artifact: BuiltArtifact, root: str, tmp_path: Path) -> None:
    published = publish_folder(artifact.folder, root)
    path = fetch_artifact(published.storage_uri, published.digest, tmp_path) / MODEL
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(ArtifactError, match=r"model\.onnx does not have the SHA-256"):
        fetch_artifact(published.storage_uri, published.digest, tmp_path)


def test_another_digest_than_the_wanted_one_is_refused(
    artifact: BuiltArtifact, tmp_path: Path
) -> None:
    wanted = "sha256:" + "1" * 64
    with pytest.raises(
        ArtifactError, match=f"has the digest {artifact.digest}, wanted is {wanted}"
    ):
        fetch_artifact(artifact.uri, wanted, tmp_path)


def test_a_missing_file_is_refused_by_name(artifact: BuiltArtifact, tmp_path: Path) -> None:
    (artifact.folder / MODEL).unlink()
    with pytest.raises(ArtifactError, match=r"lacks model\.onnx"):
        fetch_artifact(artifact.uri, artifact.digest, tmp_path)


def test_a_file_that_the_manifest_does_not_cover_is_refused(
    artifact: BuiltArtifact, tmp_path: Path
) -> None:
    (artifact.folder / "model.onnx.data").write_bytes(b"weights that nobody checked")
    with pytest.raises(
        ArtifactError, match=r"holds model\.onnx\.data, which manifest\.json does not list"
    ):
        fetch_artifact(artifact.uri, artifact.digest, tmp_path)


def test_an_address_with_nothing_there_is_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no manifest\.json at"):
        fetch_artifact(root, "sha256:" + "0" * 64, tmp_path)


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/passwd", "a/../../b", "a\\..\\b", ".", "a//b", MANIFEST, "nul\0"]
)
def test_a_manifest_cannot_point_outside_its_folder(
    artifact: BuiltArtifact, tmp_path: Path, path: str
) -> None:
    digest = edit_manifest(artifact.folder, lambda manifest: manifest["files"][0].update(path=path))
    with pytest.raises(ArtifactError, match="not a path inside the folder"):
        fetch_artifact(artifact.uri, digest, tmp_path)


def test_a_manifest_that_is_no_json_is_refused(artifact: BuiltArtifact, tmp_path: Path) -> None:
    (artifact.folder / MANIFEST).write_bytes(b"{broken")
    with pytest.raises(ArtifactError, match=r"manifest\.json is not valid"):
        fetch_artifact(artifact.uri, digest_of_manifest(b"{broken"), tmp_path)


def test_links_are_not_followed_into_an_artifact(artifact: BuiltArtifact) -> None:
    (artifact.folder / "secret").symlink_to("/etc/passwd")
    with pytest.raises(ArtifactError, match=r"secret .* is a link"):
        seal_artifact(artifact.folder)


def test_an_artifact_without_a_model_cannot_be_sealed(artifact: BuiltArtifact) -> None:
    (artifact.folder / MODEL).unlink()
    with pytest.raises(ArtifactError, match=r"an artefact needs model\.onnx"):
        seal_artifact(artifact.folder)


def test_a_folder_changed_after_sealing_is_not_published(
    artifact: BuiltArtifact, root: str, tmp_path: Path
) -> None:
    (artifact.folder / CONFIG).write_text("{}")
    with pytest.raises(ArtifactError, match=r"config\.json has"):
        publish_folder(artifact.folder, root)
    assert not (tmp_path / "a store").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "hf://org/name@main",
        "file://relative",
        "s3://",
        "/plain/path",
        "file:///",
        "file:///a?b",
        "s3://b/c#d",
        "pvc://",
        "pvc://models",
        "pvc://models/",
        "pvc://models/../other/store",
        "pvc://models/%2E%2E/other",
        "pvc://../models",
        "pvc://Models/store",
        "pvc:///models/store",
    ],
)
def test_an_address_of_another_kind_is_refused_with_those_that_work(
    uri: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput):
        fetch_artifact(uri, "sha256:" + "0" * 64, tmp_path)


def test_an_artifact_on_a_volume_claim_keeps_the_claims_address(
    artifact: BuiltArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(tmp_path / "pvc"))
    (tmp_path / "pvc" / "models").mkdir(parents=True)

    published = publish_folder(artifact.folder, "pvc://models/the%20store/reviews")
    folder = fetch_artifact(published.storage_uri, published.digest, tmp_path / "cache")

    hex_digest = artifact.digest.removeprefix("sha256:")
    below = f"artifacts/{hex_digest}"
    assert published.storage_uri == f"pvc://models/the%20store/reviews/{below}"
    assert folder == tmp_path / "pvc" / "models" / "the store" / "reviews" / below
    assert contents(folder) == contents(artifact.folder)


def test_a_volume_claim_that_is_not_mounted_may_be_later_and_is_never_made_up(
    artifact: BuiltArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(tmp_path / "pvc"))
    for use in (
        lambda: publish_folder(artifact.folder, "pvc://models/store"),
        lambda: fetch_artifact("pvc://models/store/x", artifact.digest, tmp_path),
    ):
        with pytest.raises(Unavailable, match=r"the claim is not mounted at .*/pvc/models"):
            use()
    assert not (tmp_path / "pvc").exists()


def test_a_manifest_is_read_and_verified_in_place(artifact: BuiltArtifact) -> None:
    assert verify_artifact(artifact.folder, artifact.digest) == read_manifest(artifact.folder)
    with pytest.raises(ArtifactError, match="wanted is"):
        verify_artifact(artifact.folder, "sha256:" + "0" * 64)


def test_a_crash_at_any_point_of_publishing_leaves_nothing_loadable(
    artifact: BuiltArtifact, root: str, tmp_path: Path
) -> None:
    """Children die by SIGKILL before each write to disk that publishing waits for; then one gets through."""
    script = """
        import os, signal, sys
        from pathlib import Path
        from sentops_core.artifacts import places, publish_folder, fetch_artifact
        from sentops_core.domain.errors import ArtifactError
        folder, root, digest = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
        uri = f"{root}/artifacts/{digest.removeprefix('sha256:')}"
        point, sync = 0, places._sync
        while True:
            child = os.fork()
            if child == 0:
                left = iter(range(point))
                def crash_or_sync(path):
                    if next(left, None) is None:
                        os.kill(os.getpid(), signal.SIGKILL)
                    sync(path)
                places._sync = crash_or_sync
                publish_folder(folder, root)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            try:
                fetch_artifact(uri, digest, Path("unused"))
                print(point, "loadable", status)
                break
            except ArtifactError:
                assert os.WIFSIGNALED(status), status
            point += 1
    """
    answer = python(script, str(artifact.folder), root, artifact.digest)

    point, state, _ = answer.split()
    assert (int(point), state) == (
        6,
        "loadable",
    )  # five files and the manifest were synced before the rename
    assert publish_folder(artifact.folder, root).digest == artifact.digest


def test_a_disk_that_is_full_leaves_nothing_half(
    artifact: BuiltArtifact, root: str, tmp_path: Path
) -> None:
    """The file-size limit makes the kernel refuse a write in the middle of the model."""
    script = """
        import resource, sys
        from pathlib import Path
        from sentops_core.artifacts import publish_folder
        from sentops_core.domain.errors import Unavailable
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
        try:
            publish_folder(Path(sys.argv[1]), sys.argv[2])
        except Unavailable as error:
            print(error)
    """
    assert (artifact.folder / MODEL).stat().st_size > 1500

    answer = python(script, str(artifact.folder), root)

    assert "cannot write to" in answer
    assert "nothing was kept" in answer
    assert list((tmp_path / "a store" / "artifacts").iterdir()) == []
    assert publish_folder(artifact.folder, root).digest == artifact.digest


def test_a_plain_folder_comes_back_as_it_was(root: str, tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "dataset")

    put_folder(folder, f"{root}/datasets/abc")
    put_folder(folder, f"{root}/datasets/abc")

    stored = get_folder(f"{root}/datasets/abc", tmp_path / "cache")
    assert contents(folder).items() <= contents(stored).items()


def test_a_plain_folder_that_was_damaged_is_refused(root: str, tmp_path: Path) -> None:
    put_folder(a_folder(tmp_path / "dataset"), f"{root}/datasets/abc")
    truncate(get_folder(f"{root}/datasets/abc", tmp_path) / "train.parquet")

    with pytest.raises(ArtifactError, match=r"train\.parquet has"):
        get_folder(f"{root}/datasets/abc", tmp_path)


def test_a_plain_folder_that_is_not_there_is_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing whole at"):
        get_folder(f"{root}/datasets/abc", tmp_path)


def a_folder(path: Path) -> Path:
    (path / "parts").mkdir(parents=True)
    (path / "train.parquet").write_bytes(b"rows" * 1000)
    (path / "parts" / "dataset.json").write_text("{}")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def edit_manifest(folder: Path, change) -> str:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    content = json.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(content)
    return digest_of_manifest(content)


def python(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_store_that_is_not_mounted_yet_is_away_and_no_bad_artefact(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="mounted"):
        fetch_artifact(
            f"file://{tmp_path}/disk/artifacts/{'a' * 64}", "sha256:" + "a" * 64, tmp_path
        )
