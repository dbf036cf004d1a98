"""Versions built for real: rows in PostgreSQL and files in a store, both or neither."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from uuid_utils import uuid7

from sentops_core.artifacts import get_folder
from sentops_core.datasets.building import (
    BuildRequest,
    Built,
    build_from_feedback,
    build_from_file,
)
from sentops_core.datasets.draft import hash_of
from sentops_core.datasets.reading import LabelledRow, Reading, read_file
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.split import Split
from sentops_core.domain.errors import InvalidInput, NotFound, Unavailable
from sentops_core.domain.text import content_hash
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import Datasets
from sentops_core.store.feedback import Feedback, FeedbackRow
from sentops_core.store.lineage import lineage, prediction_uuid
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions, moment_of
from tests.support.candidates import some_candidates

pytestmark = pytest.mark.pg


def in_italian(_: str) -> str:
    return "it"


@pytest.fixture
def request_for(tmp_path: Path) -> BuildRequest:
    return BuildRequest(
        store_uri=(tmp_path / "store").as_uri(), actor="ada", origin="written by hand"
    )


def a_reading(tmp_path: Path, start: int = 0, count: int = 100) -> Reading:
    path = tmp_path / "upload"
    rows = "".join(f"{one.text},{one.label}\n" for one in some_candidates(count, start))
    path.write_text(f"text,label\n{rows}no label,\n")
    return read_file(path, "texts.csv")


async def upload(
    pool: Pool, tmp_path: Path, request: BuildRequest, start: int = 0, count: int = 100
) -> Built:
    reading = a_reading(tmp_path, start, count)
    return await build_from_file(pool, reading, request, detect_language=in_italian)


async def predicted(
    pool: Pool,
    text: str,
    label: str,
    *,
    client: str = "anna",
    voted: str | None = None,
    model: str = "m-1",
) -> UUID:
    """A stored prediction, and the client's vote on it."""
    made = UUID(str(uuid7()))
    prediction = PredictionRow(
        id=made,
        created_at=moment_of(made),
        client=client,
        text=text,
        text_hash=content_hash(text),
        label=label,
        score=0.9,
        scores={label: 0.9},
        language="it",
        truncated=False,
        variant="champion",
        model_version=model,
        digest="sha256:" + "0" * 64,
    )
    vote = UUID(str(uuid7()))
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in([prediction])
        if voted:
            moment = moment_of(made) + timedelta(seconds=1)
            await Feedback(connection).upsert_many(
                [FeedbackRow(made, client, voted, vote, moment, prediction.created_at)]
            )
    return made


async def labels_in(pool: Pool, version: str) -> dict[str, str]:
    async with transaction(pool) as connection:
        return {row.text or "": row.label for row in await Datasets(connection).members(version)}


