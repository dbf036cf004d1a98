"""Uploads between their two steps: for their owners alone, and not for ever."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from sentops_core.domain.errors import NotFound
from sentops_core.store.pool import Connection
from sentops_core.store.staged_uploads import StagedUploads

pytestmark = pytest.mark.pg

NOW = datetime.now(UTC)


async def staged(
    connection: Connection,
    owner: str = "ada",
    *,
    pieces: tuple[bytes, ...] = (b"one", b"two"),
    kept: timedelta = timedelta(hours=1),
) -> UUID:
    made = uuid4()
    await StagedUploads(connection).create(
        made,
        owner,
        "x.csv",
        sum(map(len, pieces)),
        pieces,
        choices={"name": "x"},
        preview={"format": "csv"},
        expires_at=NOW + kept,
    )
    return made


async def test_a_file_comes_back_in_the_order_of_its_pieces(connection: Connection) -> None:
    pieces = tuple(bytes([n]) * 1000 for n in range(20))
    made = await staged(connection, pieces=pieces)
    uploads = StagedUploads(connection)
    assert [piece async for piece in uploads.pieces(made)] == list(pieces)
    found = await uploads.find(made, "ada")
    assert (found.filename, found.file_bytes, found.choices) == ("x.csv", 20_000, {"name": "x"})


async def test_others_do_not_see_it(connection: Connection) -> None:
    made = await staged(connection)
    uploads = StagedUploads(connection)
    for attempt in (
        uploads.find(made, "bruno"),
        uploads.choose(made, "bruno", {}, {}),
        uploads.find(uuid4(), "ada"),
    ):
        with pytest.raises(NotFound, match="Send the file again"):
            await attempt
    assert await uploads.of_owner("bruno") == []
    assert not await uploads.remove(made, "bruno")
    assert [one.id for one in await uploads.of_owner("ada")] == [made]


async def test_what_waited_too_long_is_gone_and_removed(connection: Connection) -> None:
    made = await staged(connection, kept=-timedelta(seconds=1))
    uploads = StagedUploads(connection)
    with pytest.raises(NotFound):
        await uploads.find(made, "ada")
    assert await uploads.of_owner("ada") == []
    assert (await uploads.room("ada")).own == 1
    assert await uploads.remove_expired() == 1
    assert await connection.fetchval("SELECT count(*) FROM staged_pieces") == 0


async def test_room_counts_the_owner_s_files_and_everybody_s_bytes(connection: Connection) -> None:
    await staged(connection)
    await staged(connection, "bruno", pieces=(b"12345",))
    room = await StagedUploads(connection).room("ada")
    assert (room.own, room.bytes) == (1, 11)


async def test_choices_are_kept(connection: Connection) -> None:
    made = await staged(connection)
    uploads = StagedUploads(connection)
    await uploads.choose(made, "ada", {"label_map": {"a": None}}, {"format": "tsv"})
    found = await uploads.find(made, "ada")
    assert (found.choices, found.preview) == ({"label_map": {"a": None}}, {"format": "tsv"})
