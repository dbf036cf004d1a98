"""Datasets for programs."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.dataset_operations import (
    LabelEdit,
    build_edited_version,
    change_label,
    export_of,
)
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.operations import build_feedback_version
from sentops_backoffice.row_query import LimitedRowQueryDep
from sentops_backoffice.uploads import OPENAPI, build_from_upload
from sentops_core.datasets.building import Built
from sentops_core.datasets.editing import history_of
from sentops_core.datasets.exporting import ExportFormat
from sentops_core.datasets.profile import Profile
from sentops_core.datasets.report import BuildReport
from sentops_core.domain import base
from sentops_core.domain.base import Moment, ResourceName
from sentops_core.store.dataset_rows import (
    BrowsedRow,
    DatasetRows,
    DifferentRow,
    DiffKind,
)
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.examples import Examples
from sentops_core.store.pool import transaction
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/api/datasets", tags=["datasets"])

After = Annotated[
    str, Query(pattern="^([0-9a-f]{64})?$", description="The `next` of the page before.")
]
RowHash = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The row's content hash.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


class DatasetVersion(base.Body):
    """`name` is the dataset's, `version` the name that trainings ask for."""

    version: str
    name: str
    parent: str | None
    labels: tuple[str, ...]
    label_counts: dict[str, int]
    rows_train: int
    rows_holdout: int
    erased_rows: int
    content_hash: str
    holdout_hash: str
    storage_uri: str
    description: str
    origin: str
    licence: str
    created_by: str
    created_at: Moment


class DatasetDetail(DatasetVersion):
    """`edits_waiting` of its rows were relabelled by staff since: the next version built on it takes them in."""

    report: dict[str, Any]
    profile: Profile
    edits_waiting: int


class DatasetList(base.Body):
    datasets: list[DatasetVersion]


class Made(DatasetVersion):
    """`created` is false when a version with exactly these rows was there already: this is that one."""

    report: BuildReport
    created: bool


class Ground(base.Body):
    """What to build on."""

    parent: str | None = Field(default=None, description="Version to add to; else the newest.")
    dataset: ResourceName | None = Field(default=None, description="Else that of the parent.")


GroundBody = Annotated[Ground | None, Body(openapi_examples={"on v3": {"value": {"parent": "v3"}}})]


class Row(base.Body):
    """`label` is the version's, `label_now` what the text is labelled since; both texts are null once erased."""

    content_hash: str
    text: str | None
    label: str
    split: str
    source: str
    language: str | None
    annotator: str | None
    label_now: str | None


class Rows(base.Body):
    rows: list[Row]
    next: str | None = Field(description="Give it back as `after` for the next page.")


class LabelChange(base.Body):
    at: Moment
    actor: str
    before: str
    after: str
    reason: str
    source: str
    dataset_version: str


class InVersion(base.Body):
    version: str
    label: str
    split: str


class RowHistory(Row):
    """`changes` have the newest first; so have `versions`, the newest twenty that hold the text."""

    changes: list[LabelChange]
    versions: list[InVersion]


class Diff(base.Body):
    """How many rows `version` has, lacks or labels otherwise against `other`."""

    version: str
    other: str
    added: int
    removed: int
    relabelled: int
    same: int


class DiffRow(base.Body):
    """`before` is null where the row was added, `after` where it was removed."""

    content_hash: str
    text: str | None
    before: str | None
    after: str | None
    split: str
    source: str


class DiffRows(base.Body):
    rows: list[DiffRow]
    next: str | None = Field(description="Give it back as `after` for the next page.")


@router.get("", summary="Dataset versions, newest first")
async def get_datasets(connection: Connection) -> DatasetList:
    versions = await Datasets(connection).versions()
    return DatasetList(datasets=[DatasetVersion(**_facts(row)) for row in versions])


@router.get("/{version}", summary="One dataset version, with the report of its making")
async def get_dataset(version: str, connection: Connection, parts: PartsDep) -> DatasetDetail:
    row = await Datasets(connection).version(version)
    return DatasetDetail(
        **_facts(row),
        report=row.report,
        profile=await parts.profiles.of(connection, row),
        edits_waiting=await Examples(connection).edits_waiting(row.name),
    )


@router.get("/{version}/rows", summary="The rows of a version, by content hash")
async def get_rows(version: str, connection: Connection, query: LimitedRowQueryDep) -> Rows:
    found = await Datasets(connection).version(version)
    members = await DatasetRows(connection).browse(
        found.name, query.filter, after=query.last, limit=query.limit
    )
    rows = [Row(**_row(member)) for member in members]
    return Rows(rows=rows, next=rows[-1].content_hash if len(rows) == query.limit else None)


