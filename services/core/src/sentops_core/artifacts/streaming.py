"""Reading a published artefact piece by piece, for who hands it on: never a whole file in memory, nothing on disk."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sentops_core.artifacts.artifact import parse_manifest
from sentops_core.artifacts.places import Place, place_at
from sentops_core.domain.artifact import MANIFEST, ArtifactFile, Manifest, digest_of_manifest
from sentops_core.domain.errors import ArtifactError, Unavailable

PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ArtifactStream:
    """An artefact whose manifest is known to be the wanted one; its files are checked as they are read."""

    place: Place
    content: bytes  # of the manifest
    manifest: Manifest

    @property
    def files(self) -> tuple[ArtifactFile, ...]:
        """All of them, the manifest too."""
        sealed = hashlib.sha256(self.content).hexdigest()
        seal = ArtifactFile(path=MANIFEST, size=len(self.content), sha256=sealed)
        return (*self.manifest.files, seal)

    def pieces(self, file: ArtifactFile) -> Iterator[bytes]:
        """The file's bytes. ArtifactError before the last piece if they are not those that were recorded."""
        if file.path == MANIFEST:
            yield self.content
            return
        found, size, held = hashlib.sha256(), 0, b""
        with self.place.open(file.path) as stream:
            while piece := stream.read(PIECE_BYTES):
                if held:
                    yield held
                held = piece
                found.update(piece)
                size += len(piece)
        if size != file.size or found.hexdigest() != file.sha256:
            raise ArtifactError(f"{file.path} in the store is not what {MANIFEST} recorded")
        yield held


def open_artifact(storage_uri: str, digest: str) -> ArtifactStream:
    """The artefact at this address; ArtifactError if there is none, or another one."""
    place = place_at(storage_uri)
    content = place.read_seal(MANIFEST)
    if content is None:
        if not place.store_is_there():
            raise Unavailable(f"The store of {storage_uri} is not there; is its disk mounted?")
        raise ArtifactError(f"there is no {MANIFEST} at {storage_uri}")
    if (actual := digest_of_manifest(content)) != digest:
        raise ArtifactError(
            f"the artefact at {storage_uri} has the digest {actual}, wanted is {digest}"
        )
    return ArtifactStream(place, content, parse_manifest(content))
