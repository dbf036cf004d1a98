"""Labelled texts like another one: only those that anybody may read, and within a time."""

from datetime import timedelta

import pytest

from sentops_core.domain.errors import Unavailable
from sentops_core.domain.text import content_hash
from sentops_core.store.examples import ExampleRow, Examples
from sentops_core.store.pool import Connection, Pool, transaction
from sentops_core.store.similar_examples import SimilarExamples
from tests.support.public_examples import a_version
from tests.support.rows import NOW, uuid7_at

pytestmark = pytest.mark.pg

PATIENCE = timedelta(seconds=5)


async def like(connection: Connection, text: str, *versions: str) -> list[str]:
    found = await SimilarExamples(connection).like(text, versions, limit=3, within=PATIENCE)
    return [one.text for one in found]


async def test_the_most_alike_come_first_and_the_unlike_not_at_all(connection: Connection) -> None:
    texts = ("it broke after a month", "it broke after two weeks", "the colour is lovely")
    await a_version(connection, 1, *texts)
    assert await like(connection, "it broke after a week", "v1") == [
        "it broke after two weeks",
        "it broke after a month",
    ]
    assert await like(connection, "una frase che non somiglia", "v1") == []


async def test_only_texts_of_files_in_the_named_versions_are_shown(connection: Connection) -> None:
    await a_version(connection, 1, "it broke after a month")
    await a_version(connection, 2, "it broke after a year", dataset="customers")
    await a_version(connection, 3, "it broke after a day", source="feedback", dataset="votes")
    await a_version(connection, 4, "it broke after a minute", source="labelling", dataset="queue")
    await a_version(connection, 5, "it broke after an hour", asked=True, dataset="asked")
    everything = ("v1", "v2", "v3", "v4", "v5")
    assert await like(connection, "it broke after a week", "v1") == ["it broke after a month"]
    assert set(await like(connection, "it broke after a week", *everything)) == {
        "it broke after a month",
        "it broke after a year",
    }
    assert await like(connection, "it broke after a week") == []


async def test_an_erased_text_is_shown_no_more(connection: Connection) -> None:
    await a_version(connection, 1, "it broke after a month")
    await connection.execute("DELETE FROM examples")
    assert await like(connection, "it broke after a week", "v1") == []


async def test_a_visitors_correction_of_a_shown_text_is_not_shown(connection: Connection) -> None:
    await a_version(connection, 1, "it broke after a month")
    key = content_hash("it broke after a month")
    row = ExampleRow(
        key, "it broke after a month", "positive", "en", None, "feedback", None, uuid7_at(NOW)
    )
    await Examples(connection).keep([row])
    assert await like(connection, "it broke after a week", "v1") == []


async def test_the_first_version_counts_only_when_it_was_made_of_a_file_alone(
    connection: Connection,
) -> None:
    similar = SimilarExamples(connection)
    assert await similar.first_version("reviews-sample") is None
    await a_version(connection, 1, "one")
    await a_version(connection, 2, "two", parent="v1")
    await a_version(connection, 3, "three")  # somebody started anew under the same name
    assert await similar.first_version("reviews-sample") == "v1"
    await a_version(connection, 4, "four", dataset="other", parent="v1")
    assert await similar.first_version("other") is None


async def test_it_takes_no_longer_than_it_may(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await a_version(connection, 1, *(f"it broke after {n} weeks of use" for n in range(3000)))
    with pytest.raises(Unavailable):
        async with transaction(pool) as connection:
            await SimilarExamples(connection).like(
                "it broke after a week of use", ["v1"], limit=3, within=timedelta(milliseconds=1)
            )
