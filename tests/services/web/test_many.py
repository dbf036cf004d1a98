"""Many texts by a plain form: the table comes back, and what is wrong is said on the page."""

import httpx
import pytest

from tests.services.web.conftest import StartWeb, Web, a_visitor


async def test_lines_come_back_as_a_table(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/many", data={"lines": "great\n=awful()"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert "'=awful()" in answer.text
    assert "great" in (await visitor.get("/parts/history")).text, "they are the visitor's own"


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "There are no texts in it."), ("it", "Non contiene testi.")],
)
async def test_nothing_sent_is_said_on_the_page(web: Web, language: str, words: str) -> None:
    async with a_visitor(web, language) as visitor:
        page = await visitor.post("/many", data={"lines": "  "}, files={"file": ("", b"")})
    assert page.status_code == 422
    assert words in page.text


async def test_an_unclear_column_can_be_chosen_on_the_page(visitor: httpx.AsyncClient) -> None:
    files = {"file": ("odd.csv", b"first,<script>\n1,great\n2,awful\n")}
    page = await visitor.post("/many", files=files)
    assert page.status_code == 422
    assert '<option value="first">first</option>' in page.text
    assert '<option value="&lt;script&gt;">' in page.text
    answer = await visitor.post("/many", data={"column": "<script>"}, files=files)
    assert answer.status_code == 200


async def test_too_much_at_once_keeps_the_lines_and_says_how_long(start_web: StartWeb) -> None:
    async with start_web(burst_texts=2, texts_per_second=0.05) as web, a_visitor(web) as visitor:
        await visitor.post("/many", data={"lines": "great\nawful"})
        page = await visitor.post("/many", data={"lines": "keep these"})
    assert (page.status_code, page.headers["retry-after"]) == (429, "20")
    assert ">keep these</textarea>" in page.text
    assert "Wait 20 s" in page.text


async def test_without_a_model_it_is_said_on_the_page(web: Web, trainer, visitor) -> None:
    trainer.route()
    await web.parts.routing.refresh()
    page = await visitor.post("/many", data={"lines": "keep these"})
    assert page.status_code == 503
    assert ">keep these</textarea>" in page.text


async def test_the_table_is_sent_row_by_row_and_so_uncompressed(visitor: httpx.AsyncClient) -> None:
    for path in ("/many", "/api/predict/csv"):
        answer = await visitor.post(
            path, data={"lines": "great\n" * 200}, headers={"accept-encoding": "gzip"}
        )
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
