"""Where sealed folders live: a local folder, a mounted volume claim, or a prefix in an S3 bucket."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from sentops_core.artifacts.sealed import MAX_SEAL_BYTES, check_file, check_files
from sentops_core.domain.artifact import ArtifactFile
from sentops_core.domain.errors import ArtifactError, InvalidInput, Unavailable

_CLAIM_SCHEME = "pvc"
# Every pod has the claim of pvc://<claim>/<path> mounted at <root>/<claim>.
PVC_ROOT = "/pvc"
_PVC_ROOT_SETTING = "SENTOPS_PVC_ROOT"
_INCOMING = ".incoming-"
_ABANDONED_AFTER_SECONDS = 24 * 3600
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LONGEST_CLAIM = 253

_CHUNK = 1024 * 1024

Files = tuple[ArtifactFile, ...]
# Told how many more bytes were copied.
Told = Callable[[int], None]


def _untold(_: int) -> None:
    """Nobody watches."""


class Place(Protocol):
    """One address of a sealed folder, whether or not the folder is there yet."""

    def read_seal(self, seal: str) -> bytes | None: ...
    def store_is_there(self) -> bool: ...
    def holds(self, files: Files, seal: str) -> bool: ...
    def open(self, name: str) -> AbstractContextManager[BinaryIO]: ...
    def store(
        self, folder: Path, files: Files, seal: str, seal_content: bytes, told: Told = _untold
    ) -> None: ...
    def fetch(
        self, files: Files, seal: str, seal_content: bytes, cached: Path, told: Told = _untold
    ) -> Path: ...


def place_at(uri: str) -> Place:
    """InvalidInput for an address that is none of file:///absolute/path, pvc://claim/path, s3://bucket/prefix."""
    parts = urlsplit(uri)
    if parts.query or parts.fragment:
        raise InvalidInput(f"{uri!r} holds a bare ? or #; write them as %3F and %23")
    path = unquote(parts.path)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and path.strip("/"):
        return LocalPlace(Path(path))
    if is_on_claim(uri):
        return ClaimPlace(uri)
    if parts.scheme == "s3" and parts.netloc:
        return S3Place(f"{parts.netloc}/{path.strip('/')}".rstrip("/"))
    raise InvalidInput(
        f"{uri!r} is not a place for artefacts; use file:///absolute/path, pvc://claim/path or s3://bucket/prefix"
    )


def is_on_claim(uri: str) -> bool:
    return urlsplit(uri).scheme == _CLAIM_SCHEME


def claim_of(uri: str) -> str:
    """The claim of pvc://<claim>/<path>; InvalidInput if it cannot be one."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if not _CLAIM.fullmatch(parts.netloc) or len(parts.netloc) > _LONGEST_CLAIM:
        raise InvalidInput(f"{uri!r} names no volume claim; write pvc://<claim>/<path>")
    if not path.strip("/") or ".." in path.split("/"):
        raise InvalidInput(
            f"{uri!r} names no folder of the claim; write pvc://<claim>/<path>, without .."
        )
    return parts.netloc


def folder_on_claim(uri: str) -> Path:
    """Where a pod sees the folder of pvc://<claim>/<path>; Unavailable where the claim is not mounted."""
    claim = _mount_of(uri)
    if not claim.is_dir():
        raise Unavailable(
            f"{uri} cannot be used here: the claim is not mounted at {claim}, as it is in a cluster's pods"
        )
    return claim / unquote(urlsplit(uri).path).strip("/")


def _mount_of(uri: str) -> Path:
    return Path(os.environ.get(_PVC_ROOT_SETTING) or PVC_ROOT) / claim_of(uri)


def below(root_uri: str, *parts: str) -> str:
    """The address of something below a root."""
    return "/".join([root_uri.rstrip("/"), *parts])


class LocalPlace:
    """A folder on a disk; it appears by one rename, so a crash leaves only a hidden folder nobody reads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        return self._path

    def read_seal(self, seal: str) -> bytes | None:
        path = self._path / seal
        try:
            if path.stat().st_size > MAX_SEAL_BYTES:
                raise ArtifactError(f"{seal} is larger than {MAX_SEAL_BYTES:,} bytes")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ArtifactError(f"{seal} cannot be read: {error.strerror}") from error

    def store_is_there(self) -> bool:
        return self._path.parent.is_dir()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file of the folder, to be read from its start."""
        try:
            with (self._path / name).open("rb") as stream:
                yield stream
        except FileNotFoundError as error:
            raise ArtifactError(f"{name} is listed but not in the store") from error
        except OSError as error:
            raise Unavailable(f"{name} cannot be read: {error.strerror}") from error

    def holds(self, files: Files, seal: str) -> bool:
        try:
            check_files(self._path, files, seal=seal)
        except ArtifactError:
            return False
        return True

    def store(
        self, folder: Path, files: Files, seal: str, seal_content: bytes, told: Told = _untold
    ) -> None:
        with incoming(self._path.parent) as temporary:
            for file in files:
                target = temporary / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(folder / file.path, target, told)
                _sync(target)
            (temporary / seal).write_bytes(seal_content)
            _sync(temporary / seal)
            _replace(temporary, self._path, self.holds, files, seal)

    def fetch(
        self, files: Files, seal: str, seal_content: bytes, cached: Path, told: Told = _untold
    ) -> Path:
        """A local folder is used where it lies; `cached` and the seal's content stay unused."""
        del seal_content, cached, told
        check_files(self._path, files, seal=seal)
        return self._path


