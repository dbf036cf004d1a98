"""From the spool to PostgreSQL: nothing lost, nothing twice, whatever the database does."""

import asyncio
import dataclasses
from urllib.parse import urlsplit

import asyncpg
import pytest

from sentops_core.store.pool import Pool
from sentops_web.records import prediction_of, prediction_record
from sentops_web.spool import Record
from tests.services.web.conftest import StartWeb, Web
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg


async def rows_of(pool: Pool, table: str = "predictions") -> list[asyncpg.Record]:
    statements = {
        "predictions": "SELECT * FROM predictions ORDER BY id",
        "feedback": "SELECT * FROM feedback",
    }
    return await pool.fetch(statements[table])


async def drained(web: Web) -> None:
    await eventually(lambda: web.parts.spool.state().rows == 0)


async def test_a_prediction_and_its_vote_reach_the_database(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    async with start_web(database_url=database_url) as web:
        answer = await web.predict("  pessimo,\u00a0si è   rotto ")
        body = {"prediction_id": answer["prediction_id"], "feedback": "neutral", "note": "meh"}
        await web.client.post("/api/feedback", json=body)
        await drained(web)
        (row,) = await rows_of(pool)
        (vote,) = await rows_of(pool, "feedback")
        assert web.value("sentops_web_database_rows_total", kind="vote") == 1
    assert row["id"].hex == str(answer["prediction_id"]).split("-")[0]
    assert row["text"] == "pessimo, si è rotto"
    assert (row["label"], row["language"], row["shadow"]) == ("negative", "it", False)
    assert (row["variant"], row["model_version"]) == ("champion", "reviews-1")
    assert row["scores"]["negative"] == pytest.approx(0.91)
    assert row["client"].startswith("id-")
    assert "one-person" not in row["client"]
    assert (vote["prediction_id"], vote["label"], vote["note"]) == (row["id"], "neutral", "meh")
    assert vote["predicted_at"] == row["created_at"]
    assert vote["client"] == row["client"]


async def test_old_answers_and_votes_are_found_in_the_database(
    start_web: StartWeb, database_url: str
) -> None:
    async with start_web(database_url=database_url) as web:
        first = await web.predict("great")
        body = {"prediction_id": first["prediction_id"], "feedback": "negative"}
        await web.client.post("/api/feedback", json=body)
        await web.predict("seen by another", **{"x-client-id": "another-person"})
        await drained(web)
        second = await web.predict("awful")
        found = (await web.client.get(f"/api/predictions/{first['prediction_id']}")).json()
        history = (await web.client.get("/api/history")).json()
    assert (found["text"], found["label"], found["vote"]["label"]) == (
        "great",
        "positive",
        "negative",
    )
    assert history["complete"]
    assert [one["prediction_id"] for one in history["predictions"]] == [
        second["prediction_id"],
        first["prediction_id"],
    ]
    assert [one["vote"] and one["vote"]["label"] for one in history["predictions"]] == [
        None,
        "negative",
    ]


async def test_without_a_database_answers_go_on_and_health_says_degraded(web: Web) -> None:
    answer = await web.predict("great")
    await eventually(lambda: web.parts.drain.trouble)
    ready = await web.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert "spool" in ready.json()["detail"]
    found = await web.client.get(f"/api/predictions/{answer['prediction_id']}")
    assert found.json()["text"] == "great"
    history = (await web.client.get("/api/history")).json()
    assert not history["complete"]
    assert len(history["predictions"]) == 1
    assert web.value("sentops_web_database_failures_total") >= 1
    assert web.value("sentops_web_spool_rows") == 1
    assert web.value("sentops_web_spool_oldest_age_seconds") > 0


async def test_a_database_that_comes_back_gets_everything_once(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    gate = Gate(database_url)
    async with gate.running() as url, start_web(database_url=url) as web:
        await web.predict("before")
        await drained(web)
        await gate.close()
        for number in range(20):
            await web.predict(f"while it was away {number}")
        await eventually(lambda: web.parts.drain.trouble)
        assert web.parts.spool.state().rows == 20
        await gate.open()
        await drained(web)
        assert await eventually(lambda: web.parts.drain.trouble is None)
    texts = [row["text"] for row in await rows_of(pool)]
    assert texts == ["before", *(f"while it was away {number}" for number in range(20))]


async def test_what_waited_in_the_spool_moves_after_a_restart(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    async with start_web() as web:
        await web.predict("written without a database")
    async with start_web(database_url=database_url) as web:
        await drained(web)
    assert [row["text"] for row in await rows_of(pool)] == ["written without a database"]


async def test_moving_the_same_rows_twice_changes_nothing(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    async with start_web(database_url=database_url) as web:
        for number in range(3):
            answer = await web.predict(f"text {number}")
        vote = {"prediction_id": answer["prediction_id"], "feedback": "neutral"}
        await web.client.post("/api/feedback", json=vote)
        entries = await web.parts.spool.oldest(10)
        await drained(web)
        await web.parts.spool.append([entry.record for entry in entries])
        await drained(web)
    assert len(await rows_of(pool)) == 3
    assert len(await rows_of(pool, "feedback")) == 1


async def test_a_vote_taken_back_leaves_the_database_whatever_was_moved_before(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    async with start_web(database_url=database_url) as web:
        answer = await web.predict("great")
        path = f"/api/feedback/{answer['prediction_id']}"
        body = {"prediction_id": answer["prediction_id"], "feedback": "negative"}
        await web.client.post("/api/feedback", json=body)
        voted = await web.parts.spool.oldest(10)
        await drained(web)
        assert len(await rows_of(pool, "feedback")) == 1
        assert (await web.client.delete(path)).status_code == 200
        found = await web.client.get(f"/api/predictions/{answer['prediction_id']}")
        assert found.json()["vote"] is None, "while the withdrawal waits in the spool, too"
        await drained(web)
        assert await rows_of(pool, "feedback") == []
        await web.parts.spool.append([entry.record for entry in voted])  # a late repetition
        await drained(web)
        assert await rows_of(pool, "feedback") == []
        await web.client.post("/api/feedback", json=body)
        await drained(web)
        assert len(await rows_of(pool, "feedback")) == 1
        assert web.value("sentops_web_database_rows_total", kind="withdrawal") == 1


async def test_a_row_the_database_refuses_does_not_hold_up_the_others(
    start_web: StartWeb, database_url: str, pool: Pool
) -> None:
    async with start_web() as web:
        for number in range(5):
            await web.predict(f"text {number}")
        good = (await web.parts.spool.oldest(1))[0].record
        spoiled = dataclasses.replace(prediction_of(good), label="nul \x00 is no text")
        await web.parts.spool.append(
            [prediction_record(spoiled), Record("vote", good.key, "c", b"{")]
        )
        await web.predict("the last")
    async with start_web(database_url=database_url) as web:
        await drained(web)
        assert web.value("sentops_web_database_refused_rows_total") == 2
    assert len(await rows_of(pool)) == 6


async def test_a_full_spool_says_so_and_answers_again_when_there_is_room(
    start_web: StartWeb, database_url: str
) -> None:
    async with start_web(spool_max_rows=2) as web:
        await web.predict("one")
        answer = await web.client.post("/api/predict/batch", json={"texts": ["two", "three"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "spool_full")
        assert int(answer.headers["retry-after"]) > 0
        assert web.value("sentops_web_spool_refusals_total") == 1
        assert web.parts.spool.state().rows == 1
    async with start_web(spool_max_rows=2, database_url=database_url) as web:
        await drained(web)
        await web.client.post("/api/predict/batch", json={"texts": ["two", "three"]})


class Gate:
    """A TCP relay in front of the database that can be shut, as a network or a server goes away."""

    def __init__(self, database_url: str) -> None:
        self._url = urlsplit(database_url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()

    def running(self) -> "Gate":
        return self

    async def __aenter__(self) -> str:
        await self.open()
        netloc = f"{self._url.username}:{self._url.password}@127.0.0.1:{self._port}"
        return self._url._replace(netloc=netloc).geturl()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(
            self._url.hostname, self._url.port or 5432
        )
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        except OSError:
            pass
        finally:
            far_writer.close()
            writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_an_address_of_the_database_that_cannot_be_tried_costs_no_row(
    start_web: StartWeb,
) -> None:
    # No host has such a name; Python refuses to look it up with a ValueError.
    async with start_web(database_url="postgresql://somebody@wrong..name/prediction") as web:
        await web.predict("great")
        await eventually(lambda: web.parts.drain.trouble)
        assert web.parts.spool.state().rows == 1
        assert web.value("sentops_web_database_refused_rows_total") == 0


async def test_a_database_that_refuses_us_costs_no_row_and_no_page(
    start_web: StartWeb, database_url: str
) -> None:
    name = urlsplit(database_url).path + "-which-nobody-made"
    async with start_web(database_url=urlsplit(database_url)._replace(path=name).geturl()) as web:
        answer = await web.predict("great")
        await eventually(lambda: web.parts.drain.trouble)
        assert web.parts.spool.state().rows == 1
        assert (await web.client.get("/")).status_code == 200
        found = await web.client.get(f"/api/predictions/{answer['prediction_id']}")
        assert (found.status_code, found.json()["text"]) == (200, "great")
        assert not (await web.client.get("/api/history")).json()["complete"]
