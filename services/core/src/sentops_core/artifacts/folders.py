"""Plain folders in the store (materialised datasets), under an address the caller derives from their content."""

import hashlib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sentops_core.artifacts.places import place_at
from sentops_core.artifacts.sealed import check_names, list_files
from sentops_core.domain.artifact import ArtifactFile
from sentops_core.domain.errors import ArtifactError

LISTING = "_listing.json"
_FILES = TypeAdapter(tuple[ArtifactFile, ...])


def put_folder(folder: Path, uri: str) -> None:
    """Store the folder at exactly this address, whole or not at all; the same content there is success."""
    files = list_files(folder, without=LISTING)
    content = _FILES.dump_json(files, indent=1)
    place = place_at(uri)
    if not (place.read_seal(LISTING) == content and place.holds(files, LISTING)):
        place.store(folder, files, LISTING, content)


def get_folder(uri: str, cache_dir: Path) -> Path:
    """A local folder with the content at this address, checked against its listing."""
    place = place_at(uri)
    content = place.read_seal(LISTING)
    if content is None:
        raise ArtifactError(f"there is nothing whole at {uri}")
    files = parse_listing(content)
    return place.fetch(
        files, LISTING, content, cache_dir / "folders" / hashlib.sha256(content).hexdigest()
    )


def parse_listing(content: bytes) -> tuple[ArtifactFile, ...]:
    """The files that a folder's listing names."""
    try:
        files = _FILES.validate_json(content)
    except ValidationError as error:
        raise ArtifactError(f"{LISTING} is not valid") from error
    check_names(files, seal=LISTING)
    return files
