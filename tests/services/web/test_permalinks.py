"""Answers at addresses of their own: all of it for who asked, little for others, nothing behind forged ids."""

import re

import httpx
import pytest

from tests.services.web.conftest import StartWeb, Web, a_visitor, prediction_in
from tests.services.web.fakes import FakeModel

NASTY = "<script>alert(1)</script> great \"quoted\" 'x'"


async def asked(visitor: httpx.AsyncClient, text: str = "great, my secret") -> str:
    return prediction_in((await visitor.post("/ask", data={"text": text})).text)


async def test_the_asker_sees_everything_at_the_link(visitor: httpx.AsyncClient) -> None:
    prediction = await asked(visitor)
    await visitor.post(
        "/correct", data={"prediction_id": prediction, "label": "neutral", "note": "my note"}
    )
    page = await visitor.get(f"/p/{prediction}")
    assert page.status_code == 200
    for shown in ("great, my secret", "Positive", "93.0%", 'value="my note"', "Undo", "reviews-1"):
        assert shown in page.text


async def test_an_answer_by_the_fast_path_says_so_quietly(
    visitor: httpx.AsyncClient, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "fast path" not in (await visitor.get(f"/p/{await asked(visitor)}")).text
    usual = model.answer
    monkeypatch.setattr(model, "answer", lambda text: usual(text) | {"path": "fast"})
    assert "</a> (fast path)" in (await visitor.get(f"/p/{await asked(visitor)}")).text


@pytest.mark.parametrize("path", ["/p/{}", "/?p={}"])
async def test_a_stranger_sees_the_answer_and_is_told_why_not_more(
    visitor: httpx.AsyncClient, web: Web, path: str
) -> None:
    prediction = await asked(visitor)
    data = {"prediction_id": prediction, "label": "neutral", "note": "my note"}
    await visitor.post("/correct", data=data)
    async with a_visitor(web) as stranger:
        page = await stranger.get(path.format(prediction))
    assert page.status_code == 200
    assert "Positive" in page.text
    assert "Somebody else asked this" in page.text
    for hidden in ("secret", "my note", "Recorded as", 'action="/correct"', "data-load"):
        assert hidden not in page.text


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "This link leads to no answer"), ("it", "Questo link non porta a nessuna risposta")],
)
async def test_a_forged_link_is_a_404_in_words(web: Web, language: str, words: str) -> None:
    async with a_visitor(web, language) as visitor:
        real = await asked(visitor)
        flipped = real[:-1] + ("0" if real[-1] != "0" else "1")
        for forged in (
            flipped,
            "0" * 32 + real[32:],
            "x",
            real.upper(),
            "%3Cscript%3E",
            "a" * 3000,
        ):
            page = await visitor.get(f"/p/{forged}")
            assert (page.status_code, page.headers["content-type"]) == (
                404,
                "text/html; charset=utf-8",
            )
            assert words in page.text
            assert "<script>" not in page.text


async def test_an_answer_that_the_database_would_know_is_a_503_while_it_is_away(web: Web) -> None:
    prediction = web.parts.signer.prediction_id(a_uuid())
    async with a_visitor(web) as visitor:
        page = await visitor.get(f"/p/{prediction}")
    assert page.status_code == 503
    assert int(page.headers["retry-after"]) > 0
    assert "Try again in a moment" in page.text


def a_uuid():
    from sentops_web.signing import new_uuid

    return new_uuid()


async def test_search_engines_are_asked_to_leave_links_alone(visitor: httpx.AsyncClient) -> None:
    prediction = await asked(visitor)
    for path in (f"/p/{prediction}", "/p/forged"):
        page = await visitor.get(path)
        assert page.headers["x-robots-tag"] == "noindex, nofollow"
        assert '<meta name="robots" content="noindex">' in page.text
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["cache-control"] == "no-store"