class ClaimPlace(LocalPlace):
    """A folder on a volume claim. One that is not mounted holds nothing, which says nothing of what it should hold."""

    def __init__(self, uri: str) -> None:
        super().__init__(_mount_of(uri) / unquote(urlsplit(uri).path).strip("/"))
        self._uri = uri

    def read_seal(self, seal: str) -> bytes | None:
        folder_on_claim(self._uri)
        return super().read_seal(seal)

    def store(
        self, folder: Path, files: Files, seal: str, seal_content: bytes, told: Told = _untold
    ) -> None:
        folder_on_claim(self._uri)
        super().store(folder, files, seal, seal_content, told)


class S3Place:
    """A prefix in a bucket; each object appears whole, and the seal is put last."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def store_is_there(self) -> bool:
        return True  # a server that is away has already been Unavailable

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with s3_filesystem() as store, store.open(f"{self._prefix}/{name}", "rb") as stream:
            yield stream

    def read_seal(self, seal: str) -> bytes | None:
        with s3_filesystem() as store:
            try:
                size = store.info(f"{self._prefix}/{seal}")["size"]
                if size > MAX_SEAL_BYTES:
                    raise ArtifactError(f"{seal} is larger than {MAX_SEAL_BYTES:,} bytes")
                content: bytes = store.cat_file(f"{self._prefix}/{seal}")
            except FileNotFoundError:
                return None
            return content

    def holds(self, files: Files, seal: str) -> bool:
        """Sizes only: fetching checks the hashes, and S3 does not truncate behind our back."""
        with s3_filesystem() as store:
            try:
                found = store.find(self._prefix, detail=True)
            except FileNotFoundError:
                return False
            sizes = {
                path.removeprefix(self._prefix + "/"): entry["size"]
                for path, entry in found.items()
            }
            return seal in sizes and all(sizes.get(file.path) == file.size for file in files)

    def store(
        self, folder: Path, files: Files, seal: str, seal_content: bytes, told: Told = _untold
    ) -> None:
        with s3_filesystem() as store:
            for file in files:
                store.put_file(
                    str(folder / file.path),
                    f"{self._prefix}/{file.path}",
                    callback=_callback(told),
                )
            store.pipe_file(f"{self._prefix}/{seal}", seal_content)

    def fetch(
        self, files: Files, seal: str, seal_content: bytes, cached: Path, told: Told = _untold
    ) -> Path:
        """The folder's copy in the cache, downloaded unless a whole one is there."""
        local = LocalPlace(cached)
        if local.read_seal(seal) == seal_content and local.holds(files, seal):
            os.utime(cached)
            return cached
        with incoming(cached.parent) as temporary:
            self._download(files, temporary, told)
            (temporary / seal).write_bytes(seal_content)
            _replace(temporary, cached, local.holds, files, seal)
        return cached

    def _download(self, files: Files, folder: Path, told: Told) -> None:
        with s3_filesystem() as store:
            for file in files:
                target = folder / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    size = store.info(f"{self._prefix}/{file.path}")["size"]
                    if size != file.size:
                        raise ArtifactError(
                            f"{file.path} has {size:,} bytes in the store instead of {file.size:,}"
                        )
                    store.get_file(
                        f"{self._prefix}/{file.path}", str(target), callback=_callback(told)
                    )
                except FileNotFoundError as error:
                    raise ArtifactError(f"{file.path} is listed but not in the store") from error
                check_file(target, file)


@contextmanager
def incoming(parent: Path) -> Iterator[Path]:
    """A hidden folder to fill; gone afterwards unless it was renamed. A full disk becomes Unavailable."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        temporary = parent / f"{_INCOMING}{uuid4().hex}"
        temporary.mkdir()
    except OSError as error:
        raise Unavailable(f"cannot write to {parent}: {error.strerror}") from error
    try:
        yield temporary
    except OSError as error:
        raise Unavailable(
            f"cannot write to {parent}: {error.strerror}; nothing was kept"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(temporary: Path, final: Path, holds: Any, files: Files, seal: str) -> None:
    """Rename into place. Someone else's whole copy is as good as ours; a damaged one makes way."""
    while True:
        try:
            temporary.rename(final)
        except OSError:
            if not final.exists():
                raise
            if holds(files, seal):
                return
            final.rename(final.parent / f"{_INCOMING}damaged-{uuid4().hex}")
        else:
            _sync(final.parent)
            return


def _copy(source: Path, target: Path, told: Told) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            writing.write(chunk)
            told(len(chunk))


def _callback(told: Told) -> Any:
    """Ours as fsspec wants it."""
    from fsspec.callbacks import Callback  # noqa: PLC0415 - with S3 only, as s3fs below

    class Telling(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            told(inc)

    return Telling()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove what crashed writers left behind, once it is surely abandoned."""
    oldest = time.time() - _ABANDONED_AFTER_SECONDS
    for entry in parent.glob(f"{_INCOMING}*"):
        try:
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry, ignore_errors=True)
        except FileNotFoundError:
            continue


@contextmanager
def s3_filesystem() -> Iterator[Any]:
    """A client of its own, for one piece of work; its failures as errors of ours."""
    with s3_errors():
        yield s3_client()


def s3_client() -> Any:
    """A client by the standard AWS_* environment."""
    import s3fs  # noqa: PLC0415 - a second to import, and installs on one disk never need it

    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


@contextmanager
def s3_errors() -> Iterator[None]:
    """What a client of S3 raises, as errors of ours."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactError(f"the S3 store answered: {error}") from error
    except PermissionError as error:
        raise Unavailable(
            f"the S3 store refused access ({error}); check AWS_ACCESS_KEY_ID and its rights"
        ) from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable(
            f"the S3 store cannot be used ({error}); check AWS_ENDPOINT_URL and the store"
        ) from error
