"""Rows of versions: searched, filtered, in pages, compared; by index, not by reading everything."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sentops_core.domain.errors import NotFound
from sentops_core.store import dataset_rows
from sentops_core.store.dataset_rows import DatasetRows, DiffKind, RowFilter
from sentops_core.store.datasets import Datasets
from sentops_core.store.pool import Connection, open_connection
from tests.support.postgres import copied_database, run_aside

pytestmark = pytest.mark.pg

TEXTS = [
    "Spedizione veloce",
    "spedizione LENTA",
    "sconto del 100% vero",
    "sconto del 1000 euro",
    "con_trattino",
    "conXtrattino",
    "barra \\ rovescia",
    "👎",
    "perché È così",
]


def key_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def keep(
    connection: Connection, rows: list[tuple[str, str]], versions: dict[str, list[tuple[str, str]]]
) -> None:
    """Texts with their languages; versions of texts with labels."""
    await connection.copy_records_to_table(
        "examples",
        columns=["content_hash", "text", "label", "language", "source"],
        records=[(key_of(text), text, "neutral", code or None, "upload:x") for text, code in rows],
    )
    await connection.execute(
        "INSERT INTO datasets (name, labels, split_salt) VALUES ('x', '{neutral}', 'x')"
    )
    for number, (name, members) in enumerate(versions.items(), 1):
        await connection.execute(
            "INSERT INTO dataset_versions (name, number, dataset, content_hash, holdout_hash, storage_uri, "
            "rows_train, rows_holdout, label_counts, report, created_by) "
            "VALUES ($1, $2, 'x', $1, '', '', 1, 1, '{}', '{}', 'ada')",
            name,
            number,
        )
        await connection.copy_records_to_table(
            "dataset_members",
            columns=["dataset_version", "content_hash", "label", "split", "source"],
            records=[
                (
                    name,
                    key_of(text),
                    label,
                    "holdout" if at % 5 == 0 else "train",
                    f"upload:{at % 2}",
                )
                for at, (text, label) in enumerate(members)
            ],
        )


@pytest.fixture
async def some(connection: Connection) -> Connection:
    rows = [(text, "it" if at % 2 else "") for at, text in enumerate(TEXTS)]
    await keep(connection, rows, {"v1": [(text, "neutral") for text in TEXTS]})
    return connection


async def found(connection: Connection, **wanted: Any) -> set[str | None]:
    return {row.text for row in await DatasetRows(connection).browse("v1", RowFilter(**wanted))}


async def test_a_text_is_found_by_any_part_of_it_in_either_case(some: Connection) -> None:
    assert await found(some, search="SPEDIZ") == {"Spedizione veloce", "spedizione LENTA"}
    assert await found(some, search="è COSÌ") == {"perché È così"}
    assert await found(some, search="👎") == {"👎"}
    assert await found(some, search="sP") == {"Spedizione veloce", "spedizione LENTA"}
    assert await found(some, search="È") == {"perché È così"}
    assert await found(some, search="%") == {"sconto del 100% vero"}
    assert await found(some, search="zzz") == set()


async def test_signs_that_mean_something_to_patterns_are_only_signs(some: Connection) -> None:
    assert await found(some, search="100%") == {"sconto del 100% vero"}
    assert await found(some, search="con_t") == {"con_trattino"}
    assert await found(some, search="\\") == {"barra \\ rovescia"}
    assert await found(some, search="'; DROP TABLE examples; --") == set()


async def test_filters_narrow_together(some: Connection) -> None:
    assert await found(some, split="holdout") == {TEXTS[0], TEXTS[5]}
    assert await found(some, split="holdout", source="upload:1") == {TEXTS[5]}
    assert await found(some, language="it") == set(TEXTS[1::2])
    assert await found(some, language="") == set(TEXTS[0::2])
    assert await found(some, label="positive") == set()


async def test_pages_follow_each_other_without_gaps(some: Connection) -> None:
    rows = DatasetRows(some)
    seen: list[str | None] = []
    last = b""
    while page := await rows.browse("v1", after=last, limit=4):
        seen += [row.text for row in page]
        last = page[-1].content_hash
    assert (len(seen), set(seen)) == (len(TEXTS), set(TEXTS))


async def test_a_row_that_is_not_there_is_not_found(some: Connection) -> None:
    with pytest.raises(NotFound, match="no such row"):
        await DatasetRows(some).row("v1", b"\0")


async def test_versions_are_compared_row_by_row(connection: Connection) -> None:
    await keep(
        connection,
        [(text, "it") for text in "abcd"],
        {
            "v1": [("a", "neutral"), ("b", "neutral"), ("c", "neutral")],
            "v2": [("b", "neutral"), ("c", "positive"), ("d", "negative")],
        },
    )
    rows = DatasetRows(connection)
    assert vars(await rows.differences("v1", "v2")) == {
        "added": 1,
        "removed": 1,
        "relabelled": 1,
        "same": 1,
    }
    told = {
        kind: [(row.text, row.before, row.after) for row in await rows.different("v1", "v2", kind)]
        for kind in DiffKind
    }
    assert told == {
        DiffKind.ADDED: [("d", None, "negative")],
        DiffKind.REMOVED: [("a", "neutral", None)],
        DiffKind.RELABELLED: [("c", "neutral", "positive")],
    }
    last = key_of("c")
    assert await rows.different("v1", "v2", DiffKind.RELABELLED, last=last) == []
    assert vars(await rows.differences("v1", "v1")) == {
        "added": 0,
        "removed": 0,
        "relabelled": 0,
        "same": 3,
    }


async def test_the_list_of_versions_comes_in_pages_newest_first(connection: Connection) -> None:
    await keep(connection, [], {f"v{n}": [] for n in range(1, 6)})
    datasets = Datasets(connection)
    first = await datasets.listed(limit=3)
    rest = await datasets.listed(before=first[-1].number, limit=3)
    assert [one.name for one in (*first, *rest)] == ["v5", "v4", "v3", "v2", "v1"]
    assert first[0].languages is None


@pytest.fixture(scope="module")
def many_rows_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    async def fill(url: str) -> None:
        connection = await open_connection(url)
        filling = "che dice molte cose del prodotto e della spedizione " * 8
        texts = [
            f"parole comuni in ogni testo {filling} e la numero {n * 7919:08d} in uno"
            for n in range(5000)
        ]
        await keep(
            connection,
            [(text, "it") for text in texts],
            {f"v{n}": [(text, "neutral") for text in texts[: 4000 + n]] for n in range(1, 7)},
        )
        await connection.execute(
            "VACUUM ANALYZE"
        )  # as autovacuum does; it also sorts new texts into the index
        await connection.close()

    for url in copied_database(postgres_server, postgres_template):
        run_aside(fill(url))
        yield url


@pytest.fixture
async def many(many_rows_url: str) -> AsyncIterator[Connection]:
    connection = await open_connection(many_rows_url)
    yield connection
    await connection.close()


async def plan(connection: Connection, statement: str, *values: object) -> str:
    rows = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values)
    return json.dumps(json.loads(rows))


ANY = (None, None, None, None, False, None, 101)


async def test_a_rare_text_is_found_by_the_index_of_texts(many: Connection) -> None:
    found = await plan(many, dataset_rows._BROWSE, "v6", b"", "%00007919%", *ANY)
    assert "examples_search" in found
    assert "Seq Scan" not in found


async def test_a_page_of_rows_is_read_in_the_order_of_the_key(many: Connection) -> None:
    found = await plan(many, dataset_rows._BROWSE, "v6", b"\x80", None, *ANY)
    assert "dataset_members_pkey" in found
    assert "Sort" not in found


async def test_a_comparison_reads_two_versions_and_no_other(many: Connection) -> None:
    found = await plan(many, dataset_rows._DIFFERENCES, "v1", "v2")
    assert "Seq Scan" not in found
