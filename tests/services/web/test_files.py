"""A table in, the table with answers out."""

import csv
import io

import pytest

from tests.services.web.conftest import StartWeb, Web
from tests.services.web.fakes import FakeModel, FakeTrainer


async def send(web: Web, content: bytes, **fields: str):
    return await web.client.post(
        "/api/predict/csv", files={"file": ("texts.csv", content, "text/csv")}, data=fields
    )


def read(content: bytes) -> list[dict[str, str]]:
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


async def test_each_row_comes_back_with_its_answer(web: Web) -> None:
    content = b'id;recensione\n7;"ottimo,\nprodotto"\n8;pessimo\n'
    answer = await send(web, content)
    assert answer.status_code == 200
    assert answer.headers["x-total-rows"] == "2"
    assert answer.headers["x-text-column"] == "1"
    assert answer.headers["x-answer-column"] == "2"
    assert "attachment" in answer.headers["content-disposition"]
    first, second = read(answer.content)
    assert (first["id"], first["recensione"]) == ("7", "ottimo,\nprodotto")
    assert (first["predicted"], second["predicted"]) == ("positive", "negative")
    assert first["p_positive"] == first["confidence"] == "0.9300"
    found = await web.client.get(f"/api/predictions/{first['prediction_id']}")
    assert found.json()["label"] == "positive"


async def test_five_thousand_rows_pass_in_one_go(web: Web) -> None:
    content = "text\n" + "".join(f"great number {n}\n" for n in range(5000))
    answer = await send(web, content.encode())
    rows = read(answer.content)
    assert len(rows) == 5000
    assert {row["predicted"] for row in rows} == {"positive"}
    assert len({row["prediction_id"] for row in rows}) == 5000
    assert web.parts.spool.state().rows == 5000


async def test_formulas_come_back_as_text(web: Web) -> None:
    content = b'=name,text\n@cmd,"=HYPERLINK(""http://x"")"\n-1,+1\n'
    answer = await send(web, content)
    for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    assert read(answer.content)[0]["'=name"] == "'@cmd"


async def test_an_unreadable_row_spoils_only_itself(web: Web) -> None:
    content = f'text\ngreat\n" "\n{"x" * 10_001}\nawful\n'.encode()
    rows = read((await send(web, content)).content)
    assert [row["predicted"] for row in rows] == ["positive", "", "negative"]
    assert "10,000" in rows[1]["error"]


async def test_lines_do_without_a_file(web: Web) -> None:
    answer = await web.client.post("/api/predict/csv", data={"lines": "great\n\nawful\n"})
    assert [row["predicted"] for row in read(answer.content)] == ["positive", "negative"]


async def test_a_table_with_unclear_columns_lists_them(web: Web) -> None:
    refused = await send(web, b"a,b\n1,great\n2,awful\n")
    assert (refused.status_code, refused.json()["code"]) == (422, "table_columns")
    assert refused.json()["columns"] == ["a", "b"]
    accepted = await send(web, b"a,b\n1,great\n2,awful\n", column="b")
    assert [row["predicted"] for row in read(accepted.content)] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "table_empty"),
        (b"PK\x03\x04....", 415, "unsupported_format"),
        (b"text\n" + b"a\n" * 20_001, 413, "table_too_long"),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused(
    web: Web, content: bytes, status: int, code: str
) -> None:
    refused = await send(web, content)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_nothing_sent_is_refused(web: Web) -> None:
    refused = await web.client.post("/api/predict/csv", data={"lines": " "})
    assert refused.json()["code"] == "table_empty"


async def test_without_a_model_the_file_is_refused_and_not_half_answered(
    start_web: StartWeb, trainer: FakeTrainer
) -> None:
    trainer.route()
    async with start_web() as web:
        refused = await send(web, b"text\ngreat\n")
    assert (refused.status_code, refused.json()["code"]) == (503, "no_model")


async def test_a_model_that_stumbles_midway_is_asked_again(web: Web, model: FakeModel) -> None:
    answer_well = model.answer
    calls = {"count": 0}

    def stumble(text: str):
        calls["count"] += 1
        if 40 <= calls["count"] <= 41:
            raise RuntimeError("stumbled")
        return answer_well(text)

    model.answer = stumble  # type: ignore[method-assign]
    content = "text\n" + "great\n" * 100
    rows = read((await send(web, content.encode())).content)
    assert [row["predicted"] for row in rows] == ["positive"] * 100
