"""The page without any script: plain forms, redirects, cookies, escaping."""

import re

import httpx
import pytest

from sentops_web.pages import STATIC
from tests.services.web.conftest import StartWeb, Web, prediction_in
from tests.services.web.fakes import FakeTrainer


@pytest.mark.parametrize("path", ["/", "/static/index"])
async def test_the_page_is_there_at_both_its_addresses(
    visitor: httpx.AsyncClient, path: str
) -> None:
    page = await visitor.get(path)
    assert page.status_code == 200
    assert "How does it sound?" in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_asking_and_correcting_work_without_script(visitor: httpx.AsyncClient) -> None:
    await visitor.get("/")
    page = await visitor.post("/ask", data={"text": "pessimo, davvero"})
    assert page.url.path == "/"
    assert "Negative" in page.text
    assert "reviews-1" in page.text
    prediction = prediction_in(page.text)
    page = await visitor.post("/correct", data={"prediction_id": prediction, "label": "neutral"})
    assert "Recorded as: Neutral" in page.text
    page = await visitor.post(
        "/correct", data={"prediction_id": prediction, "label": "neutral", "note": "a joke"}
    )
    assert 'value="a joke"' in page.text
    assert "you: Neutral" in page.text
    page = await visitor.post("/why", data={"prediction_id": prediction})
    assert "Words that mattered" in page.text
    assert re.search(r'<mark class="for weight-4"[^>]*>pessimo,</mark>', page.text)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    visitor: httpx.AsyncClient,
) -> None:
    cookie = (await visitor.get("/")).headers["set-cookie"]
    assert "sentops_client=" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "set-cookie" not in (await visitor.get("/")).headers


async def test_a_forged_cookie_is_replaced(visitor: httpx.AsyncClient) -> None:
    visitor.cookies.set("sentops_client", f"{'a' * 32}.{'b' * 32}")
    assert "sentops_client=" in (await visitor.get("/")).headers["set-cookie"]


async def test_the_cookie_is_secure_where_people_come_by_https(start_web: StartWeb) -> None:
    async with start_web(secure_cookies=True) as web:
        del web.client.headers["x-client-id"]
        assert "Secure" in (await web.client.get("/")).headers["set-cookie"]


async def test_a_visitor_by_https_gets_a_cookie_for_https_alone(visitor: httpx.AsyncClient) -> None:
    assert "Secure" not in (await visitor.get("http://127.0.0.1/")).headers["set-cookie"]
    assert "Secure" in (await visitor.get("https://sentops.example/")).headers["set-cookie"]


async def test_what_people_write_is_escaped_everywhere(visitor: httpx.AsyncClient) -> None:
    await visitor.get("/")
    nasty = "<script>alert(1)</script> \"great\" 'x' </textarea>"
    page = await visitor.post("/ask", data={"text": nasty})
    prediction = prediction_in(page.text)
    page = await visitor.post(
        "/correct",
        data={"prediction_id": prediction, "label": "positive", "note": '"><script>x</script>'},
    )
    assert "<script>alert" not in page.text
    assert "<script>x" not in page.text
    assert "&lt;script&gt;alert" in page.text


async def test_problems_keep_the_text_and_have_the_right_status(
    web: Web, visitor: httpx.AsyncClient, trainer: FakeTrainer
) -> None:
    empty = await visitor.post("/ask", data={"text": "   "})
    assert (empty.status_code, "nothing to read" in empty.text) == (422, True)
    forged = await visitor.post("/correct", data={"prediction_id": "x", "label": "positive"})
    assert forged.status_code == 404
    trainer.route()
    await web.parts.routing.refresh()
    waiting = await visitor.post("/ask", data={"text": "keep my words"})
    assert waiting.status_code == 503
    assert ">keep my words</textarea>" in waiting.text
    assert "There is no model yet: answers start" in waiting.text


async def test_somebody_elses_answer_shows_no_text(web: Web, visitor: httpx.AsyncClient) -> None:
    prediction = (await web.predict("my great secret"))["prediction_id"]
    page = await visitor.get("/", params={"p": str(prediction)})
    assert page.status_code == 200
    assert "secret" not in page.text
    refused = await visitor.post("/why", data={"prediction_id": prediction})
    assert refused.status_code == 404


async def test_an_unknown_answer_is_a_404_page(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/", params={"p": "nothing"})).status_code == 404


async def test_the_language_follows_the_browser_and_the_switch(visitor: httpx.AsyncClient) -> None:
    italian = await visitor.get("/", headers={"accept-language": "it-IT,it;q=0.9"})
    assert '<html lang="it">' in italian.text
    chosen = await visitor.get("/?lang=it")
    assert '<html lang="it">' in chosen.text
    assert '<html lang="it">' in (await visitor.get("/")).text


async def test_the_history_is_ones_own(visitor: httpx.AsyncClient, web: Web) -> None:
    await visitor.get("/")
    await visitor.post("/ask", data={"text": "great for me"})
    assert "great for me" in (await visitor.get("/parts/history")).text
    stranger = await web.client.get("/parts/history")
    assert "great for me" not in stranger.text


async def test_a_bare_address_has_no_history_to_show(web: Web) -> None:
    del web.client.headers["x-client-id"]
    refused = await web.client.get("/api/history")
    assert refused.status_code == 422
    assert "x-client-id" in refused.json()["detail"]


async def test_training_is_shown_while_it_runs(
    start_web: StartWeb, trainer: FakeTrainer, model_url: str
) -> None:
    trainer.train("Running", 12, 300)
    async with start_web() as web:
        page = (await web.client.get("/")).text
        assert "trained in the background" in page
        assert "12%" in page
        assert "5 min" in page
    trainer.jobs = []
    async with start_web() as web:
        assert 'class="training' not in (await web.client.get("/")).text


async def test_the_page_asks_for_nothing_from_elsewhere(web: Web) -> None:
    names = [path.name for path in STATIC.iterdir() if path.suffix in {".css", ".js"}]
    for path in ("/", *(f"/static/{name}" for name in names)):
        source = (await web.client.get(path)).text
        assert "http://" not in source
        assert "https://" not in source


async def test_a_favicon_is_served(web: Web) -> None:
    answer = await web.client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
