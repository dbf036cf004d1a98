"""The feedback inbox over HTTP: judging votes and their sources, and what then counts."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from sentops_backoffice.labelling import fill, give_label
from sentops_core.datasets.building import BuildRequest, build_from_feedback, build_from_file
from sentops_core.datasets.reading import read_file
from sentops_core.domain.labelling import State
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import Datasets
from sentops_core.store.feedback import Feedback, FeedbackRow, VersionVotes
from sentops_core.store.labelling import Labelling
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow
from tests.services.backoffice.support import XSS, Browser
from tests.services.backoffice.test_labelling import an_answer, answered, in_italian
from tests.support.candidates import some_candidates
from tests.support.rows import a_vote

pytestmark = pytest.mark.pg

INBOX = "/backoffice/feedback"
API = "/backoffice/api/feedback"


async def voted(
    pool: Pool, votes: Sequence[tuple[PredictionRow, str, dict[str, object]]]
) -> list[FeedbackRow]:
    rows = [a_vote(prediction, label, **fields) for prediction, label, fields in votes]
    async with transaction(pool) as connection:
        await answered(connection, list({row.id: row for row, _, _ in votes}.values()))
        await Feedback(connection).upsert_many(rows)
    return rows


async def status_of(pool: Pool, vote: FeedbackRow) -> tuple[str, str | None, str | None]:
    async with transaction(pool) as connection:
        row = await connection.fetchrow(
            "SELECT status, corrected_label, reviewed_by FROM feedback WHERE vote_id = $1",
            vote.vote_id,
        )
        assert row
        return tuple(row)


async def quality(pool: Pool) -> list[VersionVotes]:
    async with transaction(pool) as connection:
        return await Feedback(connection).by_version(datetime.now(UTC) - timedelta(days=1))


async def test_votes_are_accepted_refused_and_set_right_one_by_one(
    admin: Browser, pool: Pool
) -> None:
    first, second, third = await voted(
        pool, [(an_answer(text), "negative", {}) for text in ("uno", "due", "tre")]
    )
    assert [(one.votes, one.right) for one in await quality(pool)] == [(3, 0)]
    for vote, action in (
        (first, "accepted"),
        (second, "refused"),
        (third, "corrected-positive"),
    ):
        answer = await admin.send(
            f"{INBOX}/review", one=f"{action}:{vote.vote_id}", back="status=new"
        )
        assert answer.headers["location"].endswith("status=new")
    assert await status_of(pool, first) == ("accepted", None, "admin")
    assert await status_of(pool, second) == ("refused", None, "admin")
    assert await status_of(pool, third) == ("refused", "positive", "admin")
    # The refused one is out; the one set right counts as what staff said.
    assert [(one.votes, one.right) for one in await quality(pool)] == [(2, 1)]
    await admin.send(f"{INBOX}/review", one=f"new:{third.vote_id}")
    assert await status_of(pool, third) == ("new", None, None)
    async with transaction(pool) as connection:
        lines = await Audit(connection).newest(subject=str(third.prediction_id))
    assert [(line.action, line.evidence["before"]) for line in lines] == [
        ("feedback.reopened", "corrected to positive"),
        ("feedback.corrected", "new"),
    ]


async def test_setting_right_to_what_the_client_said_is_accepting_it(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    (vote,) = await voted(pool, [(an_answer("uno"), "negative", {})])
    body = {"votes": [str(vote.vote_id)], "review": "corrected", "label": "negative"}
    assert (await api.post(f"{API}/review", json=body)).json()["done"] == [str(vote.vote_id)]
    assert await status_of(pool, vote) == ("accepted", None, "api")


async def test_many_votes_are_judged_at_once(admin: Browser, pool: Pool) -> None:
    votes = await voted(
        pool, [(an_answer(f"testo {n}"), "negative", {"after": n + 1}) for n in range(60)]
    )
    page = await admin.client.get(INBOX)
    shown = re.findall(r'name="vote" value="([^"]+)"', page.text)
    assert shown == [str(vote.vote_id) for vote in reversed(votes)][:50]
    csrf = await admin.csrf()
    answer = await admin.client.post(
        f"{INBOX}/review", data={"csrf": csrf, "action": "refused", "vote": shown}
    )
    assert answer.status_code == 303, answer.text
    assert "count no more" in (await admin.client.get(answer.headers["location"])).text
    counts = re.findall(r"<strong>(\d+)</strong>", page.text)
    assert counts[:4] == ["60", "0", "0", "0"]
    older = re.search(r'href="(/backoffice/feedback\?[^"]*before=[^"]+)"', page.text)
    assert older
    rest = await admin.client.get(older[1].replace("&amp;", "&"))
    assert len(re.findall('name="vote" value=', rest.text)) == 10


async def test_a_vote_replaced_meanwhile_is_left_alone_and_said(
    api: httpx.AsyncClient, admin: Browser, pool: Pool
) -> None:
    answer = an_answer("uno")
    old, other = await voted(pool, [(answer, "negative", {}), (an_answer("due"), "negative", {})])
    (new,) = await voted(pool, [(answer, "neutral", {"after": 90})])
    done = await api.post(
        f"{API}/review",
        json={"votes": [str(old.vote_id), str(other.vote_id)], "review": "refused"},
    )
    assert (done.json()["done"], done.json()["replaced"]) == ([str(other.vote_id)], 1)
    assert (await status_of(pool, new))[0] == "new"
    alone = await admin.send(f"{INBOX}/review", one=f"refused:{old.vote_id}")
    assert (alone.status_code, "changed or erased meanwhile" in alone.text) == (404, True)


async def test_bad_reviews_say_what_to_change(admin: Browser, pool: Pool) -> None:
    (vote,) = await voted(pool, [(an_answer("uno"), "negative", {})])
    for fields, sentence in (
        ({}, "Choose what to do"),
        ({"action": "refused"}, "at least one vote"),
        ({"one": "refused:x"}, "named wrongly"),
        ({"one": f"corrected-great:{vote.vote_id}"}, "not a label"),
        ({"one": f"corrected:{vote.vote_id}"}, "not a label"),
        ({"one": f"deleted:{vote.vote_id}"}, "Choose what to do"),
    ):
        refused = await admin.send(f"{INBOX}/review", **fields)
        assert (refused.status_code, sentence in refused.text) == (422, True), fields
    assert (await status_of(pool, vote))[0] == "new"


async def test_the_inbox_is_filtered_by_what_staff_look_for(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    await voted(
        pool,
        [
            (an_answer("conferma"), "positive", {}),
            (an_answer("contraddice"), "negative", {"client": "c-1"}),
            (an_answer("altra", model_version="sentiment-v2"), "neutral", {"source": "api"}),
        ],
    )

    async def texts(**query: str) -> set[str]:
        answer = await api.get(API, params=query)
        assert answer.status_code == 200, answer.text
        return {vote["text"] for vote in answer.json()["votes"]}

    assert await texts() == {"conferma", "contraddice", "altra"}
    assert await texts(differs="yes") == {"contraddice", "altra"}
    assert await texts(differs="no") == {"conferma"}
    assert await texts(label="negative") == {"contraddice"}
    assert await texts(version="sentiment-v2") == {"altra"}
    assert await texts(client="c-1") == {"contraddice"}
    assert await texts(source="api") == {"altra"}
    assert await texts(status="refused") == set()
    assert (await api.get(API, params={"status": "x"})).status_code == 422
    assert (await api.get(f"{API}/counts")).json() == {
        "new": 3,
        "accepted": 0,
        "refused": 0,
        "corrected": 0,
    }


async def test_what_users_wrote_is_text_and_nothing_else(admin: Browser, pool: Pool) -> None:
    await voted(pool, [(an_answer(XSS), "negative", {"note": XSS, "client": XSS, "source": XSS})])
    for path in (INBOX, f"{INBOX}/sources", f"{INBOX}?client=%3Cscript%3E"):
        page = await admin.client.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
    confirm = await admin.client.get(f"{INBOX}/quarantine", params={"kind": "client", "name": XSS})
    assert "<script>alert" not in confirm.text
    assert "1 votes" in confirm.text


async def test_a_quarantined_source_counts_nowhere_until_it_is_released(
    admin: Browser, api: httpx.AsyncClient, pool: Pool, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    rows = "".join(f"{one.text},{one.label}\n" for one in some_candidates(100))
    path.write_text(f"text,label\n{rows}")
    request = BuildRequest(store_uri=(tmp_path / "store").as_uri(), actor="ada")
    await build_from_file(pool, read_file(path, "x.csv"), request, detect_language=in_italian)
    await voted(
        pool,
        [
            (an_answer("detto da un troll"), "negative", {"client": "troll"}),
            (an_answer("detto da anna"), "negative", {"client": "anna"}),
        ],
    )
    held = await admin.send(
        f"{INBOX}/quarantine", kind="client", name="troll", note="always negative"
    )
    assert held.headers["location"].startswith(f"{INBOX}/sources")
    page = await admin.client.get(f"{INBOX}/sources")
    assert "always negative" in page.text
    assert [(one.votes, one.right) for one in await quality(pool)] == [(1, 0)]

    async def labelled() -> set[str | None]:
        built = await build_from_feedback(pool, request, detect_language=in_italian)
        async with transaction(pool) as connection:
            return {row.text for row in await Datasets(connection).members(built.version.name)}

    texts = await labelled()
    assert "detto da anna" in texts
    assert "detto da un troll" not in texts
    twice = await admin.send(f"{INBOX}/quarantine", kind="client", name="troll")
    assert (twice.status_code, "in quarantine already" in twice.text) == (409, True)
    end = await admin.client.get(f"{INBOX}/quarantine", params={"kind": "client", "name": "troll"})
    assert "will count again" in end.text
    await api.post(f"{API}/release", json={"kind": "client", "name": "troll"})
    assert [(one.votes, one.right) for one in await quality(pool)] == [(2, 0)]
    assert "detto da un troll" in await labelled()
    missing = await api.post(f"{API}/release", json={"kind": "client", "name": "troll"})
    assert missing.status_code == 404
    async with transaction(pool) as connection:
        lines = await Audit(connection).newest(subject="client:troll")
    assert [line.action for line in lines] == [
        "feedback_source.released",
        "feedback_source.quarantined",
    ]
    assert lines[1].evidence["votes"] == 1


async def test_a_way_in_can_be_quarantined_as_a_whole(api: httpx.AsyncClient, pool: Pool) -> None:
    await voted(
        pool,
        [
            (an_answer("uno"), "negative", {"source": "api"}),
            (an_answer("due"), "positive", {"source": "web"}),
        ],
    )
    done = await api.post(f"{API}/quarantine", json={"kind": "source", "name": "api"})
    assert done.json() == {"votes": 1}
    assert [(one.votes, one.right) for one in await quality(pool)] == [(1, 1)]
    nobody = await api.post(f"{API}/quarantine", json={"kind": "client", "name": "nobody"})
    assert nobody.status_code == 404


async def test_sources_are_measured_by_what_the_queue_settled(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    answers = [an_answer(f"testo {n}", 0.4) for n in range(8)]
    await voted(pool, [(answer, "negative", {"client": "troll"}) for answer in answers])
    async with transaction(pool) as connection:
        await fill(connection, now=datetime.now(UTC), every=timedelta())
        for item in await Labelling(connection).in_state(State.OPEN):
            await give_label(connection, item.id, "ada", "positive", now=datetime.now(UTC))
    await voted(pool, [(an_answer("altro"), "positive", {"client": "anna"})])
    found = (await api.get(f"{API}/sources")).json()
    troll, anna = found["clients"]
    assert (troll["name"], troll["votes"], troll["suspicions"]) == (
        "troll",
        8,
        ["disagrees_with_known"],
    )
    assert (troll["right_on_settled"]["samples"], troll["right_on_settled"]["value"]) == (8, 0.0)
    assert (anna["right_on_settled"], anna["suspicions"]) == (None, [])
    assert [line["name"] for line in found["sources"]] == ["web"]


async def test_a_reviewed_vote_decides_about_its_text(pool: Pool, api: httpx.AsyncClient) -> None:
    answer = an_answer("conteso")
    votes = await voted(
        pool,
        [(answer, "negative", {"client": f"c-{n}"}) for n in range(3)]
        + [(answer, "neutral", {"client": "anna"})],
    )
    body = {"votes": [str(votes[3].vote_id)], "review": "accepted"}
    await api.post(f"{API}/review", json=body)
    async with transaction(pool) as connection:
        from sentops_core.datasets.votes import decide_votes

        rows = [row async for row in Feedback(connection).for_dataset()]
    (candidate,), tied = decide_votes(rows)
    assert (candidate.label, candidate.annotator, tied) == ("neutral", "api", [])