@router.get("/{version}/rows/{content_hash}", summary="One row, and who changed its label")
async def get_row(version: str, content_hash: RowHash, connection: Connection) -> RowHistory:
    found = await Datasets(connection).version(version)
    key = bytes.fromhex(content_hash)
    rows = DatasetRows(connection)
    return RowHistory(
        **_row(await rows.row(found.name, key)),
        changes=[LabelChange(**vars(change)) for change in await history_of(connection, key)],
        versions=[
            InVersion(version=one.name, label=one.label, split=one.split)
            for one in await rows.in_versions(key)
        ],
    )


@router.put("/{version}/rows/{content_hash}/label", summary="Change the label of a text")
@needs(Role.ANNOTATOR)
async def put_label(
    version: str,
    content_hash: RowHash,
    edit: Annotated[
        LabelEdit,
        Body(
            openapi_examples={
                "irony": {
                    "value": {"label": "negative", "seen": "positive", "reason": "It is irony."}
                }
            }
        ),
    ],
    actor: ActorDep,
    parts: PartsDep,
) -> RowHistory:
    """The version itself never changes: the next one built takes the label in, and it outweighs what is uploaded."""
    async with transaction(parts.pool) as connection:
        await change_label(connection, version, bytes.fromhex(content_hash), edit, actor=actor.name)
        return await get_row(version, content_hash, connection)


@router.get("/{version}/diff/{other}", summary="How a version differs from another one")
async def get_diff(version: str, other: str, connection: Connection) -> Diff:
    datasets = Datasets(connection)
    row, before = await datasets.version(version), await datasets.version(other)
    counts = await DatasetRows(connection).differences(before.name, row.name)
    return Diff(version=row.name, other=before.name, **vars(counts))


@router.get("/{version}/diff/{other}/rows", summary="The rows in which two versions differ")
async def get_diff_rows(
    version: str,
    other: str,
    connection: Connection,
    kind: DiffKind,
    after: After = "",
    limit: Limit = 100,
) -> DiffRows:
    datasets = Datasets(connection)
    row, before = await datasets.version(version), await datasets.version(other)
    found = await DatasetRows(connection).different(
        before.name, row.name, kind, last=bytes.fromhex(after), limit=limit
    )
    rows = [_diff_row(one) for one in found]
    return DiffRows(rows=rows, next=rows[-1].content_hash if len(rows) == limit else None)


@router.get(
    "/{version}/export",
    summary="A version as a CSV, JSON Lines or Parquet file",
    response_class=StreamingResponse,
    responses={200: {"content": {one.media_type: {} for one in ExportFormat}}},
)
async def get_export(
    version: str,
    parts: PartsDep,
    wanted: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.CSV,
) -> StreamingResponse:
    """Erased rows are left out.

    In CSV a text that a spreadsheet would run as a formula has a ' before it: take one ' away where apostrophes stand
    before = + - @, a tab or a line end. Uploading the file again does that by itself; JSON Lines and Parquet hold the
    texts as they are.
    """
    async with transaction(parts.pool) as connection:
        row = await Datasets(connection).version(version)
    return export_of(parts, row, wanted)


@router.post("", status_code=201, summary="Make a version from a file", openapi_extra=OPENAPI)
@needs(Role.ANNOTATOR)
async def post_dataset(
    request: Request, response: Response, actor: ActorDep, parts: PartsDep
) -> Made:
    """CSV, TSV, JSONL, Parquet or XLSX; 200 in place of 201 when these rows are a version already."""
    return made(await build_from_upload(request, parts, actor=actor.name), response)


@router.post("/from-feedback", status_code=201, summary="Make a version with people's corrections")
@needs(Role.ANNOTATOR)
async def post_from_feedback(
    response: Response, actor: ActorDep, parts: PartsDep, body: GroundBody = None
) -> Made:
    wanted = body or Ground()
    built = await build_feedback_version(
        parts, actor=actor.name, dataset=wanted.dataset, parent=wanted.parent
    )
    return made(built, response)


@router.post(
    "/from-edits", status_code=201, summary="Make a version with the labels that staff changed"
)
@needs(Role.ANNOTATOR)
async def post_from_edits(
    response: Response, actor: ActorDep, parts: PartsDep, body: GroundBody = None
) -> Made:
    wanted = body or Ground()
    built = await build_edited_version(
        parts, actor=actor.name, dataset=wanted.dataset, parent=wanted.parent
    )
    return made(built, response)


def made(built: Built, response: Response) -> Made:
    if not built.created:
        response.status_code = 200
    return Made(**_facts(built.version), report=built.report, created=built.created)


def _facts(row: VersionRow) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in DatasetVersion.model_fields if hasattr(row, name)}
    return facts | {"version": row.name, "name": row.dataset}


def _row(row: BrowsedRow) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in Row.model_fields}
    return facts | {"content_hash": row.content_hash.hex()}


def _diff_row(row: DifferentRow) -> DiffRow:
    return DiffRow(**vars(row) | {"content_hash": row.content_hash.hex()})
