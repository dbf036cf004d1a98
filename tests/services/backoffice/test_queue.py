"""The labelling queue over HTTP: pages without scripts, and their API."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sentops_core.store.audit import Audit
from sentops_core.store.labelling import Labelling, LabellingSettings
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.tokens import ApiTokens, Role
from tests.services.backoffice.support import XSS, Backoffice, Browser
from tests.services.backoffice.test_labelling import an_answer, answered

pytestmark = pytest.mark.pg

QUEUE = "/backoffice/queue"
API = "/backoffice/api/queue"
NOW = datetime.now(UTC)


async def setting(pool: Pool, *, opinions: int = 1, gold_share: float = 0.0) -> None:
    async with transaction(pool) as connection:
        wanted = LabellingSettings(opinions, 0.0, gold_share, 15)
        await Labelling(connection).change_settings(wanted)


async def ask_about(pool: Pool, *texts: str) -> None:
    """Each is surer than the one before, so they come in this order."""
    async with transaction(pool) as connection:
        await answered(connection, [an_answer(text, 0.4 + n / 200) for n, text in enumerate(texts)])


@pytest.fixture
async def annotators(backoffice: Backoffice, pool: Pool) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two annotators and a viewer, by token."""
    clients = []
    for name, role in (("a", Role.ANNOTATOR), ("b", Role.ANNOTATOR), ("v", Role.VIEWER)):
        async with transaction(pool) as connection:
            made = await ApiTokens(connection).create(name, role, created_by="test")
        clients.append(backoffice.api(made.secret))
    yield clients
    for client in clients:
        await client.aclose()


async def test_labelling_works_by_forms_alone(admin: Browser, pool: Pool) -> None:
    await setting(pool)
    await ask_about(pool, XSS, "due")
    start = await admin.client.get(QUEUE)
    assert "Next text" in start.text
    first = await admin.send(f"{QUEUE}/next")
    address = first.headers["location"]
    page = await admin.client.get(address)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "sentiment-v1" not in page.text  # blind
    assert "40" not in re.sub(r"\d+:\d+", "", page.text.split("question")[1][:600])
    second = await admin.send(f"{address}/label", label="negative", note=XSS)
    after = await admin.client.get(second.headers["location"])
    assert "Recorded." in after.text
    assert "The model: Positive, 40.0" in after.text  # now it is shown
    assert "because the model was unsure" in after.text
    third = await admin.send(f"{second.headers['location'].split('?')[0]}/skip")
    end = await admin.client.get(third.headers["location"])
    assert "No text waits for you" in end.text
    assert "Skipped" in end.text
    back = await admin.send(f"{QUEUE}/undo")
    assert "taken back" in (await admin.client.get(back.headers["location"])).text


