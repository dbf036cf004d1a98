"""The write-ahead spool by itself: what it took, it keeps; what it cannot keep, it refuses."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from sentops_web.spool import Record, Spool, SpoolFull, SpoolInUse


def a_record(number: int = 0, *, client: str = "c", size: int = 10) -> Record:
    return Record("prediction", UUID(int=number), client, b"x" * size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    with closing(Spool.open(folder, max_rows=1000, max_bytes=100_000)) as spool:
        yield spool


async def test_what_was_appended_is_there_after_closing_and_opening(folder: Path) -> None:
    with closing(Spool.open(folder, max_rows=10, max_bytes=1000)) as spool:
        await spool.append([a_record(1), a_record(2)])
    with closing(Spool.open(folder, max_rows=10, max_bytes=1000)) as spool:
        assert [entry.record for entry in await spool.oldest(10)] == [a_record(1), a_record(2)]
        assert (spool.state().rows, spool.state().bytes) == (2, 20)
        async with asyncio.timeout(1):
            await spool.wait_for_entries()


async def test_requests_in_flight_share_transactions(spool: Spool) -> None:
    await asyncio.gather(*(spool.append([a_record(n)]) for n in range(300)))
    entries = await spool.oldest(1000)
    assert sorted(entry.record.key.int for entry in entries) == list(range(300))


async def test_a_full_spool_refuses_by_rows_and_by_bytes(folder: Path) -> None:
    with closing(Spool.open(folder, max_rows=3, max_bytes=100)) as spool:
        await spool.append([a_record(1), a_record(2)])
        with pytest.raises(SpoolFull):
            await spool.append([a_record(3), a_record(4)])
        with pytest.raises(SpoolFull):
            await spool.append([a_record(3, size=81)])
        await spool.append([a_record(3, size=80)])
        await spool.remove_through((await spool.oldest(1))[0].seq)
        await spool.append([a_record(5)])
        assert spool.state().rows == 3


async def test_how_full_it_is_goes_by_what_ends_first(tmp_path: Path) -> None:
    with (
        closing(Spool.open(tmp_path / "rows", max_rows=4, max_bytes=10**6)) as by_rows,
        closing(Spool.open(tmp_path / "bytes", max_rows=10**6, max_bytes=20)) as by_bytes,
    ):
        for one in (by_rows, by_bytes):
            assert one.state().filled == 0
            await one.append([a_record(1)])
        assert (by_rows.state().filled, by_bytes.state().filled) == (0.25, 0.5)


async def test_a_crowd_cannot_pass_the_bound_together(folder: Path) -> None:
    with closing(Spool.open(folder, max_rows=50, max_bytes=10_000)) as spool:
        outcomes = await asyncio.gather(
            *(spool.append([a_record(n)]) for n in range(200)), return_exceptions=True
        )
        assert sum(one is None for one in outcomes) == 50
        assert len(await spool.oldest(1000)) == 50


async def test_removing_leaves_what_came_later(spool: Spool) -> None:
    await spool.append([a_record(n) for n in range(5)])
    third = (await spool.oldest(5))[2]
    await spool.remove_through(third.seq)
    assert [entry.record.key.int for entry in await spool.oldest(5)] == [3, 4]
    assert spool.state().rows == 2


async def test_an_empty_spool_has_no_age(spool: Spool) -> None:
    assert spool.state().oldest_at is None
    await spool.append([a_record()])
    assert spool.state().oldest_at is not None
    await spool.remove_through((await spool.oldest(1))[0].seq)
    assert spool.state().oldest_at is None


async def test_rows_are_found_by_prediction_and_by_client(spool: Spool) -> None:
    await spool.append([a_record(1, client="a"), a_record(2, client="b"), a_record(3, client="a")])
    assert [one.record.client for one in await spool.of_key(UUID(int=2))] == ["b"]
    assert [one.record.key.int for one in await spool.of_client("a", 10)] == [3, 1]
    assert await spool.of_key(uuid4()) == []


def test_a_second_process_is_refused(spool: Spool, folder: Path) -> None:
    with pytest.raises(SpoolInUse, match="its own folder"):
        Spool.open(folder, max_rows=1, max_bytes=1)
    code = (
        "from pathlib import Path; from sentops_web.spool import Spool;"
        f"Spool.open(Path({str(folder)!r}), max_rows=1, max_bytes=1)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert other.returncode != 0
    assert "SpoolInUse" in other.stderr


def test_the_folder_is_readable_by_its_owner_alone(spool: Spool, folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0


async def test_a_disk_that_refuses_is_an_honest_refusal(folder: Path) -> None:
    with closing(Spool.open(folder, max_rows=10, max_bytes=10_000_000)) as spool:
        spool._writer.execute("PRAGMA max_page_count = 12")  # as a full disk does
        with pytest.raises(SpoolFull, match="disk"):
            await spool.append([a_record(1, size=500_000)])
        await spool.append([a_record(2)])
        assert spool.state().rows == 1


async def test_every_commit_is_synced(spool: Spool) -> None:
    assert spool._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_texts_that_moved_on_leave_no_trace_in_the_file(spool: Spool, folder: Path) -> None:
    secret = Record("prediction", UUID(int=1), "c", b"a very private remark")
    await spool.append([secret])
    await spool.remove_through((await spool.oldest(1))[0].seq)
    spool._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"private remark" not in (folder / "spool.sqlite3").read_bytes()


async def test_a_row_set_aside_is_kept_out_of_the_way(spool: Spool, folder: Path) -> None:
    await spool.append([a_record(7)])
    entry = (await spool.oldest(1))[0]
    await spool.set_aside(entry.seq, "DataError")
    await spool.remove_through(entry.seq)
    assert await spool.oldest(1) == []
    with closing(sqlite3.connect(folder / "spool.sqlite3")) as reader:
        assert reader.execute("SELECT reason FROM refused").fetchall() == [("DataError",)]


def test_an_unwritable_folder_is_an_os_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError):
        Spool.open(blocked / "spool", max_rows=1, max_bytes=1)
    assert list(tmp_path.iterdir()) == [blocked]


async def test_a_record_that_cannot_be_written_fails_alone(spool: Spool) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(UnicodeEncodeError):
            await spool.append([a_record(1, client="\ud800")])
        await spool.append([a_record(2)])
    assert [entry.record.key.int for entry in await spool.oldest(10)] == [2]
    assert (spool.state().rows, spool.state().bytes) == (1, 10)
