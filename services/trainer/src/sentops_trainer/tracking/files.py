"""A version's files beside its run: streamed from our store to MLflow's, those that are not there yet."""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import structlog

from sentops_core.artifacts.streaming import ArtifactStream, open_artifact
from sentops_core.domain.artifact import CARD, MANIFEST, METRICS, ArtifactFile
from sentops_core.domain.errors import ArtifactError
from sentops_core.domain.resources import ArtifactRef
from sentops_trainer.tracking.client import Mlflow

log = structlog.get_logger()

FOLDER = "model"  # in the run's artefacts
_PROXIED = "mlflow-artifacts"
_TO_READ = {CARD, MANIFEST, METRICS}


class Files(StrEnum):
    ALL = "all"  # what a download of the version needs
    CARD = "card"  # what people read: card, manifest, metrics
    NONE = "none"


async def say_files(mlflow: Mlflow, wanted: Files, artifact: ArtifactRef, artifact_uri: str) -> str:
    """Upload what is missing; in a word or a sentence, what is there. Lost artefacts are said, not raised."""
    if wanted is Files.NONE:
        return wanted.value
    place = urlsplit(artifact_uri)
    if place.scheme != _PROXIED:
        return _said_in_vain(
            f"none: MLflow keeps files at {place.scheme}:, where we cannot write; start it with "
            "--serve-artifacts and --artifacts-destination"
        )
    try:
        stream = await asyncio.to_thread(open_artifact, artifact.storage_uri, artifact.digest)
        chosen = [one for one in stream.files if wanted is Files.ALL or one.path in _TO_READ]
        await _upload(mlflow, stream, chosen, f"{place.path.strip('/')}/{FOLDER}")
    except ArtifactError as error:
        return _said_in_vain(f"none: {error}")
    return wanted.value


def _said_in_vain(why: str) -> str:
    log.warning("mlflow_files_left_out", why=why)
    return why


async def _upload(
    mlflow: Mlflow, stream: ArtifactStream, files: list[ArtifactFile], target: str
) -> None:
    there: dict[str, int] = {}
    for folder in sorted({PurePosixPath(file.path).parent.as_posix() for file in files}):
        at = target if folder == "." else f"{target}/{folder}"
        prefix = "" if folder == "." else f"{folder}/"
        there |= {f"{prefix}{name}": size for name, size in (await mlflow.files(at)).items()}
    for file in files:
        if there.get(file.path) != file.size:
            pieces = _pieces(stream, file)
            await mlflow.upload(f"{target}/{file.path}", pieces, file.size)


async def _pieces(stream: ArtifactStream, file: ArtifactFile) -> AsyncIterator[bytes]:
    pieces = stream.pieces(file)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
