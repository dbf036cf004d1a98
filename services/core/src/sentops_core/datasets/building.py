"""Building a dataset version: read the parent, decide, then write rows and files in one transaction."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog

from sentops_core.artifacts import put_folder
from sentops_core.datasets.draft import (
    EDITED,
    LABELLING,
    Candidate,
    Draft,
    Member,
    draft_version,
)
from sentops_core.datasets.edits import texts_of, with_edits
from sentops_core.datasets.materialise import DatasetCard, address_of, write_folder
from sentops_core.datasets.profile import Profile, profile_of
from sentops_core.datasets.reading import Reading
from sentops_core.datasets.report import BuildReport, ReadReport, Refusal, Refusals, RefusedRow
from sentops_core.datasets.split import Split
from sentops_core.datasets.votes import decide_votes
from sentops_core.domain.errors import Conflict, InvalidInput
from sentops_core.domain.text import normalise
from sentops_core.language import DetectLanguage
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import (
    DatasetRow,
    Datasets,
    MemberRow,
    NewMember,
    NewVersion,
    VersionRow,
)
from sentops_core.store.examples import ExampleRow, Examples
from sentops_core.store.feedback import Feedback
from sentops_core.store.labelled import LabelledText, labelled_texts
from sentops_core.store.pool import Connection, Pool, transaction

log = structlog.get_logger()

DEFAULT_DATASET = "reviews"
NO_PARENT: Literal["none"] = "none"


@dataclass(frozen=True)
class BuildRequest:
    """Whose version to build. No `dataset`: that of the parent, else of the newest version.

    No `parent`: the dataset's newest version; `none`: start from nothing. The facts describe a new dataset.
    """

    store_uri: str
    actor: str
    dataset: str | None = None
    parent: str | None = None
    description: str = ""
    origin: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Built:
    """`created` is False when a version with exactly these rows was there already."""

    version: VersionRow
    report: BuildReport
    created: bool


@dataclass(frozen=True)
class _Ground:
    """What the new version stands on."""

    dataset: DatasetRow
    new_dataset: bool
    parent: VersionRow | None
    members: tuple[Member, ...]
    erased: int


async def build_from_file(
    pool: Pool, reading: Reading, request: BuildRequest, *, detect_language: DetectLanguage
) -> Built:
    """A version of the parent's rows and the file's; InvalidInput says why it cannot be one."""
    async with transaction(pool) as connection:
        ground = await _ground(connection, request)
    candidates = [
        Candidate(
            text=row.text,
            label=row.label,
            source=f"upload:{ground.dataset.name}",
            group=row.group,
            row=row.row,
            row_id=row.row_id,
        )
        for row in reading.rows
    ]
    return await _build(
        pool, ground, candidates, request, detect_language=detect_language, file=reading.report
    )


async def build_from_feedback(
    pool: Pool, request: BuildRequest, *, detect_language: DetectLanguage
) -> Built:
    """A version of the parent's rows and what people said: of answers, and in the labelling queue."""
    async with transaction(pool) as connection:
        ground = await _ground(connection, request)
        votes = [vote async for vote in Feedback(connection).for_dataset()]
        labelled = await labelled_texts(connection)
    candidates, tied = decide_votes(votes)
    candidates += [_candidate(one) for one in labelled]  # last: annotators outweigh voters
    if not candidates:
        raise InvalidInput(
            "There is no feedback to learn from yet: correct or confirm some answers, or label texts of the queue."
            if not tied
            else f"People disagree on each of the {len(tied)} texts they voted on; more votes will decide.",
            saying="votes_tied" if tied else "no_feedback",
            facts={"texts": len(tied)},
        )
    return await _build(
        pool, ground, candidates, request, detect_language=detect_language, refused=tied
    )


async def build_from_edits(
    pool: Pool, request: BuildRequest, *, detect_language: DetectLanguage
) -> Built:
    """A version of the parent's rows as staff have relabelled them since."""
    async with transaction(pool) as connection:
        ground = await _ground(connection, request)
        waiting = (
            await Examples(connection).edits_waiting(ground.parent.name) if ground.parent else 0
        )
    if not waiting:
        raise InvalidInput(
            f"No label was changed since {ground.parent.name}: there is nothing new to build."
            if ground.parent
            else "There is no dataset yet: upload one first.",
            saying="no_edits" if ground.parent else "no_dataset",
            facts={"version": ground.parent.name if ground.parent else ""},
        )
    return await _build(pool, ground, [], request, detect_language=detect_language)


