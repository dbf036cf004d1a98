"""The card of a model version: figures for everybody, and of candidates that answered nobody, nothing."""

import json

import httpx
import pytest

from sentops_core.store.pool import Pool
from tests.services.web.conftest import StartWeb, Web, a_visitor
from tests.services.web.fakes import FakeTrainer, a_variant
from tests.services.web.known_versions import FAST_PATH, add_version

pytestmark = pytest.mark.pg


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
        "4.1 percentage points", "+1.3 points (between -1.2 and +3.8)",
        "Of 100 texts, about 62 are easy enough",
    ):  # fmt: skip
        assert said in page, said
    for said in ("Risponde adesso", "2.183 testi etichettati", "4,1 punti", "+1,3 punti"):
        assert said in italian, said
    assert (card["answers_percent"], card["training_texts"], card["accuracy"]) == (100, 2183, 0.78)
    assert card["fast_path_share"] == 0.62
    assert card["by_label"]["negative"] == {"precision": 0.8, "recall": 0.9, "texts": 120}
    assert "secret" not in page + italian + json.dumps(card)


async def test_a_version_on_trial_says_for_how_many(
    start_web: StartWeb, database_url: str, pool: Pool, trainer: FakeTrainer, model_url: str
) -> None:
    unused = FAST_PATH | {"used": False}
    await add_version(pool, "reviews-2", "Canary", base="s3://secret/encoder", fast_path=unused)
    trainer.route(
        a_variant(model_url, weight=90),
        a_variant(model_url, name="candidate", weight=10, version="reviews-2"),
    )
    async with start_web(database_url=database_url) as web, a_visitor(web) as visitor:
        page = (await visitor.get("/versions/reviews-2")).text
        champion = (await visitor.get("/versions/reviews-1")).text
    assert "It is being tried: it answers 10 of 100 visitors" in page
    assert "It answers 90 of 100 visitors; the others try its successor" in champion
    assert "easy enough" not in page
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
