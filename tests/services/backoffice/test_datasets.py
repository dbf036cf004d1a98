"""Datasets over HTTP: uploads good and bad, versions from feedback, and texts that try to be code."""

import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import openpyxl
import pytest
from uuid_utils import uuid7

from sentops_core.domain.text import content_hash
from sentops_core.store.feedback import Feedback, FeedbackRow
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions, moment_of
from tests.services.backoffice.support import XSS, Backoffice, Browser, labelled_csv

pytestmark = pytest.mark.pg

DATASETS = "/backoffice/api/datasets"


async def upload(
    client: httpx.AsyncClient, content: bytes, filename: str = "texts.csv", **fields: str
) -> httpx.Response:
    return await client.post(DATASETS, files={"file": (filename, content)}, data=fields)


async def test_an_upload_makes_a_version_and_says_what_became_of_each_row(
    api: httpx.AsyncClient,
) -> None:
    answer = await upload(
        api, labelled_csv(extra="no label,\n"), name="mine", origin="by hand", licence="CC0"
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["version"], made["name"], made["created"]) == ("v1", "mine", True)
    assert made["rows_train"] + made["rows_holdout"] == 100
    refused = made["report"]["file"]["refused"]
    assert refused["by_reason"] == {"missing_label": 1}
    assert refused["first"][0] == {
        "row": 102,
        "row_id": "",
        "reason": "missing_label",
        "message": "the label is missing",
        "facts": {},
    }
    detail = (await api.get(f"{DATASETS}/v1")).json()
    assert (detail["origin"], detail["licence"]) == ("by hand", "CC0")
    assert detail["report"] == json.loads(json.dumps(made["report"]))
    (listed,) = (await api.get(DATASETS)).json()["datasets"]
    assert listed["version"] == "v1"


async def test_the_same_upload_again_is_the_same_version(api: httpx.AsyncClient) -> None:
    await upload(api, labelled_csv())
    again = await upload(api, labelled_csv())
    assert (again.status_code, again.json()["version"], again.json()["created"]) == (
        200,
        "v1",
        False,
    )


async def test_columns_and_labels_can_be_said(api: httpx.AsyncClient) -> None:
    content = labelled_csv().decode().replace("text,label", "frase,umore")
    content = content.replace("positive", "bello").replace("negative", "brutto")
    answer = await upload(
        api,
        content.encode(),
        text_column="frase",
        label_column="umore",
        label_map='{"bello": "positive", "brutto": "negative"}',
    )
    assert answer.status_code == 201, answer.text
    assert set(answer.json()["label_counts"]) == {"negative", "neutral", "positive"}


async def test_rows_come_in_pages(api: httpx.AsyncClient) -> None:
    await upload(api, labelled_csv())
    first = (await api.get(f"{DATASETS}/v1/rows", params={"limit": 70})).json()
    rest = (
        await api.get(f"{DATASETS}/v1/rows", params={"limit": 70, "after": first["next"]})
    ).json()
    assert (len(first["rows"]), len(rest["rows"]), rest["next"]) == (70, 30, None)
    assert (await api.get(f"{DATASETS}/v1/rows", params={"after": "zz"})).status_code == 422


async def test_a_workbook_is_read_as_well(api: httpx.AsyncClient) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for line in labelled_csv().decode().splitlines():
        sheet.append(line.split(","))
    content = io.BytesIO()
    book.save(content)
    answer = await upload(api, content.getvalue(), "texts.xlsx")
    assert (answer.status_code, answer.json()["report"]["file"]["format"]) == (201, "xlsx")