async def test_a_file_becomes_a_version_with_files_that_runs_can_read(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    built = await upload(pool, tmp_path, request_for)
    version = built.version
    assert (built.created, version.name, version.dataset, version.parent) == (
        True,
        "v1",
        "reviews",
        None,
    )
    assert built.report.file is not None
    assert built.report.file.refused.by_reason == {Refusal.MISSING_LABEL: 1}

    folder = get_folder(version.storage_uri, tmp_path / "cache")
    train, holdout = (pq.read_table(folder / f"{side}.parquet") for side in ("train", "holdout"))
    assert train.column_names == ["content_hash", "text", "label", "source", "language", "weight"]
    assert (len(train), len(holdout)) == (version.rows_train, version.rows_holdout)
    assert len(train) + len(holdout) == 100
    row = train.to_pylist()[0]
    assert row["content_hash"] == content_hash(row["text"]).hex()
    assert (row["source"], row["language"], row["weight"]) == ("upload:reviews", "it", 1.0)
    card = json.loads((folder / "dataset.json").read_text())
    assert card["labels"] == ["negative", "neutral", "positive"]
    assert (card["content_hash"], card["version"], card["origin"]) == (
        version.content_hash,
        "v1",
        "written by hand",
    )


async def test_the_stored_rows_have_the_hash_that_the_version_claims(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    version = (await upload(pool, tmp_path, request_for)).version
    async with transaction(pool) as connection:
        rows = await Datasets(connection).members(version.name)
    held_out = [row for row in rows if row.split == "holdout"]
    assert hash_of(rows) == version.content_hash  # type: ignore[arg-type]
    assert hash_of(held_out) == version.holdout_hash  # type: ignore[arg-type]


async def test_the_next_version_keeps_every_row_of_its_parent_on_its_side(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    second = await upload(pool, tmp_path, request_for, start=300, count=40)
    assert (second.version.name, second.version.parent, second.report.added) == ("v2", "v1", 40)
    async with transaction(pool) as connection:
        first_rows, second_rows = [
            {row.content_hash: row.split for row in await Datasets(connection).members(name)}
            for name in ("v1", "v2")
        ]
    assert first_rows.items() <= second_rows.items()


async def test_the_same_content_is_the_same_version(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    first = await upload(pool, tmp_path, request_for)
    again = await upload(pool, tmp_path, request_for)
    assert (again.created, again.version) == (False, first.version)
    assert again.report.unchanged == 100


async def test_starting_from_nothing_leaves_the_older_rows_out(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    alone = await upload(pool, tmp_path, replace(request_for, parent="none"), start=300)
    assert (alone.version.parent, alone.report.rows_from_parent) == (None, 0)
    assert alone.version.rows_train + alone.version.rows_holdout == 100


async def test_a_disliked_answer_with_its_corrected_label_is_in_the_next_dataset(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    corrected = await predicted(pool, "Non male per niente, anzi", "negative", voted="positive")
    await predicted(pool, "Arrivato in ritardo e rovinato", "negative", voted="negative")
    built = await build_from_feedback(pool, request_for, detect_language=in_italian)
    labels = await labels_in(pool, built.version.name)
    assert labels["Non male per niente, anzi"] == "positive"
    assert labels["Arrivato in ritardo e rovinato"] == "negative"
    async with transaction(pool) as connection:
        rows = await Datasets(connection).members(built.version.name)
    (row,) = [row for row in rows if row.prediction_id == corrected]
    assert (row.source, row.annotator) == ("feedback", "anna")


async def test_a_correction_of_a_known_text_is_written_down_in_the_audit_log(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    known = some_candidates()[0]
    await predicted(pool, known.text, known.label, voted="positive")
    built = await build_from_feedback(pool, request_for, detect_language=in_italian)
    assert (built.report.relabelled, built.report.added) == (1, 0)
    assert (await labels_in(pool, "v1"))[known.text] == "negative"
    assert (await labels_in(pool, "v2"))[known.text] == "positive"
    async with transaction(pool) as connection:
        (line,) = await Audit(connection).newest(subject=content_hash(known.text).hex())
    assert (line.action, line.evidence["before"], line.evidence["after"]) == (
        "example.relabelled",
        "negative",
        "positive",
    )


async def test_votes_that_are_tied_are_left_out_and_reported(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await predicted(pool, "Così così direi", "neutral", client="anna", voted="positive")
    await predicted(pool, "Così  così direi", "neutral", client="bruno", voted="negative")
    await predicted(pool, "Splendido davvero", "neutral", client="bruno", voted="positive")
    built = await build_from_feedback(pool, request_for, detect_language=in_italian)
    assert built.report.left_out.by_reason == {Refusal.VOTES_TIED: 1}
    assert "Così così direi" not in await labels_in(pool, built.version.name)


async def test_feedback_that_is_in_already_makes_no_new_version(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await predicted(pool, "Splendido davvero", "neutral", voted="positive")
    first = await build_from_feedback(pool, request_for, detect_language=in_italian)
    again = await build_from_feedback(pool, request_for, detect_language=in_italian)
    assert (first.created, again.created, again.version.name) == (True, False, first.version.name)


async def test_without_feedback_there_is_nothing_to_build(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    with pytest.raises(InvalidInput, match="no feedback"):
        await build_from_feedback(pool, request_for, detect_language=in_italian)


async def test_what_a_client_had_erased_is_not_built_again(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    await predicted(pool, "Il mio segreto è bello", "neutral", client="carla", voted="positive")
    await predicted(pool, "Splendido davvero", "neutral", voted="positive")
    second = await build_from_feedback(pool, request_for, detect_language=in_italian)
    async with transaction(pool) as connection:
        erasure = await Predictions(connection).erase_client("carla")
    assert erasure.dataset_versions == (second.version.name,)
    third = await upload(pool, tmp_path, request_for, start=300, count=30)
    assert third.report.left_out.by_reason == {Refusal.ERASED: 1}
    assert "Il mio segreto è bello" not in await labels_in(pool, third.version.name)


async def counts(pool: Pool) -> list[int]:
    async with transaction(pool) as connection:
        return [
            await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in (
                "datasets",
                "dataset_versions",
                "dataset_members",
                "examples",
                "audit_log",
            )
        ]


@pytest.mark.parametrize("count", [3, 12])
async def test_a_refused_file_leaves_nothing_behind(
    pool: Pool, tmp_path: Path, request_for: BuildRequest, count: int
) -> None:
    with pytest.raises(InvalidInput):
        await upload(pool, tmp_path, request_for, count=count)
    assert await counts(pool) == [0] * 5
    assert not (tmp_path / "store").exists()


async def test_a_store_that_cannot_be_written_leaves_no_rows_behind(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    (tmp_path / "store").write_text("a file where the store's folder should be")
    with pytest.raises(Unavailable):
        await upload(pool, tmp_path, request_for)
    assert await counts(pool) == [0] * 5


async def test_an_unknown_or_foreign_parent_is_refused(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    with pytest.raises(NotFound, match="v9"):
        await upload(pool, tmp_path, replace(request_for, parent="v9"))
    with pytest.raises(InvalidInput, match="not of 'other'"):
        await upload(pool, tmp_path, replace(request_for, parent="v1", dataset="other"))


async def test_another_dataset_starts_on_its_own(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    other = await upload(pool, tmp_path, replace(request_for, dataset="tweets"))
    assert (other.version.name, other.version.dataset, other.version.parent) == (
        "v2",
        "tweets",
        None,
    )


async def test_members_come_in_pages(pool: Pool, tmp_path: Path, request_for: BuildRequest) -> None:
    await upload(pool, tmp_path, request_for)
    async with transaction(pool) as connection:
        datasets = Datasets(connection)
        everything = await datasets.members("v1")
        first = await datasets.members("v1", limit=60)
        rest = await datasets.members("v1", after=first[-1].content_hash, limit=60)
    assert first + rest == everything
    assert {row.split for row in everything} == set(Split)


async def test_lineage_walks_from_a_prediction_to_the_rows_behind_it(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    await upload(pool, tmp_path, request_for)
    asked = await predicted(pool, "Splendido davvero", "neutral", voted="positive")
    built = await build_from_feedback(pool, request_for, detect_language=in_italian)
    async with transaction(pool) as connection:
        await connection.execute(
            "INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, dataset_version, created_by) "
            "VALUES ('job-1', $1, $2, '{}', 'Succeeded', 'm', $3, 'ada')",
            {
                "trainer": {"method": "Linear"},
                "baseModel": {"storageUri": "named://multilingual-small"},
            },
            {"attempt": 1},
            built.version.name,
        )
        await connection.execute(
            "INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, "
            "training_job, created_by) "
            "VALUES ('m-1', 'm', 1, $1, $2, '{}', '{}', 'Live', 'job-1', 'ada')",
            "sha256:" + "0" * 64,
            {"datasetHash": built.version.content_hash, "gateResult": {"verdict": "Pass"}},
        )
        found = await lineage(connection, prediction_uuid(f"{asked.hex}-0123456789abcdef"))
    assert found.prediction["text"] == "Splendido davvero"
    assert [vote["label"] for vote in found.votes] == ["positive"]
    assert found.model_version is not None
    assert found.model_version["gate_result"] == {"verdict": "Pass"}
    assert found.training_job is not None
    assert (found.training_job["name"], found.training_job["method"]) == ("job-1", "Linear")
    assert found.dataset_version is not None
    assert found.dataset_version["content_hash"] == built.version.content_hash
    assert sum(source["rows"] for source in found.sources) == 101
    assert [row["annotator"] for row in found.labelled_by_people] == ["anna"]
    (own,) = found.own_rows
    assert (own["dataset_version"], own["label"], own["from_this_prediction"]) == (
        "v2",
        "positive",
        True,
    )


async def test_lineage_of_an_unknown_prediction_is_refused(pool: Pool) -> None:
    async with transaction(pool) as connection:
        with pytest.raises(NotFound, match="no such prediction"):
            await lineage(connection, UUID(str(uuid7())))
    with pytest.raises(NotFound, match="no prediction id"):
        prediction_uuid("hello-world")


async def test_groups_stay_together_across_versions(
    pool: Pool, tmp_path: Path, request_for: BuildRequest
) -> None:
    def reading(numbers: range) -> Reading:
        base = a_reading(tmp_path)
        rows = tuple(
            LabelledRow(row.row, "", row.text, row.label, f"thread-{n % 40}")
            for n, row in zip(
                numbers, a_reading(tmp_path, numbers.start, len(numbers)).rows, strict=True
            )
        )
        return Reading(rows, base.report)

    for numbers in (range(100), range(200, 260)):
        await build_from_file(pool, reading(numbers), request_for, detect_language=in_italian)
    async with transaction(pool) as connection:
        rows = await Datasets(connection).members("v2")
    sides: dict[str | None, set[str]] = {}
    for row in rows:
        sides.setdefault(row.group_key, set()).add(row.split)
    assert len(sides) == 40
    assert all(len(side) == 1 for side in sides.values())
