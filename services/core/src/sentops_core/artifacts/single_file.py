"""One file of a published artefact, known to be right, without fetching the others."""

import hashlib

from sentops_core.artifacts.artifact import parse_manifest
from sentops_core.artifacts.places import place_at
from sentops_core.domain.artifact import MANIFEST, Manifest, digest_of_manifest
from sentops_core.domain.errors import ArtifactError


def read_published_manifest(storage_uri: str, digest: str) -> Manifest:
    """ArtifactError where there is none or another one; Unavailable where the store is away."""
    content = place_at(storage_uri).read_seal(MANIFEST)
    if content is None:
        raise ArtifactError(f"there is no {MANIFEST} at {storage_uri}")
    if (actual := digest_of_manifest(content)) != digest:
        raise ArtifactError(
            f"the artefact at {storage_uri} has the digest {actual}, wanted is {digest}"
        )
    return parse_manifest(content)


def read_published_file(
    storage_uri: str, manifest: Manifest, name: str, *, most_bytes: int
) -> bytes | None:
    """The file's content, checked; None when the artefact has no such file."""
    listed = next((file for file in manifest.files if file.path == name), None)
    if listed is None:
        return None
    if listed.size > most_bytes:
        raise ArtifactError(f"{name} has {listed.size:,} bytes; at most {most_bytes:,} are read")
    with place_at(storage_uri).open(name) as stream:
        content = stream.read(listed.size + 1)
    if len(content) != listed.size or hashlib.sha256(content).hexdigest() != listed.sha256:
        raise ArtifactError(f"{name} at {storage_uri} is not what {MANIFEST} says: it was changed")
    return content
