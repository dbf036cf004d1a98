"""What may be told to anybody about a model version: figures, never texts, places or people."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentops_core.store.pool import Connection

# Without card.md on purpose: it quotes the texts that the version got wrong.
_FACTS = """
SELECT v.name, v.phase, v.created_at, v.spec -> 'labels' AS labels,
       v.spec #> '{gateResult,metrics}' AS gate_metrics,
       j.spec #>> '{trainer,method}' AS method,
       j.spec #>> '{baseModel,storageUri}' AS base_model,
       j.status -> 'evaluation' AS evaluation,
       j.status -> 'fastPath' AS fast_path,
       d.rows_train, d.label_counts, d.report #> '{profile,languages}' AS languages
  FROM model_versions v
  LEFT JOIN training_jobs j ON j.name = v.training_job
  LEFT JOIN dataset_versions d ON d.content_hash = v.spec ->> 'datasetHash'
 WHERE v.name = $1
"""


@dataclass(frozen=True)
class VersionFacts:
    """What is not known is None: a version that was not trained here has no job."""

    name: str
    phase: str
    created_at: datetime
    labels: list[str] | None
    gate_metrics: list[dict[str, Any]] | None
    method: str | None
    base_model: str | None
    evaluation: dict[str, Any] | None
    fast_path: dict[str, Any] | None
    rows_train: int | None
    label_counts: dict[str, int] | None
    languages: dict[str, int] | None


async def version_facts(connection: Connection, name: str) -> VersionFacts | None:
    row = await connection.fetchrow(_FACTS, name)
    return None if row is None else VersionFacts(**row)