BAD_UPLOADS: list[tuple[bytes, str, dict[str, str], int, str]] = [
    (b"", "x.csv", {}, 422, "empty"),
    (b"text,label\n", "x.csv", {}, 422, "no rows"),
    (b"\x89PNG\r\n\x1a\n" + bytes(900), "x.csv", {}, 415, "a picture"),
    (b"text,label\na,pos\n", "x.docx", {}, 415, "send .csv"),
    (labelled_csv(3), "x.csv", {}, 422, "at least 20"),
    (
        b"text,label\n" + b"".join(b"t%d,pos\n" % n for n in range(100)),
        "x.csv",
        {},
        422,
        "are positive",
    ),
    (b"text,label\n" + b"same,pos\n" * 100, "x.csv", {}, 422, "All 1 rows are positive"),
    (b"text,label\na,buono\n", "x.csv", {}, 422, "1 unknown label"),
    (labelled_csv(), "x.csv", {"text_column": "nope"}, 422, "text_column names 'nope'"),
    (labelled_csv(), "x.csv", {"label_map": "{broken"}, 422, "label_map: write it as JSON"),
    (labelled_csv(), "x.csv", {"label_map": '{"a": "Not A Label!"}'}, 422, "label_map"),
    (labelled_csv(), "x.csv", {"parent": "v9"}, 404, "v9"),
    (labelled_csv(), "x.csv", {"name": "Not a name"}, 422, "name"),
    (labelled_csv(), "x.csv", {"colour": "red"}, 422, "colour"),
]


async def test_a_bad_upload_gets_a_sentence_and_leaves_nothing(
    api: httpx.AsyncClient, backoffice: Backoffice
) -> None:
    for content, filename, fields, status, sentence in BAD_UPLOADS:
        answer = await upload(api, content, filename, **fields)
        assert answer.status_code == status, (sentence, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert sentence in answer.json()["detail"]
    assert (await api.get(DATASETS)).json() == {"datasets": []}
    assert not backoffice.store.exists()


async def test_a_file_of_which_nothing_can_be_used_comes_back_with_the_report(
    api: httpx.AsyncClient,
) -> None:
    answer = await upload(api, b"text,label\na,buono\n")
    assert answer.json()["report"]["refused"]["first"][0]["reason"] == "unknown_label"


async def test_what_is_no_form_with_a_file_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.post(DATASETS, json={"file": "x"})).status_code == 415
    empty = await api.post(DATASETS, files={"other": ("x.csv", b"a")})
    assert (empty.status_code, "field 'file'" in empty.json()["detail"]) == (422, True)
    broken = await api.post(
        DATASETS, content=b"garbage", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code in {400, 422}


async def test_an_upload_that_is_too_large_is_refused(api: httpx.AsyncClient) -> None:
    assert (await upload(api, b"x" * 350_000)).status_code == 413
    assert (await upload(api, b"x" * 600_000)).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 10_000

    headers = {"content-type": "multipart/form-data; boundary=x"}
    unannounced = await api.post(DATASETS, content=endless(), headers=headers)
    assert unannounced.status_code == 413


async def test_other_bodies_are_small(api: httpx.AsyncClient) -> None:
    answer = await api.post("/backoffice/api/train", json={"base": "x" * 300_000})
    assert answer.status_code == 413


async def corrected(pool: Pool, text: str, label: str, client: str = "anna") -> UUID:
    made = UUID(str(uuid7()))
    at = moment_of(made)
    prediction = PredictionRow(
        made,
        at,
        client,
        text,
        content_hash(text),
        "negative",
        0.9,
        {},
        "it",
        False,
        "champion",
        "m-1",
        "sha256:0",
    )
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in([prediction])
        vote = FeedbackRow(
            made, client, label, UUID(str(uuid7())), at + timedelta(seconds=1), at, note=XSS
        )
        await Feedback(connection).upsert_many([vote])
    return made


async def test_a_correction_is_in_the_next_version(api: httpx.AsyncClient, pool: Pool) -> None:
    await upload(api, labelled_csv())
    await corrected(pool, "Non male, anzi", "positive")
    answer = await api.post(f"{DATASETS}/from-feedback")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["parent"], answer.json()["report"]["added"]) == ("v1", 1)
    rows = (
        await api.get(f"{DATASETS}/{answer.json()['version']}/rows", params={"limit": 1000})
    ).json()["rows"]
    (row,) = [row for row in rows if row["text"] == "Non male, anzi"]
    assert (row["label"], row["source"], row["annotator"]) == ("positive", "feedback", "anna")


