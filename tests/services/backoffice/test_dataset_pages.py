"""Versions, their rows, edits, comparisons and files, on pages and for programs."""

import io
import json

import httpx
import pyarrow.parquet as pq
import pytest

from sentops_core.store.pool import Pool, transaction
from tests.services.backoffice.support import Backoffice, Browser, labelled_csv
from tests.services.backoffice.test_access import an_account

pytestmark = pytest.mark.pg

API = "/backoffice/api/datasets"
PAGES = "/backoffice/datasets"


async def upload(client: httpx.AsyncClient, content: bytes, **fields: str) -> dict[str, object]:
    answer = await client.post(API, files={"file": ("texts.csv", content)}, data=fields)
    assert answer.status_code in {200, 201}, answer.text
    made: dict[str, object] = answer.json()
    return made


@pytest.fixture
async def two_versions(api: httpx.AsyncClient) -> httpx.AsyncClient:
    await upload(api, labelled_csv(100))
    await upload(api, labelled_csv(120, extra="=1+1 è una formula ma non un fatto,positive\n"))
    return api


async def rows_of(api: httpx.AsyncClient, version: str, **query: object) -> list[dict[str, str]]:
    answer = await api.get(f"{API}/{version}/rows", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, str]] = answer.json()["rows"]
    return rows