def _candidate(labelled: LabelledText) -> Candidate:
    return Candidate(
        text=normalise(labelled.text),
        label=labelled.label,
        source=LABELLING,
        annotator=labelled.annotators,
        prediction_id=labelled.prediction_id,
        row_id=f"labelling item {labelled.item}",
    )


async def _ground(connection: Connection, request: BuildRequest) -> _Ground:
    datasets = Datasets(connection)
    parent: VersionRow | None = None
    if request.parent is not None and request.parent != NO_PARENT:
        parent = await datasets.version(request.parent)
    newest = parent or await datasets.latest()
    name = request.dataset or (newest.dataset if newest else DEFAULT_DATASET)
    if parent is not None and parent.dataset != name:
        raise InvalidInput(
            f"{parent.name} is a version of dataset {parent.dataset!r}, not of {name!r}: name one of them only.",
            saying="parent_of_another",
            facts={"parent": parent.name, "dataset": parent.dataset, "name": name},
        )
    if request.parent is None:
        parent = await datasets.latest(name)
    dataset = await datasets.find(name)
    rows = await datasets.members(parent.name) if parent else []
    members = tuple(_member(row, row.text) for row in rows if row.text is not None)
    return _Ground(
        dataset=dataset or _new_dataset(name, request),
        new_dataset=dataset is None,
        parent=parent,
        members=members,
        erased=len(rows) - len(members),
    )


def _new_dataset(name: str, request: BuildRequest) -> DatasetRow:
    """The name is the salt: the same data splits the same way on every installation."""
    return DatasetRow(
        name=name,
        description=request.description,
        licence=request.licence,
        origin=request.origin,
        labels=[],
        split_salt=name,
        created_at=datetime.now(UTC),
    )


def _member(row: MemberRow, text: str) -> Member:
    return Member(
        content_hash=row.content_hash,
        text=text,
        label=row.label,
        split=Split(row.split),
        source=row.source,
        language=row.language,
        group=row.group_key,
        annotator=row.annotator,
        prediction_id=row.prediction_id,
    )


async def _build(
    pool: Pool,
    ground: _Ground,
    candidates: Sequence[Candidate],
    request: BuildRequest,
    *,
    detect_language: DetectLanguage,
    file: ReadReport | None = None,
    refused: Sequence[RefusedRow] = (),
) -> Built:
    labels = tuple(ground.dataset.labels) or None
    async with transaction(pool) as connection:
        texts = await asyncio.to_thread(texts_of, ground.members, candidates)
        edits = await Examples(connection).edited(texts)
    wanted, overruled = with_edits(ground.members, candidates, edits, labels=labels)
    draft = await asyncio.to_thread(
        draft_version,
        ground.members,
        wanted,
        labels=labels,
        salt=ground.dataset.split_salt,
        detect_language=detect_language,
    )
    profile = await asyncio.to_thread(profile_of, draft.members)
    report = _report(draft, ground, profile, file, [*refused, *overruled])
    with tempfile.TemporaryDirectory(prefix="sentops-dataset-") as folder:
        async with transaction(pool) as connection:
            built = await _write(connection, draft, ground, request, report, Path(folder))
    log.info(
        "dataset_version_built" if built.created else "dataset_version_unchanged",
        dataset_version=built.version.name,
        rows_train=built.version.rows_train,
        rows_holdout=built.version.rows_holdout,
        left_out=report.left_out.count,
    )
    return built


def _report(
    draft: Draft,
    ground: _Ground,
    profile: Profile,
    file: ReadReport | None,
    refused: Sequence[RefusedRow],
) -> BuildReport:
    erased = [
        RefusedRow(
            row=0, reason=Refusal.ERASED, message="a row of the parent whose text was erased"
        )
    ] * ground.erased
    return BuildReport(
        file=file,
        rows_from_parent=len(ground.members),
        added=len(draft.added),
        relabelled=len(draft.relabelled),
        edited=sum(change.member.source == EDITED for change in draft.relabelled),
        unchanged=draft.unchanged,
        left_out=Refusals.of([*refused, *draft.left_out, *erased]),
        profile=profile,
    )


