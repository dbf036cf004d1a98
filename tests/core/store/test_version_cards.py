"""What anybody may know of a model version: figures, and none of its texts, places and people."""

from dataclasses import asdict

import pytest

from sentops_core.store.pool import Connection
from sentops_core.store.version_cards import version_facts

pytestmark = pytest.mark.pg


async def test_the_figures_of_a_version_its_job_and_its_data_come_together(
    connection: Connection,
) -> None:
    await connection.execute(
        """
        INSERT INTO datasets (name, labels, split_salt, origin) VALUES ('d', '{a,b}', 's', 'Our customers, secret');
        INSERT INTO dataset_versions (name, number, dataset, content_hash, holdout_hash, storage_uri, rows_train,
                                      rows_holdout, label_counts, report, created_by)
        VALUES ('v1', 1, 'd', 'sha256:1', 'sha256:2', 's3://secret/place', 80, 20, '{"a": 60, "b": 40}',
                '{"profile": {"languages": {"it": 90, "": 10}}, "refused": "a secret text"}', 'secret-anna');
        INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, created_by)
        VALUES ('t', '{"trainer": {"method": "Linear"}, "baseModel": {"storageUri": "named://small"}}',
                '{"evaluation": {"rows": 20, "accuracy": 0.7}, "fastPath": {"share": 0.5}}', '{}', 'Succeeded', 'm', 'secret-anna');
        INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, training_job,
                                    created_by)
        VALUES ('m-v1', 'm', 1, 'sha256:3',
                '{"labels": ["a", "b"], "datasetHash": "sha256:1", "artifact": {"storageUri": "s3://secret"},
                  "gateResult": {"reasons": ["secret text"], "metrics": [{"name": "macro_f1", "value": "0.7"}]}}',
                '{}', '{}', 'Live', 't', 'secret-anna'),
               ('m-v2', 'm', 2, 'sha256:4', '{"labels": ["a", "b"]}', '{}', '{}', 'Pending', NULL, 'secret-anna');
        """
    )
    facts = await version_facts(connection, "m-v1")
    assert facts is not None
    assert (facts.phase, facts.labels, facts.method) == ("Live", ["a", "b"], "Linear")
    assert (facts.rows_train, facts.languages) == (80, {"it": 90, "": 10})
    assert facts.evaluation == {"rows": 20, "accuracy": 0.7}
    assert facts.fast_path == {"share": 0.5}
    assert facts.gate_metrics == [{"name": "macro_f1", "value": "0.7"}]
    assert "secret" not in str(asdict(facts))
    bare = await version_facts(connection, "m-v2")
    assert bare is not None
    assert (bare.method, bare.rows_train, bare.evaluation) == (None, None, None)
    assert await version_facts(connection, "m-v3") is None
