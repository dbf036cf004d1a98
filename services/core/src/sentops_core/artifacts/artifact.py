"""Publishing a model artefact under its digest, and fetching one so that every byte is known to be right."""

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sentops_core.artifacts.places import below, place_at
from sentops_core.artifacts.sealed import MAX_SEAL_BYTES, check_files, check_names, list_files
from sentops_core.domain.artifact import MANIFEST, REQUIRED_FILES, Manifest, digest_of_manifest
from sentops_core.domain.errors import ArtifactError, InvalidInput, Unavailable
from sentops_core.domain.run import PublishedArtifact

_CACHE_FOLDER = "artifacts"


def write_manifest(folder: Path, **fields: Any) -> str:
    """Seal a folder: write manifest.json over all its files from Manifest's other fields; returns the digest."""
    manifest = Manifest(**fields, files=list_files(folder, without=MANIFEST))
    _check_required(manifest)
    content = manifest.to_bytes()
    temporary = folder / f".{MANIFEST}"
    temporary.write_bytes(content)
    temporary.replace(folder / MANIFEST)
    return digest_of_manifest(content)


def publish_folder(folder: Path, root_uri: str) -> PublishedArtifact:
    """Put a sealed folder at <root>/artifacts/<digest hex>, whole or not at all; there already is success."""
    content = _seal_of(folder)
    manifest = parse_manifest(content)
    check_files(folder, manifest.files, seal=MANIFEST)
    digest = digest_of_manifest(content)
    uri = below(root_uri, "artifacts", _hex(digest))
    place = place_at(uri)
    if not (place.read_seal(MANIFEST) == content and place.holds(manifest.files, MANIFEST)):
        place.store(folder, manifest.files, MANIFEST, content)
    size = len(content) + sum(file.size for file in manifest.files)
    return PublishedArtifact(storage_uri=uri, digest=digest, size_bytes=size)


def fetch_artifact(storage_uri: str, digest: str, cache_dir: Path) -> Path:
    """The artefact's local folder, each file checked against the manifest and the manifest against the digest."""
    place = place_at(storage_uri)
    content = place.read_seal(MANIFEST)
    if content is None:
        if not place.store_is_there():  # a disk mounted late is not an artefact that is bad
            raise Unavailable(f"The store of {storage_uri} is not there; is its disk mounted?")
        raise ArtifactError(
            f"there is no {MANIFEST} at {storage_uri}: nothing was published there, or not to its end"
        )
    if (actual := digest_of_manifest(content)) != digest:
        raise ArtifactError(
            f"the artefact at {storage_uri} has the digest {actual}, wanted is {digest}"
        )
    manifest = parse_manifest(content)
    return place.fetch(manifest.files, MANIFEST, content, cache_dir / _CACHE_FOLDER / _hex(digest))


def verify_artifact(folder: Path, digest: str) -> Manifest:
    """The manifest of a local folder, once the folder is known to be exactly what the digest names."""
    content = _seal_of(folder)
    if (actual := digest_of_manifest(content)) != digest:
        raise ArtifactError(f"{folder.name} has the digest {actual}, wanted is {digest}")
    manifest = parse_manifest(content)
    check_files(folder, manifest.files, seal=MANIFEST)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a local folder, parsed; the files are not looked at."""
    return parse_manifest(_seal_of(folder))


def parse_manifest(content: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{MANIFEST} is not valid: {place}: {first['msg']}".replace(": : ", ": ")
        ) from error
    check_names(manifest.files, seal=MANIFEST)
    _check_required(manifest)
    return manifest


def prune_cache(cache_dir: Path, *, keep: int = 4) -> None:
    """Keep the most recently used downloads; a file:// artefact has none."""
    try:
        folders = sorted(
            (cache_dir / _CACHE_FOLDER).iterdir(),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
    except FileNotFoundError:
        return
    for folder in [folder for folder in folders if not folder.name.startswith(".")][keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def _seal_of(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_SEAL_BYTES:
            raise ArtifactError(f"{MANIFEST} is larger than {MAX_SEAL_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{folder.name} has no readable {MANIFEST}: {error.strerror}"
        ) from error


def _check_required(manifest: Manifest) -> None:
    listed = {file.path for file in manifest.files}
    if missing := [name for name in REQUIRED_FILES if name not in listed]:
        raise ArtifactError(f"an artefact needs {missing[0]}, which {MANIFEST} does not list")


def _hex(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise InvalidInput(f"{digest!r} is not a digest; it reads sha256:<64 hex digits>")
    return value