async def _write(
    connection: Connection,
    draft: Draft,
    ground: _Ground,
    request: BuildRequest,
    report: BuildReport,
    folder: Path,
) -> Built:
    """The files come last, under an address made of their content: if anything fails, nothing is kept."""
    datasets = Datasets(connection)
    await datasets.lock_building()
    if same := await datasets.with_content(draft.content_hash):
        return Built(same, report, created=False)
    await _refuse_stale_parent(datasets, ground, request)
    number = await datasets.next_number()
    version = NewVersion(
        name=f"v{number}",
        number=number,
        dataset=ground.dataset.name,
        parent=ground.parent.name if ground.parent else None,
        content_hash=draft.content_hash,
        holdout_hash=draft.holdout_hash,
        storage_uri=address_of(request.store_uri, draft.content_hash),
        rows_train=len(draft.side(Split.TRAIN)),
        rows_holdout=len(draft.side(Split.HOLDOUT)),
        label_counts=draft.label_counts,
        report=report.model_dump(mode="json"),
        created_by=request.actor,
    )
    if ground.new_dataset:
        await datasets.create(_with_labels(ground.dataset, draft.labels))
    await _keep_examples(connection, draft, request.actor, version.name)
    await datasets.create_version(version, [_new_member(member) for member in draft.members])
    await Audit(connection).record(
        request.actor,
        "dataset_version.created",
        version.name,
        {
            "dataset": version.dataset,
            "parent": version.parent,
            "content_hash": version.content_hash,
            "rows_train": version.rows_train,
            "rows_holdout": version.rows_holdout,
            "added": len(draft.added),
            "relabelled": len(draft.relabelled),
        },
    )
    card = DatasetCard(
        name=version.dataset,
        version=version.name,
        labels=draft.labels,
        content_hash=version.content_hash,
        holdout_hash=version.holdout_hash,
        rows_train=version.rows_train,
        rows_holdout=version.rows_holdout,
        label_counts=version.label_counts,
        origin=ground.dataset.origin,
        licence=ground.dataset.licence,
    )
    await asyncio.to_thread(_store, folder, draft, card, version.storage_uri)
    return Built(await datasets.version(version.name), report, created=True)


async def _refuse_stale_parent(datasets: Datasets, ground: _Ground, request: BuildRequest) -> None:
    """Two builds at once from "the newest": the second would silently drop what the first added."""
    if request.parent is None:
        newest = await datasets.latest(ground.dataset.name)
        if (newest and newest.name) != (ground.parent and ground.parent.name):
            raise Conflict(
                "Another version was built at the same time: send it once more.",
                saying="build_raced",
            )
    elif ground.new_dataset and await datasets.find(ground.dataset.name):
        raise Conflict(
            "Another build made this dataset at the same time: send it once more.",
            saying="build_raced",
        )


async def _keep_examples(connection: Connection, draft: Draft, actor: str, version: str) -> None:
    relabelled = [change.member for change in draft.relabelled]
    await Examples(connection).keep(
        [
            ExampleRow(
                content_hash=member.content_hash,
                text=member.text,
                label=member.label,
                language=member.language,
                group_key=member.group,
                source=member.source,
                annotator=member.annotator,
                prediction_id=member.prediction_id,
            )
            for member in (*draft.added, *relabelled)
        ]
    )
    for change in draft.relabelled:
        await Audit(connection).record(
            actor,
            "example.relabelled",
            change.member.content_hash.hex(),
            {
                "before": change.before,
                "after": change.member.label,
                "source": change.member.source,
                "dataset_version": version,
            },
        )


def _with_labels(dataset: DatasetRow, labels: tuple[str, ...]) -> DatasetRow:
    return DatasetRow(**{**vars(dataset), "labels": list(labels)})


def _new_member(member: Member) -> NewMember:
    return NewMember(
        content_hash=member.content_hash,
        label=member.label,
        split=member.split,
        source=member.source,
        annotator=member.annotator,
        prediction_id=member.prediction_id,
    )


def _store(folder: Path, draft: Draft, card: DatasetCard, uri: str) -> None:
    write_folder(folder, draft, card)
    put_folder(folder, uri)
