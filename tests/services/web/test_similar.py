"""Labelled examples beside an answer: public ones only, for who asked, and never in the answer's way."""

import httpx
import pytest
from pydantic import ValidationError

from sentops_cli.sample import NAME
from sentops_core.store.pool import Pool, transaction
from sentops_web.settings import Settings
from sentops_web.similar import SAMPLE_DATASET, Shown
from tests.services.web.conftest import KEY, StartWeb, Web, a_visitor, prediction_in
from tests.support.public_examples import a_version

SAMPLE_TEXTS = ("it broke after a month", "it broke after two weeks", "<b>it broke</b> after a day")


@pytest.fixture
async def examples(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await a_version(connection, 1, *SAMPLE_TEXTS)
        await a_version(connection, 2, "it broke after our customer's year", parent="v1")
        await a_version(
            connection, 3, "it broke after a visitor's hour", source="feedback", parent="v2"
        )


async def similar_to(web: Web, text: str, **headers: str) -> httpx.Response:
    prediction = (await web.predict(text))["prediction_id"]
    return await web.client.get(f"/api/predictions/{prediction}/similar", headers=headers)


def test_the_sample_is_called_what_the_first_run_calls_it() -> None:
    assert SAMPLE_DATASET == NAME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sample", Shown(sample=True, versions=())),
        ("", Shown(sample=False, versions=())),
        (" v3 , sample,v12", Shown(sample=True, versions=("v3", "v12"))),
    ],
)
def test_the_setting_names_what_may_be_shown(text: str, expected: Shown) -> None:
    assert Shown.read(text) == expected


@pytest.mark.parametrize("text", ["all", "v0", "upload:reviews", "v3 v4", "*"])
def test_a_setting_that_names_nothing_we_know_is_refused(text: str, tmp_path) -> None:
    values = {"database_url": "x", "trainer_url": "x", "signing_key": KEY, "spool_dir": tmp_path}
    with pytest.raises(ValidationError, match="name versions"):
        Settings.model_validate(values | {"show_similar": text})


@pytest.mark.pg
async def test_only_the_sample_is_shown_unless_versions_are_named(
    start_web: StartWeb, database_url: str, examples: None
) -> None:
    async with start_web(database_url=database_url) as web:
        found = (await similar_to(web, "it broke after a week")).json()["examples"]
    assert {one["text"] for one in found} == set(SAMPLE_TEXTS)
    assert found[0]["label"] == "negative"
    assert found == sorted(found, key=lambda one: -one["likeness"])
    async with start_web(database_url=database_url, show_similar="v2,v3") as web:
        found = (await similar_to(web, "it broke after a week")).json()["examples"]
    assert [one["text"] for one in found] == ["it broke after our customer's year"]


@pytest.mark.pg
async def test_turned_off_nothing_is_looked_for_and_nothing_is_offered(
    start_web: StartWeb, database_url: str, examples: None
) -> None:
    async with start_web(database_url=database_url, show_similar="") as web:
        assert (await similar_to(web, "it broke after a week")).json() == {"examples": []}
        async with a_visitor(web) as visitor:
            page = await visitor.post("/ask", data={"text": "it broke after a week"})
    assert "/parts/similar" not in page.text
    assert "Similar labelled examples" not in page.text


@pytest.mark.pg
async def test_what_a_text_resembles_is_for_who_asked_alone(
    start_web: StartWeb, database_url: str, examples: None
) -> None:
    async with start_web(database_url=database_url) as web:
        refused = await similar_to(web, "it broke", **{"x-client-id": "somebody-else"})
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        prediction = (await web.predict("it broke"))["prediction_id"]
        async with a_visitor(web) as stranger:
            part = await stranger.get(f"/parts/similar?p={prediction}")
            assert part.status_code == 404
            page = await stranger.get(f"/p/{prediction}?similar=yes")
            assert (page.status_code, "it broke" in page.text) == (200, False)


@pytest.mark.pg
async def test_without_script_a_link_leads_to_them_and_they_are_escaped(
    start_web: StartWeb, database_url: str, examples: None
) -> None:
    async with start_web(database_url=database_url) as web, a_visitor(web) as visitor:
        page = await visitor.post("/ask", data={"text": "it broke after a week"})
        prediction = prediction_in(page.text)
        assert f'href="/p/{prediction}?similar=yes#similar"' in page.text
        page = await visitor.get(f"/p/{prediction}?similar=yes")
    assert "it broke after two weeks" in page.text
    assert "never from other visitors" in page.text
    assert "<b>it broke" not in page.text


async def test_without_a_database_the_answer_is_there_and_examples_are_not(
    web: Web, visitor: httpx.AsyncClient
) -> None:
    page = await visitor.post("/ask", data={"text": "great"})
    assert page.status_code == 200
    prediction = prediction_in(page.text)
    part = await visitor.get(f"/parts/similar?p={prediction}", headers={"x-fragment": "1"})
    assert part.status_code == 503
    page = await visitor.get(f"/p/{prediction}?similar=yes")
    assert "Positive" in page.text
    assert "away just now" in page.text


async def test_looking_costs_as_much_as_asking(start_web: StartWeb) -> None:
    async with start_web(burst_texts=1, texts_per_second=0.01) as web:
        assert (await similar_to(web, "great")).status_code == 429
