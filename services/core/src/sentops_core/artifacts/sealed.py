"""Listing a folder's files with their hashes, and checking a folder against such a list."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sentops_core.domain.artifact import ArtifactFile
from sentops_core.domain.errors import ArtifactError

MAX_SEAL_BYTES = 4 * 1024 * 1024


def list_files(folder: Path, *, without: str) -> tuple[ArtifactFile, ...]:
    """Every file below the folder but the seal, by path; ArtifactError for links and special files."""
    return tuple(
        ArtifactFile(
            path=name, size=(folder / name).stat().st_size, sha256=sha256_of(folder / name)
        )
        for name in _names(folder)
        if name != without
    )


def check_files(folder: Path, files: Iterable[ArtifactFile], *, seal: str) -> None:
    """Raise ArtifactError unless the folder holds exactly these files, byte for byte."""
    listed = {file.path: file for file in files}
    present = set(_names(folder)) - {seal}
    if missing := sorted(listed.keys() - present):
        raise ArtifactError(f"{folder.name} lacks {missing[0]}, which {seal} lists")
    if unlisted := sorted(present - listed.keys()):
        raise ArtifactError(f"{folder.name} holds {unlisted[0]}, which {seal} does not list")
    for name, file in listed.items():
        check_file(folder / name, file)


def check_file(path: Path, expected: ArtifactFile) -> None:
    size = path.stat().st_size
    if size != expected.size:
        raise ArtifactError(
            f"{expected.path} has {size:,} bytes instead of {expected.size:,}: truncated or changed"
        )
    if sha256_of(path) != expected.sha256:
        raise ArtifactError(
            f"{expected.path} does not have the SHA-256 that was recorded: it was changed"
        )


def check_names(files: Iterable[ArtifactFile], *, seal: str) -> None:
    """Refuse paths that leave the folder, name the seal itself, or appear twice."""
    seen: set[str] = set()
    for file in files:
        path = PurePosixPath(file.path)
        inside = (
            not path.is_absolute()
            and ".." not in path.parts
            and "\\" not in file.path
            and "\0" not in file.path
        )
        if not inside or not path.parts or str(path) != file.path or file.path == seal:
            raise ArtifactError(
                f"{seal} lists {file.path!r}, which is not a path inside the folder"
            )
        if file.path in seen:
            raise ArtifactError(f"{seal} lists {file.path} twice")
        seen.add(file.path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise ArtifactError(f"{folder.name} is not a folder")
    names: list[str] = []
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ArtifactError(
                    f"{name} in {folder.name} is a link or a special file; only plain files are kept"
                )
        names += [Path(parent, name).relative_to(folder).as_posix() for name in files]
    return sorted(names)