async def test_without_feedback_nothing_is_built(api: httpx.AsyncClient) -> None:
    answer = await api.post(f"{DATASETS}/from-feedback", json={})
    assert (answer.status_code, "no feedback" in answer.json()["detail"]) == (422, True)
    assert (await api.post(f"{DATASETS}/from-feedback", json={"colour": 1})).status_code == 422


async def test_texts_and_notes_that_try_to_be_code_are_shown_as_text(
    api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    fields = {"description": XSS, "origin": XSS, "licence": XSS}
    first = await upload(
        api, labelled_csv(extra=f'{XSS},positive\n"{XSS} no label",\nx,{XSS}\n'), **fields
    )
    assert first.status_code == 201, first.text
    prediction = await corrected(pool, f"Corretto {XSS}", "positive", client=XSS)
    second = (await api.post(f"{DATASETS}/from-feedback")).json()
    for path in (
        "index",
        "audit",
        "datasets",
        "datasets/v1",
        "datasets/v1/rows?search=script",
        "datasets/v1/near-duplicates",
        f"datasets/{second['version']}",
        f"datasets/{second['version']}/diff",
    ):
        page = (await admin.client.get(f"/backoffice/{path}")).text
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
    assert "&lt;script&gt;alert" in (await admin.client.get("/backoffice/datasets/v1")).text
    rows = (await admin.client.get("/backoffice/datasets/v1/rows?search=script")).text
    assert "&lt;script&gt;alert" in rows
    lineage = await api.get(f"/backoffice/api/lineage/{prediction.hex}-0123456789abcdef")
    assert lineage.headers["content-type"] == "application/json"
    assert lineage.json()["votes"][0]["note"] == XSS


async def test_a_page_that_does_not_exist_says_so_without_echoing_code(admin: Browser) -> None:
    page = await admin.client.get(f"/backoffice/datasets/{XSS.replace('/', '')}")
    assert page.status_code == 404
    assert "<script>" not in page.text


async def test_an_upload_from_the_page_leads_to_a_preview_and_then_to_the_version(
    admin: Browser,
) -> None:
    csrf = await admin.csrf()
    answer = await admin.client.post(
        "/backoffice/datasets/uploads",
        files={"file": ("texts.csv", labelled_csv(extra="no label,\n"))},
        data={"csrf": csrf},
    )
    assert answer.status_code == 303, answer.text
    upload = answer.headers["location"]
    preview = (await admin.client.get(upload)).text
    assert "100 of 101 rows can be used" in preview
    assert (await admin.client.get("/backoffice/api/datasets")).json() == {"datasets": []}
    made = await admin.send(f"{upload}/confirm", text_column="0", label_column="1")
    assert made.headers["location"] == "/backoffice/datasets/v1?done=dataset_made", made.text
    page = (await admin.client.get("/backoffice/datasets/v1")).text
    assert "the label is missing" in page
    assert "numero 7" in (await admin.client.get("/backoffice/datasets/v1/rows?search=RO 7")).text
    bad = await admin.client.post(
        "/backoffice/datasets/uploads", files={"file": ("x.csv", b"")}, data={"csrf": csrf}
    )
    assert (bad.status_code, "The file is empty" in bad.text) == (422, True)
    assert bad.headers["content-type"].startswith("text/html")


async def test_who_made_it_is_written_down(api: httpx.AsyncClient) -> None:
    await upload(api, labelled_csv())
    (line,) = (await api.get("/backoffice/api/audit", params={"subject": "v1"})).json()["lines"]
    assert (line["actor"], line["action"]) == ("api", "dataset_version.created")
    assert line["evidence"]["rows_train"] > 0
