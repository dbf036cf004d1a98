"""A platform as it is after some weeks: rows in every table, partitions, an artefact store, Grafana's file."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sentops_core.artifacts import publish_folder, put_folder
from sentops_core.domain.resources import (
    ArtifactRef,
    DatasetRef,
    ModelVersionPhase,
    ModelVersionStatus,
    Output,
    TrainingJobPhase,
    TrainingJobStatus,
    Variant,
)
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import DatasetRow, Datasets, NewMember, NewVersion
from sentops_core.store.examples import ExampleRow, Examples
from sentops_core.store.feedback import Feedback
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.routing import RoutingTable
from sentops_core.store.tokens import ApiTokens, Role
from sentops_core.store.training_jobs import TrainingJobs
from sentops_core.store.users import Sessions, Users
from tests.support.artifacts import build_artifact
from tests.support.builders import NOW, a_digest, a_model_version, a_training_job
from tests.support.rows import a_prediction, a_vote

_TABLES = """
SELECT c.relname
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
 ORDER BY c.relname
"""
# Every row as text, in an order that does not depend on where it lies; the name is quoted by the server.
_CONTENT = "SELECT format('SELECT t::text AS row FROM public.%I t ORDER BY 1', $1::text)"


@dataclass(frozen=True)
class FilledPlatform:
    """`served` is the champion's artefact, `data` its dataset's folder."""

    database_url: str
    store_uri: str
    grafana: Path
    served: str
    data: str


def fill_platform(database_url: str, store_uri: str, folder: Path) -> FilledPlatform:
    """Everything in place; `folder` is for what is built on the way, and for Grafana's file."""
    first = publish_folder(build_artifact(folder / "first", strength=2.0).folder, store_uri)
    second = publish_folder(build_artifact(folder / "second", strength=3.0).folder, store_uri)
    data = folder / "dataset"
    data.mkdir()
    (data / "train.parquet").write_bytes(b"rows to train on")
    (data / "dataset.json").write_text('{"name": "reviews"}')
    data_uri = f"{store_uri}/datasets/{'d' * 64}"
    put_folder(data, data_uri)
    grafana = folder / "grafana"
    grafana.mkdir()
    with closing(sqlite3.connect(grafana / "grafana.db")) as file:
        file.execute("CREATE TABLE dashboard (id INTEGER PRIMARY KEY, title TEXT)")
        file.execute("INSERT INTO dashboard (title) VALUES ('made by hand')")
        file.commit()

    async def fill(connection: Connection) -> None:
        await _fill_data(connection, data_uri)
        for number, artifact in enumerate((first, second), start=1):
            job = a_training_job(
                f"training-{number}",
                status=TrainingJobStatus(phase=TrainingJobPhase.SUCCEEDED),
                dataset=DatasetRef(storage_uri=data_uri, content_hash=a_digest("d")),
                output=Output(storage_uri=store_uri),
            )
            await TrainingJobs(connection).create(job, created_by="anna", dataset_version="v1")
            await TrainingJobs(connection).add_event(job.metadata.name, "Started", "It runs.")
            version = a_model_version(
                number,
                artifact=ArtifactRef(
                    storage_uri=artifact.storage_uri,
                    digest=artifact.digest,
                    size_bytes=artifact.size_bytes,
                ),
                status=ModelVersionStatus(
                    phase=ModelVersionPhase.LIVE if number == 2 else ModelVersionPhase.ARCHIVED
                ),
            )
            await ModelVersions(connection).create(
                version, created_by="anna", training_job=job.metadata.name
            )
        await _fill_traffic(connection, second.digest)

    in_database(database_url, fill)
    return FilledPlatform(database_url, store_uri, grafana, second.storage_uri, data_uri)


async def _fill_data(connection: Connection, data_uri: str) -> None:
    await Datasets(connection).create(
        DatasetRow("reviews", "Reviews", "MIT", "shop", ["negative", "positive"], "salt", NOW)
    )
    hashes = [hashlib.sha256(text.encode()).digest() for text in ("pessimo; rotto", "ottimo")]
    await Datasets(connection).create_version(
        NewVersion(
            name="v1",
            number=1,
            dataset="reviews",
            parent=None,
            content_hash=a_digest("d"),
            holdout_hash=a_digest("e"),
            storage_uri=data_uri,
            rows_train=1,
            rows_holdout=1,
            label_counts={"negative": 1, "positive": 1},
            report={"added": 2},
            created_by="anna",
        ),
        [
            NewMember(hashes[0], "negative", "train", "upload:reviews", "anna", None),
            NewMember(hashes[1], "positive", "holdout", "upload:reviews", None, None),
        ],
    )
    await Examples(connection).keep(
        [
            ExampleRow(hashes[0], 'pessimo;\n"rotto" \\. 😀', "negative", "it", None, "upload", "anna", None),
            ExampleRow(hashes[1], "ottimo\tdavvero", "positive", "it", "g", "upload", None, None),
        ]
    )  # fmt: skip


async def _fill_traffic(connection: Connection, digest: str) -> None:
    champion = Variant(
        name="champion",
        url="http://model:8501",
        model_version="sentiment-v2",
        digest=digest,
        weight=100,
    )
    await RoutingTable(connection).save(
        "sentiment", [champion], champion="sentiment-v2", previous_champion="sentiment-v1"
    )
    predictions = [
        a_prediction(NOW - timedelta(days=20 * number), f"Text {number}.") for number in range(6)
    ]
    async with connection.transaction():
        await Predictions(connection).copy_in(predictions)
        await Feedback(connection).upsert_many([a_vote(one) for one in predictions[:3]])
    await Users(connection).create("admin", "argon2id-hash", Role.ADMIN)
    await Sessions(connection).start("admin", expires_at=NOW + timedelta(days=9000))
    await ApiTokens(connection).create("ci", Role.VIEWER, created_by="admin")
    await Audit(connection).record("anna", "model_version.promoted", "sentiment-v2", {"f1": 0.8})


def in_database(url: str, work: Callable[[Connection], Coroutine[Any, Any, Any]]) -> Any:
    """Run the work over a connection of its own; for tests that are not asynchronous."""

    async def connected() -> Any:
        connection = await open_connection(url, application_name="the test")
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table and partition."""

    async def read(connection: Connection) -> dict[str, list[str]]:
        tables = [row["relname"] for row in await connection.fetch(_TABLES)]
        return {
            table: [
                row["row"]
                for row in await connection.fetch(await connection.fetchval(_CONTENT, table))
            ]
            for table in tables
        }

    found: dict[str, list[str]] = in_database(url, read)
    return found


def dashboards(grafana: Path) -> list[str]:
    with closing(sqlite3.connect(grafana / "grafana.db")) as file:
        return [row[0] for row in file.execute("SELECT title FROM dashboard ORDER BY id")]
