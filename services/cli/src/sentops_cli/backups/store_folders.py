"""Sealed folders of the artefact store, copied between places and checked. What is there already is not copied."""

import hashlib
import os
import tempfile
from pathlib import Path

from sentops_cli.backups.manifest import Lost, StoreFolder
from sentops_cli.backups.progress import Steps
from sentops_cli.backups.snapshot import Wanted
from sentops_core.artifacts.artifact import parse_manifest
from sentops_core.artifacts.folders import parse_listing
from sentops_core.artifacts.places import Files, LocalPlace, Place, below, place_at
from sentops_core.domain.artifact import MANIFEST
from sentops_core.domain.errors import ArtifactError, Unavailable


def copy_to_backup(
    wanted: Wanted, path: str, *, kept_below: str, steps: Steps
) -> StoreFolder | Lost:
    """Bring a folder (at `path` of the store) into the backups, unless they have it; Lost if the store lacks it."""
    source = place_at(wanted.storage_uri)
    content = source.read_seal(wanted.seal)
    if content is None:
        if not source.store_is_there():
            raise Unavailable(
                f"The store of {wanted.storage_uri} ({wanted.wanted_by}) is not there; is its disk mounted?"
            )
        return _lost(wanted, "it is not in the store")
    sha256 = hashlib.sha256(content).hexdigest()
    if wanted.digest is not None and sha256 != wanted.digest:
        return _lost(wanted, f"its {wanted.seal} is not the one of its digest")
    try:
        files = files_of(wanted.seal, content)
        _copy(
            source,
            place_at(below(kept_below, sha256)),
            files,
            wanted.seal,
            content,
            what=wanted.wanted_by,
            steps=steps,
        )
    except ArtifactError as error:
        return _lost(wanted, str(error))
    return StoreFolder(
        path=path,
        seal=wanted.seal,
        sha256=sha256,
        bytes=len(content) + sum(file.size for file in files),
        wanted_by=wanted.wanted_by,
    )


def copy_from_backup(folder: StoreFolder, *, kept_below: str, store_uri: str, steps: Steps) -> None:
    """Put one folder back into a store, for whom the store belongs to; an identical one there is kept."""
    source = place_at(below(kept_below, folder.sha256))
    target = place_at(below(store_uri, folder.path))
    content = source.read_seal(folder.seal)
    if content is None or hashlib.sha256(content).hexdigest() != folder.sha256:
        raise ArtifactError(f"{folder.kept_at} ({folder.wanted_by}) is missing or was changed")
    files = files_of(folder.seal, content)
    _copy(source, target, files, folder.seal, content, what=folder.wanted_by, steps=steps)
    root = place_at(store_uri)
    if isinstance(root, LocalPlace) and isinstance(target, LocalPlace):
        give_to_owner_of(root.path, target.path)


def files_of(seal: str, content: bytes) -> Files:
    return parse_manifest(content).files if seal == MANIFEST else parse_listing(content)


def path_in_store(storage_uri: str, store_uri: str) -> str | None:
    """The folder's path below the store's root; None when it lies elsewhere."""
    root = store_uri.rstrip("/") + "/"
    path = storage_uri.removeprefix(root).strip("/")
    return path if storage_uri.startswith(root) and path else None


def prepare_root(store_uri: str) -> None:
    """Make a local store's root, owned as the folder above it: nobody else could use it."""
    root = place_at(store_uri)
    if isinstance(root, LocalPlace) and not root.path.exists():
        above = next(parent for parent in root.path.parents if parent.exists())
        root.path.mkdir(parents=True)
        give_to_owner_of(above, root.path)


def give_to_owner_of(root: Path, folder: Path) -> None:
    """The folder with all in it, and the folders between: a restore by root must not lock the programs out."""
    owner = root.stat()
    between = [parent for parent in folder.parents if root in parent.parents]
    for path in [*between, folder, *folder.rglob("*")]:
        found = path.lstat()
        if (found.st_uid, found.st_gid) != (owner.st_uid, owner.st_gid):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _copy(
    source: Place,
    target: Place,
    files: Files,
    seal: str,
    content: bytes,
    *,
    what: str,
    steps: Steps,
) -> None:
    if target.read_seal(seal) == content and target.holds(files, seal):
        return
    steps.step(what, sum(file.size for file in files))
    if isinstance(source, LocalPlace):
        local = source.fetch(files, seal, content, source.path)
        target.store(local, files, seal, content, steps.advance)
    elif isinstance(target, LocalPlace):
        source.fetch(files, seal, content, target.path, steps.advance)
    else:
        with tempfile.TemporaryDirectory(prefix="sentops-") as folder:
            local = source.fetch(files, seal, content, Path(folder, "folder"))
            target.store(local, files, seal, content, steps.advance)


def _lost(wanted: Wanted, why: str) -> Lost:
    return Lost(
        storage_uri=wanted.storage_uri, wanted_by=wanted.wanted_by, why=why, needed=wanted.needed
    )
