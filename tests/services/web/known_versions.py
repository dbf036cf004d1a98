"""Model versions as the database knows them, with what must never be shown."""

from sentops_core.store.pool import Pool

EVALUATION = {
    "rows": 412,
    "accuracy": 0.78,
    "macroF1": 0.75,
    "perClass": {
        "negative": {"precision": 0.8, "recall": 0.9, "f1": 0.85, "support": 120},
        "positive": {"precision": 0.82, "recall": 0.71, "f1": 0.76, "support": 292},
    },
    "confusion": [[108, 12], [85, 207]],
    "calibrationError": 0.041,
}
FAST_PATH = {
    "used": True,
    "message": "a secret text",
    "share": 0.62,
    "macroF1": 0.75,
    "fullMacroF1": 0.752,
    "agreement": 0.98,
}
GATE = {
    "reasons": ["a secret text"],
    "metrics": [
        {"name": "macro_f1", "value": "0.75", "champion": "0.74", "difference": "0.013",
         "low": "-0.012", "high": "0.038"}
    ],
}  # fmt: skip


async def add_version(
    pool: Pool, name: str = "reviews-1", phase: str = "Live", **more: object
) -> None:
    values = {
        "evaluation": EVALUATION,
        "fast_path": FAST_PATH,
        "gate": GATE,
        "base": "named://multilingual-small",
    } | more
    number = await pool.fetchval("SELECT count(*) + 1 FROM model_versions")
    await pool.execute(
        """
        INSERT INTO datasets (name, labels, split_salt, origin) VALUES ('d', '{negative,positive}', 's', 'secret')
            ON CONFLICT DO NOTHING
        """
    )
    await pool.execute(
        """
        INSERT INTO dataset_versions (name, number, dataset, content_hash, holdout_hash, storage_uri, rows_train,
                                      rows_holdout, label_counts, report, created_by)
        VALUES ('v91', 91, 'd', 'sha256:1', 'sha256:2', 's3://secret', 2183, 412,
                '{"negative": 1000, "positive": 1595}', '{"profile": {"languages": {"en": 2000, "it": 500, "": 95}}}',
                'secret')
            ON CONFLICT DO NOTHING
        """
    )
    job = {"trainer": {"method": "Linear"}, "baseModel": {"storageUri": values["base"]}}
    await pool.execute(
        """
        INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, created_by)
        VALUES ($1, $2, $3, '{}', 'Succeeded', 'm', 'secret')
        """,
        f"t{number}", job, {"evaluation": values["evaluation"], "fastPath": values["fast_path"]},
    )  # fmt: skip
    spec = {
        "labels": ["negative", "positive"],
        "datasetHash": "sha256:1",
        "gateResult": values["gate"],
    }
    await pool.execute(
        """
        INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, training_job,
                                    created_by, created_at)
        VALUES ($1, 'm', $2, 'sha256:3', $3, '{}', '{}', $4, $5, 'secret', '2026-11-20T10:00Z')
        """,
        name, number, spec, phase, f"t{number}",
    )  # fmt: skip