async def test_the_list_says_what_versions_are_made_of(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    page = (await admin.client.get(PAGES)).text
    assert page.index("/backoffice/datasets/v2") < page.index("/backoffice/datasets/v1")
    for said in ("reviews", "Italian", "Positive", ">api<", "UTC"):
        assert said in page
    assert 'href="/backoffice/datasets"' in page  # in the menu


async def test_a_version_says_how_it_was_made_and_what_it_is_like(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    page = (await admin.client.get(f"{PAGES}/v2")).text
    for said in ("Rows of the version before", "21–50", "Near-duplicates", "Upload to reviews"):
        assert said in page, said
    detail = (await two_versions.get(f"{API}/v2")).json()
    assert (
        sum(detail["profile"]["lengths"]["counts"]) == detail["rows_train"] + detail["rows_holdout"]
    )
    assert detail["profile"]["near_duplicates"]["count"] == 0
    assert detail["edits_waiting"] == 0


async def test_a_version_of_older_programs_is_described_as_well(
    two_versions: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    async with transaction(pool) as connection:
        await connection.execute("UPDATE dataset_versions SET report = report - 'profile'")
    profile = (await two_versions.get(f"{API}/v1")).json()["profile"]
    assert sum(profile["languages"].values()) == 100
    assert profile["near_duplicates"]["count"] is None
    assert "Nobody looked for them" in (await admin.client.get(f"{PAGES}/v1")).text
    assert (await admin.client.get(f"{PAGES}/v1/near-duplicates")).status_code == 200


async def test_rows_are_searched_and_filtered_alike_by_pages_and_programs(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    for query, count in (
        ({"search": "NUMERO 11"}, 11),  # 11, 110 to 119
        ({"search": "NUMERO 11", "label": "positive"}, 5),
        ({"search": "formula"}, 1),
        ({"search": "%"}, 0),
        ({"language": "-"}, None),
    ):
        rows = await rows_of(two_versions, "v2", limit=1000, **query)
        if count is not None:
            assert len(rows) == count, query
        page = (await admin.client.get(f"{PAGES}/v2/rows", params=query)).text
        assert page.count("/rows/") >= min(len(rows), 100), query
    both = {
        side: {
            row["content_hash"] for row in await rows_of(two_versions, "v2", side=side, limit=1000)
        }
        for side in ("train", "holdout")
    }
    assert not both["train"] & both["holdout"]
    assert sum(map(len, both.values())) == len(await rows_of(two_versions, "v2", limit=1000))


async def test_pages_of_rows_keep_what_was_asked(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    page = (
        await admin.client.get(f"{PAGES}/v2/rows", params={"search": "numero", "side": ""})
    ).text
    assert f"{PAGES}/v2/rows?search=numero&amp;after=" in page
    last = page.split("after=")[1][:64]
    rest = (await admin.client.get(f"{PAGES}/v2/rows?search=numero&after={last}")).text
    assert "First page" in rest
    assert "after=" not in rest.split("<main")[1]


@pytest.mark.parametrize(
    "query", ["after=zz", "side=left", "changed=perhaps", "search=" + "x" * 201, "search=%00"]
)
async def test_an_address_that_was_made_up_is_no_error_of_ours(
    two_versions: httpx.AsyncClient, admin: Browser, query: str
) -> None:
    for path in (f"{PAGES}/v2/rows?{query}", f"{API}/v2/rows?{query}"):
        assert (await admin.client.get(path)).status_code == 422, path
    for path in ("v2/rows/zz", "v2/rows/" + "0" * 64, "v9", "v9/diff", "v2/diff?from=v9"):
        assert (await admin.client.get(f"{PAGES}/{path}")).status_code == 404, path


async def a_row(api: httpx.AsyncClient) -> dict[str, str]:
    (row,) = await rows_of(api, "v1", search="numero 33")
    return row


async def test_a_label_is_changed_with_its_reason_and_reaches_the_next_version(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    row = await a_row(two_versions)
    address = f"{PAGES}/v2/rows/{row['content_hash']}"
    page = (await admin.client.get(address)).text
    assert "The next version built takes the change in" in page
    before, after = row["label"], "positive" if row["label"] != "positive" else "negative"
    answer = await admin.send(f"{address}/label", label=after, seen=before, reason="<b>ironia</b>")
    assert answer.headers["location"] == f"{address}?done=label_edited"
    page = (await admin.client.get(address)).text
    assert "&lt;b&gt;ironia&lt;/b&gt;" in page
    assert ">admin<" in page
    for path in (PAGES, f"{PAGES}/v2"):
        waiting = (await admin.client.get(path)).text
        assert "since v2 was built: 1." in waiting
        assert f"{PAGES}/v2/rows?changed=true" in waiting
    assert [one["label_now"] for one in await rows_of(two_versions, "v2", changed=True)] == [after]
    made = await admin.send(f"{PAGES}/from-edits")
    assert made.headers["location"] == f"{PAGES}/v3?done=dataset_made", made.text
    told = (await two_versions.get(f"{API}/v3/rows/{row['content_hash']}")).json()
    assert (told["label"], told["source"]) == (after, "edited")
    assert [one["version"] for one in told["versions"]] == ["v3", "v2", "v1"]
    assert [(one["actor"], one["reason"]) for one in told["changes"]] == [
        ("admin", ""),
        ("admin", "<b>ironia</b>"),
    ]
    diff = (await two_versions.get(f"{API}/v3/diff/v2")).json()
    assert (diff["added"], diff["removed"], diff["relabelled"]) == (0, 0, 1)
    page = (await admin.client.get(f"{PAGES}/v3/diff?kind=relabelled")).text
    assert "numero 33" in page
    audit = (
        await two_versions.get("/backoffice/api/audit", params={"subject": row["content_hash"]})
    ).json()["lines"]
    assert {line["action"] for line in audit} == {"example.edited", "example.relabelled"}


async def test_programs_change_labels_as_well(two_versions: httpx.AsyncClient) -> None:
    row = await a_row(two_versions)
    address = f"{API}/v2/rows/{row['content_hash']}/label"
    edit = {"label": "neutral", "seen": row["label"], "reason": "chi lo sa"}
    if row["label"] == "neutral":
        edit["label"] = "positive"
    answer = await two_versions.put(address, json=edit)
    assert (answer.status_code, answer.json()["label_now"]) == (200, edit["label"])
    assert answer.json()["changes"][0]["reason"] == "chi lo sa"
    stale = await two_versions.put(address, json=edit)
    assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
    for wrong in ({"label": "furious"}, {"reason": ""}, {"reason": "x" * 501}):
        answer = await two_versions.put(address, json=edit | {"seen": edit["label"]} | wrong)
        assert answer.status_code == 422, wrong
    made = await two_versions.post(f"{API}/from-edits", json={"parent": "v1"})
    assert (made.status_code, made.json()["report"]["edited"]) == (201, 1)
    again = await two_versions.post(f"{API}/from-edits", json={"parent": made.json()["version"]})
    assert again.status_code == 422


async def test_two_people_do_not_overwrite_each_other_unseen(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    row = await a_row(two_versions)
    address = f"{PAGES}/v2/rows/{row['content_hash']}"
    others = [label for label in ("negative", "neutral", "positive") if label != row["label"]]
    first = await admin.send(f"{address}/label", label=others[0], seen=row["label"], reason="io")
    assert first.status_code == 303
    second = await admin.send(
        f"{address}/label", label=others[1], seen=row["label"], reason="anch’io"
    )
    assert (second.status_code, "meanwhile" in second.text) == (409, True)
    assert 'value="anch’io"' in second.text  # nothing typed is lost
    for fields in ({"label": others[1]}, {"label": "furious", "reason": "x"}):
        wrong = await admin.send(f"{address}/label", seen=others[0], **fields)
        assert wrong.status_code == 422


async def test_a_viewer_sees_all_of_it_and_changes_nothing(
    two_versions: httpx.AsyncClient, admin: Browser, backoffice: Backoffice
) -> None:
    viewer = await an_account(admin, backoffice, "viewer")
    row = await a_row(two_versions)
    address = f"{PAGES}/v2/rows/{row['content_hash']}"
    for path in (PAGES, f"{PAGES}/v2", f"{PAGES}/v2/rows", address, f"{PAGES}/v2/diff"):
        page = await viewer.client.get(path)
        assert page.status_code == 200
        main = page.text.split("<main")[1]
        assert 'method="post"' not in main, path
    for path in (f"{address}/label", f"{PAGES}/from-edits", f"{PAGES}/uploads"):
        assert (await viewer.send(path)).status_code == 403
    assert (await viewer.client.get(f"{PAGES}/new")).status_code == 403
    await viewer.client.aclose()


async def test_an_export_holds_every_row_and_no_formula(
    two_versions: httpx.AsyncClient, admin: Browser
) -> None:
    rows = await rows_of(two_versions, "v2", limit=1000)
    texts = {row["text"] for row in rows}
    answer = await admin.client.get(f"{PAGES}/v2/export?format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="reviews-v2.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert ",'=1+1 è una formula" in answer.text
    again = await upload(two_versions, answer.content)
    assert (again["version"], again["created"]) == ("v2", False)  # nothing was lost on the way
    jsonl = await two_versions.get(f"{API}/v2/export", params={"format": "jsonl"})
    assert {json.loads(line)["text"] for line in jsonl.text.splitlines()} == texts
    parquet = await two_versions.get(f"{API}/v2/export", params={"format": "parquet"})
    table = pq.read_table(io.BytesIO(parquet.content))
    assert set(table.column("text").to_pylist()) == texts
    assert (await admin.client.get(f"{PAGES}/v9/export")).status_code == 404
    assert (await two_versions.get(f"{API}/v2/export?format=exe")).status_code == 422


async def test_a_long_export_is_sent_in_pieces(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentops_backoffice import dataset_operations

    await upload(api, labelled_csv(100))
    monkeypatch.setattr(dataset_operations, "_EXPORTED_AT_ONCE", 7)
    answer = await api.get(f"{API}/v1/export", params={"format": "jsonl"})
    assert len({json.loads(line)["content_hash"] for line in answer.text.splitlines()}) == 100


async def test_the_first_version_has_nothing_to_be_compared_with(
    api: httpx.AsyncClient, admin: Browser
) -> None:
    await upload(api, labelled_csv(100))
    page = (await admin.client.get(f"{PAGES}/v1/diff")).text
    assert "There is no other version" in page


async def test_differences_come_by_kind_and_in_pages(two_versions: httpx.AsyncClient) -> None:
    counts = (await two_versions.get(f"{API}/v2/diff/v1")).json()
    assert (counts["added"], counts["removed"], counts["same"]) == (21, 0, 100)
    query: dict[str, object] = {"kind": "added", "limit": 20}
    first = (await two_versions.get(f"{API}/v2/diff/v1/rows", params=query)).json()  # type: ignore[arg-type]
    query["after"] = first["next"]
    rest = (await two_versions.get(f"{API}/v2/diff/v1/rows", params=query)).json()  # type: ignore[arg-type]
    assert (len(first["rows"]), len(rest["rows"]), rest["next"]) == (20, 1, None)
    back = (await two_versions.get(f"{API}/v1/diff/v2")).json()
    assert (back["added"], back["removed"]) == (0, 21)


async def test_an_empty_list_says_what_to_do(admin: Browser) -> None:
    page = (await admin.client.get(PAGES)).text
    assert "There is no dataset yet" in page
    built = await admin.send(f"{PAGES}/from-edits")
    assert (built.status_code, "no dataset yet" in built.text) == (422, True)


async def test_the_api_is_described_with_examples(api: httpx.AsyncClient) -> None:
    described = (await api.get("/openapi.json")).json()["paths"]
    ours = {
        (method, path): operation
        for path, operations in described.items()
        if path.startswith(API)
        for method, operation in operations.items()
    }
    assert len(ours) >= 17
    for place, operation in ours.items():
        assert operation["summary"], place
        for body in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in body or "examples" in body, place
