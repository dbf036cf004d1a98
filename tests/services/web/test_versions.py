"""The card of a model version: figures for everybody, and of candidates that answered nobody, nothing."""

import json

import httpx
import pytest

from sentops_core.store.pool import Pool
from tests.services.web.conftest import StartWeb, Web, a_visitor
from tests.services.web.fakes import FakeTrainer, a_variant

pytestmark = pytest.mark.pg

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
    values = {"evaluation": EVALUATION, "gate": GATE, "base": "named://multilingual-small"} | more
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
        VALUES ('v1', 1, 'd', 'sha256:1', 'sha256:2', 's3://secret', 2183, 412,
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
        f"t{number}", job, {"evaluation": values["evaluation"]},
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


async def test_the_card_says_what_it_is_made_of_and_how_good_it_is(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    await add_version(pool)
    async with start_web(database_url=database_url) as web, a_visitor(web) as visitor:
        page = (await visitor.get("/versions/reviews-1")).text
        italian = (await visitor.get("/versions/reviews-1?lang=it")).text
        card = (await visitor.get("/api/versions/reviews-1")).json()
    for said in (
        "The model reviews-1", "It answers now", "multilingual-small", "2,183 labelled texts",
        "negative 39%, positive 61%", "English, Italian", "Of 412 texts", "321 right (78%)",
        "4.1 percentage points", "+1.3 points of macro-F1 (between -1.2 and +3.8)",
    ):  # fmt: skip
        assert said in page, said
    for said in ("Risponde adesso", "2.183 testi etichettati", "4,1 punti", "+1,3 punti"):
        assert said in italian, said
    assert (card["answers_percent"], card["training_texts"], card["accuracy"]) == (100, 2183, 0.78)
    assert card["by_label"]["negative"] == {"precision": 0.8, "recall": 0.9, "texts": 120}
    assert "secret" not in page + italian + json.dumps(card)


async def test_a_version_on_trial_says_for_how_many(
    start_web: StartWeb, database_url: str, pool: Pool, trainer: FakeTrainer, model_url: str
) -> None:
    await add_version(pool, "reviews-2", "Canary", base="s3://secret/encoder")
    trainer.route(
        a_variant(model_url, weight=90),
        a_variant(model_url, name="candidate", weight=10, version="reviews-2"),
    )
    async with start_web(database_url=database_url) as web, a_visitor(web) as visitor:
        page = (await visitor.get("/versions/reviews-2")).text
    assert "it answers 10 of 100 visitors" in page
    assert "secret" not in page, "where somebody keeps an encoder is nobody's business"


async def test_candidates_that_answered_nobody_and_names_nobody_gave_are_404_in_words(
    start_web: StartWeb, database_url: str, pool: Pool, trainer: FakeTrainer, model_url: str
) -> None:
    for number, phase in enumerate(("Pending", "Verifying", "Shadow"), start=2):
        await add_version(pool, f"reviews-{number}", phase)
    trainer.route(
        a_variant(model_url),
        a_variant(model_url, name="candidate", weight=0, version="reviews-4", shadow=True),
    )
    async with start_web(database_url=database_url) as web, a_visitor(web, "it") as visitor:
        for name in (
            "reviews-2",
            "reviews-3",
            "reviews-4",
            "reviews-9",
            "%3Cscript%3E",
            "x" * 3000,
        ):
            page = await visitor.get(f"/versions/{name}")
            assert page.status_code == 404
            assert "Un modello così non esiste" in page.text
            assert "<script>" not in page.text
            assert (await visitor.get(f"/api/versions/{name}")).status_code == 404


async def test_a_version_of_the_past_stays_known_and_a_broken_figure_costs_only_itself(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    await add_version(
        pool, "reviews-0", "Archived", evaluation={"rows": "many"}, gate={"metrics": 7}
    )
    async with start_web(database_url=database_url) as web, a_visitor(web) as visitor:
        page = (await visitor.get("/versions/reviews-0")).text
        bare = (await visitor.get("/versions/reviews-1")).text
    assert "It does not answer now" in page
    assert "2,183 labelled texts" in page
    assert "How good it is" not in page
    assert "Nothing more is known" in bare, "it serves, though the database has no row of it"


async def test_while_the_database_is_away_the_card_says_so(
    web: Web, visitor: httpx.AsyncClient
) -> None:
    page = await visitor.get("/versions/reviews-1")
    assert (page.status_code, "Try again in a moment" in page.text) == (503, True)
    assert page.headers["retry-after"] == "5"


async def test_an_answer_leads_to_the_card_of_who_gave_it(visitor: httpx.AsyncClient) -> None:
    page = await visitor.post("/ask", data={"text": "great"})
    assert 'href="/versions/reviews-1"' in page.text