async def test_nothing_is_claimed_or_labelled_by_looking(admin: Browser, pool: Pool) -> None:
    await ask_about(pool, "uno")
    for path in ("", "/mine", "/adjudication", "/agreement", "/texts", "/settings"):
        assert (await admin.client.get(f"{QUEUE}{path}")).status_code == 200, path
    async with transaction(pool) as connection:
        for table in ("labelling_items", "labelling_claims", "labelling_votes"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_another_answer_is_asked_about_and_nothing_is_lost(
    admin: Browser, pool: Pool
) -> None:
    await setting(pool)
    await ask_about(pool, "uno")
    address = (await admin.send(f"{QUEUE}/next")).headers["location"]
    await admin.send(f"{address}/label", label="negative")
    stale = await admin.send(f"{address}/label", label="positive", note="I thought again")
    assert stale.status_code == 409
    assert "labelled this text as Negative already, and now as Positive" in stale.text
    assert 'value="I thought again"' in stale.text
    await admin.send(f"{address}/label", label="positive", note="I thought again", change="1")
    mine = await admin.client.get(f"{QUEUE}/mine")
    assert "Positive" in mine.text
    assert "I thought again" in mine.text


async def test_opinions_that_differ_are_decided_by_somebody_else(
    annotators: list[httpx.AsyncClient], admin: Browser, pool: Pool
) -> None:
    await setting(pool, opinions=2)
    await ask_about(pool, "uno")
    anna, bruno, viewer = annotators
    for client, label, noted in ((anna, "positive", "kept"), (bruno, "negative", "conflict")):
        item = (await client.post(f"{API}/next")).json()["item"]
        assert (item["text"], item["look"], item["model"], item["reason"], item["state"]) == (
            "uno",
            "label",
            None,
            None,
            None,
        )
        done = await client.post(f"{API}/items/{item['id']}/label", json={"label": label})
        assert (done.json()["noted"], done.json()["item"]["model"]["label"]) == (noted, "positive")
    address = f"{API}/items/{item['id']}/decide"
    assert (await anna.post(address, json={"label": "positive"})).status_code == 409
    assert (await viewer.post(address, json={"label": "positive"})).status_code == 403
    waiting = await admin.client.get(f"{QUEUE}/adjudication")
    assert "token:a" in waiting.text
    page = await admin.client.get(f"{QUEUE}/items/{item['id']}")
    assert "hidden until it is settled" in page.text
    assert "sentiment-v1" not in page.text
    decided = await admin.send(
        f"{QUEUE}/items/{item['id']}/decide", label="neutral", seen="contested"
    )
    assert decided.status_code == 303
    late = await admin.send(f"{QUEUE}/items/{item['id']}/decide", drop="1", seen="contested")
    assert (late.status_code, "Nothing was overwritten" in late.text) == (409, True)
    detail = await admin.client.get(f"{QUEUE}/items/{item['id']}")
    assert "Neutral" in detail.text
    async with transaction(pool) as connection:
        lines = await Audit(connection).newest(subject=f"labelling-item-{item['id']}")
    assert [(line.actor, line.action) for line in lines] == [
        ("admin", "labelling.decided"),
        ("token:b", "labelling.labelled"),
        ("token:a", "labelling.labelled"),
    ]
    assert lines[0].evidence["opinions"] == ["positive", "negative"]


async def test_gold_is_known_to_admins_alone(
    annotators: list[httpx.AsyncClient], api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    await setting(pool, gold_share=0.5)
    made = await admin.send(f"{QUEUE}/gold", text="Perfetto!", label="positive")
    assert "Perfetto!" in (await admin.client.get(made.headers["location"])).text
    (gold,) = (await api.get(f"{API}/items", params={"state": "gold"})).json()["items"]
    anna, _, viewer = annotators
    for client in (anna, viewer):
        assert (await client.get(f"{API}/items")).status_code == 403
        hidden = (await client.get(f"{API}/items/{gold['id']}")).json()
        assert (hidden["look"], hidden["text"], hidden["gold_label"]) == ("closed", None, None)
    await ask_about(pool, *(f"testo {n}" for n in range(25)))
    for _ in range(20):
        item = (await anna.post(f"{API}/next")).json()["item"]
        answer = await anna.post(f"{API}/items/{item['id']}/label", json={"label": "positive"})
        shown = answer.json()
        assert (shown["noted"], shown["item"]["look"]) == ("kept", "own")
        assert (shown["item"]["state"], shown["item"]["gold_label"]) == (None, None)
    (line,) = (await anna.get(f"{API}/agreement")).json()["annotators"]
    assert (line["gold"]["samples"], line["gold"]["value"]) == (1, 1.0)
    unmarked = await api.delete(f"{API}/items/{gold['id']}/gold")
    assert unmarked.json()["gold_label"] is None
    marked = await api.put(f"{API}/items/{gold['id']}/gold", json={"label": "neutral"})
    assert (marked.json()["gold_label"], marked.json()["label"]) == ("neutral", "neutral")


async def test_the_api_does_what_the_pages_do(
    annotators: list[httpx.AsyncClient], api: httpx.AsyncClient, pool: Pool
) -> None:
    await setting(pool)
    await ask_about(pool, "uno", "due")
    anna = annotators[0]
    nothing = await anna.post(f"{API}/undo")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_undo")
    first = (await anna.post(f"{API}/next")).json()
    assert first["labels"] == ["negative", "neutral", "positive"]
    item = first["item"]["id"]
    skipped = (await anna.post(f"{API}/items/{item}/skip")).json()
    assert (skipped["look"], skipped["own"]["label"]) == ("own", None)
    undone = (await anna.post(f"{API}/undo")).json()
    assert (undone["look"], undone["id"], undone["model"]) == ("label", item, None)
    await anna.post(f"{API}/items/{item}/label", json={"label": "neutral", "note": "so so"})
    again = await anna.post(f"{API}/items/{item}/label", json={"label": "positive"})
    assert (again.status_code, again.json()["code"]) == (409, "said_otherwise")
    assert again.json()["before"] == "neutral"
    wrong = await anna.post(f"{API}/items/{item}/label", json={"label": "great"})
    assert (wrong.status_code, wrong.json()["labels"]) == (
        422,
        ["negative", "neutral", "positive"],
    )
    (mine,) = (await anna.get(f"{API}/mine")).json()["answers"]
    assert (mine["label"], mine["note"], mine["model_label"]) == ("neutral", "so so", "positive")
    progress = (await anna.get(f"{API}/progress")).json()
    assert (progress["done"], progress["open"], progress["labels_today"]) == (1, 1, 1)
    changed = await api.put(
        f"{API}/settings",
        json={"opinions": 2, "random_share": 0.3, "gold_share": 0.1, "claim_minutes": 5},
    )
    assert changed.json() == (await anna.get(f"{API}/settings")).json()
    assert (await anna.put(f"{API}/settings", json=changed.json())).status_code == 403
    assert (await anna.get(f"{API}/items/{2**63 - 1}")).status_code == 404
    assert (await anna.get(f"{API}/items/{2**63}")).status_code == 422
    written = await api.post(f"{API}/gold", json={"text": "Bene", "label": "positive"})
    assert (written.status_code, written.json()["reason"]) == (201, "given")


async def test_settings_out_of_range_are_refused_in_the_reader_s_language(
    admin: Browser, pool: Pool
) -> None:
    fields = {"opinions": "2", "random_share": "20", "gold_share": "10", "claim_minutes": "15"}
    for name, value in (
        ("opinions", "0"),
        ("opinions", "²"),
        ("gold_share", "51"),
        ("random_share", "101"),
        ("claim_minutes", "x"),
    ):
        refused = await admin.client.post(
            f"{QUEUE}/settings",
            data={"csrf": await admin.csrf(), **fields, name: value},
            headers={"accept-language": "it"},
        )
        assert refused.status_code == 422
        assert "un numero intero" in refused.text
    assert (await admin.send(f"{QUEUE}/settings", **fields)).status_code == 303
    async with transaction(pool) as connection:
        kept = await Labelling(connection).settings()
    assert (kept.opinions, kept.random_share) == (2, 0.2)


async def test_viewers_look_and_do_not_label(annotators: list[httpx.AsyncClient]) -> None:
    viewer = annotators[2]
    assert (await viewer.get(QUEUE)).status_code == 200
    for path in ("next", "undo", "items/1/label", "items/1/skip", "items/1/decide"):
        assert (await viewer.post(f"{API}/{path}", json={})).status_code == 403, path
    for path in ("items/1/gold", "gold", "settings"):
        assert (await annotators[0].post(f"{QUEUE}/{path}")).status_code == 403, path


async def test_own_answers_come_in_pages(admin: Browser, pool: Pool) -> None:
    await ask_about(pool, *(f"testo {n}" for n in range(60)))
    async with transaction(pool) as connection:
        from sentops_backoffice.labelling import fill, give_label
        from sentops_core.domain.labelling import State

        await fill(connection, now=NOW, every=timedelta())
        for number, item in enumerate(await Labelling(connection).in_state(State.OPEN)):
            moment = NOW + timedelta(seconds=number)
            await give_label(connection, item.id, "admin", "neutral", now=moment)
    page = await admin.client.get(f"{QUEUE}/mine")
    older = re.search(r'href="(/backoffice/queue/mine\?before=[^"]+)"', page.text)
    assert older
    rest = await admin.client.get(older[1])
    texts = re.findall(r"testo \d+", page.text + rest.text)
    assert len(texts) == 60
    assert len(set(texts)) == 60
    of_api, before = [], ""
    while before is not None:
        found = await admin.client.get(f"{API}/mine", params={"before": before, "limit": 25})
        of_api += [one["text"] for one in found.json()["answers"]]
        before = found.json()["next"]
    assert of_api == texts
    odd = await admin.client.get(f"{API}/mine", params={"before": "yesterday"})
    assert odd.status_code == 422
    done = await admin.client.get(f"{QUEUE}/texts", params={"state": "done"})
    assert "before=" in done.text
