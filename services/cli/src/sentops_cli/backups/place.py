"""Where backups are kept: a folder on a disk or a prefix in an S3 bucket, seen as names with content."""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from sentops_cli.backups.manifest import (
    LISTING_SEAL,
    MANIFEST,
    MANIFEST_SEAL,
    STORE,
    BackupDamaged,
)
from sentops_cli.outcome import CommandError, ExitCode
from sentops_core.artifacts.places import s3_client, s3_errors
from sentops_core.domain.errors import PlatformError

# Texts of users and hashes of passwords are in a backup.
_PRIVATE = 0o700
_MARKS = frozenset({MANIFEST, MANIFEST_SEAL, LISTING_SEAL})


class BackupPlace(Protocol):
    """Names are paths with / below the place. `uri` is what the artefact store's places take."""

    uri: str

    def prepare(self) -> None: ...
    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def writing(self, name: str) -> AbstractContextManager[BinaryIO]: ...
    def reading(self, name: str) -> AbstractContextManager[BinaryIO]: ...
    def folders(self, name: str = "") -> list[str]: ...
    def holds(self, name: str) -> bool: ...
    def remove(self, name: str) -> None: ...


def place_of(text: str) -> BackupPlace:
    """A folder, file:///folder or s3://bucket/prefix; CommandError for anything else."""
    parts = urlsplit(text)
    if parts.scheme == "s3":
        if not parts.netloc or parts.query or parts.fragment:
            raise _no_place(text)
        return S3Folder(f"{parts.netloc}/{unquote(parts.path).strip('/')}".rstrip("/"))
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
            raise _no_place(text)
        return DiskFolder(Path(unquote(parts.path)))
    if "://" in text or not text.strip():
        raise _no_place(text)
    return DiskFolder(Path(text).expanduser().absolute())


def _no_place(text: str) -> CommandError:
    return CommandError(
        f"{text!r} is no place for backups: name a folder or s3://bucket/prefix.",
        ExitCode.BAD_INPUT,
    )


class DiskFolder:
    """A folder; what is written is on the disk before anybody may rely on it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.uri = root.as_uri()

    def prepare(self) -> None:
        with _disk_errors(self._root):
            self._root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            (self._root / STORE).mkdir(mode=_PRIVATE, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all."""
        target = self._root / name
        hidden = target.with_name(f".{target.name}.{uuid4().hex}")
        try:
            with _disk_errors(self._root):
                target.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
                hidden.write_bytes(content)
                _sync(hidden)
                hidden.replace(target)
                _sync(target.parent)
        finally:
            hidden.unlink(missing_ok=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        target = self._root / name
        with _disk_errors(self._root):
            target.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            with target.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        try:
            file = (self._root / name).open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BackupDamaged(f"{name} is missing.") from error
        with file:
            yield file

    def folders(self, name: str = "") -> list[str]:
        try:
            return sorted(entry.name for entry in (self._root / name).iterdir() if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def holds(self, name: str) -> bool:
        """Whether there is anything of this name."""
        return (self._root / name).exists()

    def remove(self, name: str) -> None:
        """Gone at once under this name, and then from the disk."""
        target = self._root / name
        hidden = target.with_name(f".removed-{target.name}-{uuid4().hex[:8]}")
        with suppress(FileNotFoundError):
            target.rename(hidden)
            if hidden.is_dir():
                shutil.rmtree(hidden, ignore_errors=True)
            else:
                hidden.unlink()


class S3Folder:
    """A prefix; an object appears whole when its upload ends. Credentials and server come from AWS_*."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._client: Any = None
        self.uri = f"s3://{prefix}"

    @contextmanager
    def _s3(self) -> Iterator[Any]:
        with s3_errors():
            self._client = self._client or s3_client()
            yield self._client

    def _objects(self, store: Any, name: str) -> list[str]:
        """Not the folders, which some servers go on listing for a while after the last object in them went."""
        found = store.find(f"{self._prefix}/{name}", detail=True)
        return [path for path, entry in found.items() if entry["type"] == "file"]

    def prepare(self) -> None:
        """Nothing to make: a bucket is its owner's, and the first write tells what is wrong."""

    def read(self, name: str) -> bytes | None:
        with self._s3() as store:
            try:
                content: bytes = store.cat_file(f"{self._prefix}/{name}")
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: bytes) -> None:
        with self._s3() as store:
            store.pipe_file(f"{self._prefix}/{name}", content)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        with self._s3() as store:
            file = store.open(f"{self._prefix}/{name}", "wb")
            try:
                yield cast("BinaryIO", file)
            except BaseException:
                with suppress(Exception):  # the first failure is the one to tell
                    file.discard()
                file.closed = True  # or its end would upload the half
                raise
            file.close()

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        with self._s3() as store:
            try:
                file = store.open(f"{self._prefix}/{name}", "rb", cache_type="readahead")
            except FileNotFoundError as error:
                raise BackupDamaged(f"{name} is missing.") from error
            with file:
                yield cast("BinaryIO", file)

    def folders(self, name: str = "") -> list[str]:
        with self._s3() as store:
            try:
                found = store.ls(f"{self._prefix}/{name}".rstrip("/"), detail=True)
            except FileNotFoundError:
                return []
            return sorted(
                entry["name"].rstrip("/").rpartition("/")[2]
                for entry in found
                if entry["type"] == "directory"
            )

    def holds(self, name: str) -> bool:
        with self._s3() as store:
            return bool(self._objects(store, name))

    def remove(self, name: str) -> None:
        """What says that all is there goes first, so that a removal that is cut off leaves nothing that looks whole."""
        with self._s3() as store, suppress(FileNotFoundError):
            found = self._objects(store, name)
            marks = [one for one in found if one.rpartition("/")[2] in _MARKS]
            for some in (marks, [one for one in found if one not in marks]):
                if some:
                    store.rm(some)


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    """A full disk, a folder without rights: what it is, and where."""
    try:
        yield
    except OSError as error:
        raise PlatformError(f"The backup cannot be written to {root}: {error.strerror}.") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
