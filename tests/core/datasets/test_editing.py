"""Editing a label, from the page's click to the next version's files."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sentops_core.artifacts import get_folder
from sentops_core.datasets.building import BuildRequest, Built, build_from_edits, build_from_file
from sentops_core.datasets.editing import edit_label, history_of
from sentops_core.datasets.reading import read_file
from sentops_core.datasets.report import Refusal
from sentops_core.domain.errors import Conflict, InvalidInput, NotFound
from sentops_core.domain.text import content_hash
from sentops_core.store.audit import Audit
from sentops_core.store.dataset_rows import DatasetRows, DiffKind, RowFilter
from sentops_core.store.examples import Examples
from sentops_core.store.pool import Pool, transaction
from tests.support.candidates import some_candidates

pytestmark = pytest.mark.pg

LABELS = ["negative", "neutral", "positive"]
FIRST = some_candidates(1)[0]
KEY = content_hash(FIRST.text)


def in_italian(_: str) -> str:
    return "it"


@pytest.fixture
def request_for(tmp_path: Path) -> BuildRequest:
    return BuildRequest(store_uri=(tmp_path / "store").as_uri(), actor="bruno")


async def upload(pool: Pool, tmp_path: Path, request: BuildRequest, count: int = 100) -> Built:
    path = tmp_path / "upload"
    rows = "".join(f"{one.text},{one.label}\n" for one in some_candidates(count))
    path.write_text(f"text,label\n{rows}")
    return await build_from_file(
        pool, read_file(path, "texts.csv"), request, detect_language=in_italian
    )


async def edit(
    pool: Pool, label: str = "positive", seen: str = "negative", reason: str = "ironia"
) -> None:
    async with transaction(pool) as connection:
        await edit_label(
            connection,
            KEY,
            label=label,
            seen=seen,
            reason=reason,
            labels=LABELS,
            version="v1",
            actor="ada",
        )


async def test_an_edit_is_in_the_next_version_with_its_history(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await edit(pool)
    async with transaction(pool) as connection:
        assert await Examples(connection).edits_waiting("v1") == 1
        changed = await DatasetRows(connection).browse("v1", RowFilter(changed=True))
        assert [(row.label, row.label_now) for row in changed] == [("negative", "positive")]
    built = await build_from_edits(pool, request_for, detect_language=in_italian)
    assert (built.version.name, built.report.relabelled, built.report.edited) == ("v2", 1, 1)
    folder = get_folder(built.version.storage_uri, tmp_path / "cache")
    rows = [
        row
        for side in ("train", "holdout")
        for row in pq.read_table(folder / f"{side}.parquet").to_pylist()
        if row["text"] == FIRST.text
    ]
    assert [(row["label"], row["source"]) for row in rows] == [("positive", "edited")]
    async with transaction(pool) as connection:
        assert await Examples(connection).edits_waiting("v2") == 0
        (different,) = await DatasetRows(connection).different("v1", "v2", DiffKind.RELABELLED)
        assert (different.before, different.after) == ("negative", "positive")
        taken, made = await history_of(connection, KEY)
        assert (made.actor, made.before, made.after, made.reason) == (
            "ada",
            "negative",
            "positive",
            "ironia",
        )
        assert (taken.actor, taken.source, taken.dataset_version) == ("bruno", "edited", "v2")
        lines = await Audit(connection).newest(subject=KEY.hex())
        assert [line.action for line in lines] == ["example.relabelled", "example.edited"]
        assert FIRST.text not in str([line.evidence for line in lines])


async def test_an_edit_outweighs_the_file_that_is_uploaded_next(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await edit(pool)
    built = await upload(pool, tmp_path, request_for, count=110)
    assert (built.report.added, built.report.relabelled, built.report.edited) == (10, 1, 1)
    assert built.report.left_out.by_reason == {Refusal.CORRECTED_BEFORE: 1}
    again = await upload(pool, tmp_path, request_for, count=110)
    assert (again.created, again.version.name) == (False, "v2")
    async with transaction(pool) as connection:
        example = await Examples(connection).find(KEY)
        assert example is not None
        assert (example.label, example.source, example.annotator) == ("positive", "edited", "ada")


async def test_an_edit_stands_in_a_version_that_starts_from_nothing(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await edit(pool)
    alone = BuildRequest(**(vars(request_for) | {"parent": "none"}))
    await upload(pool, tmp_path, alone)
    async with transaction(pool) as connection:
        row = await DatasetRows(connection).row("v2", KEY)
        assert (row.label, row.source) == ("positive", "edited")


async def test_nothing_is_built_from_no_edits(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    with pytest.raises(InvalidInput, match="no dataset yet"):
        await build_from_edits(pool, request_for, detect_language=in_italian)
    await upload(pool, tmp_path, request_for)
    with pytest.raises(InvalidInput, match="No label was changed since v1"):
        await build_from_edits(pool, request_for, detect_language=in_italian)


async def test_an_edit_taken_back_leaves_nothing_to_build(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await edit(pool)
    await edit(pool, label="negative", seen="positive", reason="era giusto")
    with pytest.raises(InvalidInput, match="No label was changed"):
        await build_from_edits(pool, request_for, detect_language=in_italian)


async def test_an_edit_that_cannot_be_changes_nothing(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    with pytest.raises(Conflict, match="Somebody made it negative meanwhile"):
        await edit(pool, seen="neutral")
    for wrong in (
        {"label": "furious"},
        {"label": "negative"},
        {"reason": " \n"},
        {"reason": "x" * 501},
    ):
        with pytest.raises(InvalidInput):
            await edit(pool, **wrong)
    async with transaction(pool) as connection:
        assert await history_of(connection, KEY) == []
        await connection.execute("DELETE FROM examples WHERE content_hash = $1", KEY)
    with pytest.raises(NotFound, match="erased"):
        await edit(pool)


async def test_an_erased_text_keeps_its_place_and_says_so(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await edit(pool)
    async with transaction(pool) as connection:
        await connection.execute("DELETE FROM examples WHERE content_hash = $1", KEY)
        row = await DatasetRows(connection).row("v1", KEY)
        assert (row.text, row.label, row.label_now) == (None, "negative", None)
        assert await Examples(connection).edits_waiting("v1") == 0
