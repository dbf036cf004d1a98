"""Where an answer comes from: prediction, model version, training job, dataset version, rows and who labelled them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sentops_core.domain.errors import NotFound
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import moment_of

_PREDICTION = """
SELECT id, created_at, text, text_hash, label, score, language, variant, model_version, digest, path
  FROM predictions
 WHERE created_at = $2 AND id = $1
"""

_VOTES = """
SELECT label, note, voted_at, source, status
  FROM feedback
 WHERE prediction_id = $1
 ORDER BY vote_id
"""

_MODEL_VERSION = """
SELECT name, digest, phase, training_job, spec -> 'gateResult' AS gate_result, spec ->> 'datasetHash' AS dataset_hash,
       created_by, created_at
  FROM model_versions
 WHERE name = $1
"""

_TRAINING_JOB = """
SELECT name, phase, status -> 'attempt' AS attempt, spec -> 'trainer' ->> 'method' AS method,
       spec -> 'baseModel' ->> 'storageUri' AS base_model, created_by, created_at
  FROM training_jobs
 WHERE name = $1
"""

_DATASET_VERSION = """
SELECT v.name, v.dataset, v.parent, v.content_hash, v.holdout_hash, v.storage_uri, v.rows_train, v.rows_holdout,
       v.label_counts, v.erased_rows, v.created_by, v.created_at, d.licence, d.origin
  FROM dataset_versions v
  JOIN datasets d ON d.name = v.dataset
 WHERE v.content_hash = $1
"""

_SOURCES = """
SELECT source, split, label, count(*) AS rows, count(DISTINCT annotator) AS annotators
  FROM dataset_members
 WHERE dataset_version = $1
 GROUP BY source, split, label
 ORDER BY source, split, label
"""

# Whole versions have tens of thousands of rows: the source is what tells most of them.
_BY_SOURCE = """
SELECT source, sum(train)::bigint AS train, sum(holdout)::bigint AS holdout, count(annotator) AS annotators
  FROM (SELECT source, annotator, count(*) FILTER (WHERE split = 'train') AS train,
               count(*) FILTER (WHERE split <> 'train') AS holdout
          FROM dataset_members
         WHERE dataset_version = $1
         GROUP BY source, annotator) AS of_each_annotator
 GROUP BY source
 ORDER BY sum(train) + sum(holdout) DESC, source
 LIMIT 100
"""

_LABELLED_BY_PEOPLE = """
SELECT m.label, m.split, m.source, m.annotator, m.prediction_id, e.text
  FROM dataset_members m
  LEFT JOIN examples e ON e.content_hash = m.content_hash
 WHERE m.dataset_version = $1
   AND m.annotator IS NOT NULL
 ORDER BY m.prediction_id DESC NULLS LAST, m.content_hash
 LIMIT 20
"""

_ITS_OWN_ROWS = """
SELECT dataset_version, label, split, source, annotator, prediction_id = $2 IS TRUE AS from_this_prediction
  FROM dataset_members
 WHERE content_hash = $1
 ORDER BY dataset_version
"""

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Lineage:
    """Each step is None where the chain ends: a version that was not trained here has no job.

    `own_rows` are the rows of any dataset version that hold the prediction's own text.
    """

    prediction: Facts
    votes: tuple[Facts, ...]
    model_version: Facts | None
    training_job: Facts | None
    dataset_version: Facts | None
    sources: tuple[Facts, ...]
    labelled_by_people: tuple[Facts, ...]
    own_rows: tuple[Facts, ...]


async def lineage(connection: Connection, prediction: UUID) -> Lineage:
    """NotFound when no such prediction is stored (it may still be on its way from the spool)."""
    found = None
    with suppress(OverflowError):  # any UUID can be asked for, and most hold no moment
        found = await connection.fetchrow(_PREDICTION, prediction, moment_of(prediction))
    if found is None:
        raise NotFound(
            "There is no such prediction in the database; a very new one arrives within seconds."
        )
    version = await connection.fetchrow(_MODEL_VERSION, found["model_version"])
    job = version and await connection.fetchrow(_TRAINING_JOB, version["training_job"])
    dataset = version and await connection.fetchrow(_DATASET_VERSION, version["dataset_hash"])
    facts = dict(found)
    text_hash = facts.pop("text_hash")
    return Lineage(
        prediction=facts,
        votes=_all(await connection.fetch(_VOTES, prediction)),
        model_version=dict(version) if version else None,
        training_job=dict(job) if job else None,
        dataset_version=dict(dataset) if dataset else None,
        sources=_all(await connection.fetch(_SOURCES, dataset["name"])) if dataset else (),
        labelled_by_people=_all(await connection.fetch(_LABELLED_BY_PEOPLE, dataset["name"]))
        if dataset
        else (),
        own_rows=_all(await connection.fetch(_ITS_OWN_ROWS, text_hash, prediction)),
    )


@dataclass(frozen=True)
class VersionLineage:
    """Each step is None where the chain ends; `sources` counts the rows by where they come from."""

    model_version: Facts
    training_job: Facts | None
    dataset_version: Facts | None
    sources: tuple[Facts, ...]


async def version_lineage(connection: Connection, name: str) -> VersionLineage:
    """From a model version to the rows behind it."""
    version = await connection.fetchrow(_MODEL_VERSION, name)
    if version is None:
        raise NotFound(
            f"There is no model version {name}.", saying="no_version", facts={"name": name}
        )
    job = await connection.fetchrow(_TRAINING_JOB, version["training_job"])
    dataset = await connection.fetchrow(_DATASET_VERSION, version["dataset_hash"])
    return VersionLineage(
        model_version=dict(version),
        training_job=dict(job) if job else None,
        dataset_version=dict(dataset) if dataset else None,
        sources=_all(await connection.fetch(_BY_SOURCE, dataset["name"])) if dataset else (),
    )


def _all(rows: list[Any]) -> tuple[dict[str, Any], ...]:
    return tuple(dict(row) for row in rows)


def prediction_uuid(prediction_id: str) -> UUID:
    """The key inside an id that web gave out, `<uuid hex>-<signature>`; the bare key is accepted as well."""
    try:
        return UUID(
            prediction_id[:36]
            if prediction_id.count("-") == 4
            else prediction_id.split("-", maxsplit=1)[0]
        )
    except ValueError as error:
        raise NotFound(f"{prediction_id[:80]!r} is no prediction id.") from error