async def test_what_was_written_is_escaped_at_the_link_too(visitor: httpx.AsyncClient) -> None:
    prediction = await asked(visitor, NASTY)
    note = '"><script>x</script>'
    await visitor.post(
        "/correct", data={"prediction_id": prediction, "label": "neutral", "note": note}
    )
    page = (await visitor.get(f"/p/{prediction}")).text
    assert "<script>alert" not in page
    assert "<script>x" not in page
    assert "&lt;script&gt;alert" in page


async def test_without_script_voting_at_the_link_stays_at_the_link(
    visitor: httpx.AsyncClient,
) -> None:
    prediction = await asked(visitor)
    form = {"prediction_id": prediction, "place": "link"}
    page = await visitor.post("/correct", data=form | {"label": "negative"})
    assert (page.url.path, "Recorded as: Negative" in page.text) == (f"/p/{prediction}", True)
    page = await visitor.post("/withdraw", data=form)
    assert page.url.path == f"/p/{prediction}"
    assert "Taken back: your vote no longer counts." in page.text
    assert "Recorded as" not in (await visitor.get(f"/p/{prediction}")).text
    page = await visitor.post("/why", data=form)
    assert "Words that mattered" in page.text
    assert 'action="/ask"' not in page.text


async def test_without_script_a_vote_is_taken_back_where_one_asks(
    visitor: httpx.AsyncClient,
) -> None:
    prediction = await asked(visitor)
    page = await visitor.post("/correct", data={"prediction_id": prediction, "label": "negative"})
    assert "you: Negative" in page.text
    page = await visitor.post("/withdraw", data={"prediction_id": prediction})
    assert (page.url.path, "Taken back" in page.text) == ("/", True)
    assert "you: Negative" not in page.text
    forged = await visitor.post("/withdraw", data={"prediction_id": "x"})
    assert forged.status_code == 404


async def test_changing_the_language_stays_at_the_link(visitor: httpx.AsyncClient) -> None:
    prediction = await asked(visitor)
    page = (await visitor.get(f"/p/{prediction}")).text
    assert f'href="/p/{prediction}?lang=it"' in page
    italian = (await visitor.get(f"/p/{prediction}?lang=it")).text
    assert "Una risposta" in italian
    assert "93,0%" in italian
    after_a_form = (await visitor.post("/why", data={"prediction_id": prediction})).text
    assert 'href="/?lang=it"' in after_a_form
    at_the_page = (await visitor.get(f"/?p={prediction}")).text
    assert f'href="/?p={prediction}&amp;lang=it"' in at_the_page


async def test_the_history_leads_to_links(visitor: httpx.AsyncClient) -> None:
    prediction = await asked(visitor)
    assert f'href="/p/{prediction}"' in (await visitor.get("/parts/history")).text


async def test_waiting_is_said_with_seconds_and_what_was_written_stays(start_web: StartWeb) -> None:
    async with (
        start_web(burst_texts=1, texts_per_second=0.1, burst_votes=1, votes_per_second=0.1) as web,
        a_visitor(web) as visitor,
    ):
        prediction = await asked(visitor)
        refused = await visitor.post("/ask", data={"text": "keep my words"})
        seconds = refused.headers["retry-after"]
        assert refused.status_code == 429
        assert 1 <= int(seconds) <= 10
        assert f"Wait {seconds} s, then go on" in refused.text
        assert ">keep my words</textarea>" in refused.text
        form = {"prediction_id": prediction, "label": "neutral"}
        await visitor.post("/correct", data=form)
        refused = await visitor.post("/correct", data=form | {"note": "keep my note"})
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        assert 'value="keep my note"' in refused.text
        assert "A moment, please" in refused.text
        at_link = await visitor.post("/correct", data=form | {"note": "this", "place": "link"})
        assert (at_link.status_code, 'value="this"' in at_link.text) == (429, True)
        assert 'action="/ask"' not in at_link.text
        part = await visitor.post("/correct", data=form, headers={"x-fragment": "1"})
        assert re.search(r'role="alert" data-wait="\d+"', part.text)
