"""Datasets for programs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.operations import build_feedback_version
from sentops_backoffice.uploads import OPENAPI, build_from_upload
from sentops_core.datasets.building import Built
from sentops_core.datasets.report import BuildReport
from sentops_core.domain.base import Body, Moment, ResourceName
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/api/datasets", tags=["datasets"])


class DatasetVersion(Body):
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
    report: dict[str, Any]


class DatasetList(Body):
    datasets: list[DatasetVersion]


class Made(DatasetVersion):
    """`created` is false when a version with exactly these rows was there already: this is that one."""

    report: BuildReport
    created: bool


class FromFeedback(Body):
    parent: str | None = Field(default=None, description="Version to add to; else the newest.")
    dataset: ResourceName | None = Field(default=None, description="Else that of the parent.")


class Row(Body):
    content_hash: str
    text: str | None
    label: str
    split: str
    source: str
    language: str | None
    annotator: str | None


class Rows(Body):
    rows: list[Row]
    next: str | None = Field(description="Give it back as `after` for the next page.")


@router.get("", summary="Dataset versions, newest first")
async def get_datasets(connection: Connection) -> DatasetList:
    versions = await Datasets(connection).versions()
    return DatasetList(datasets=[DatasetVersion(**_facts(row)) for row in versions])


@router.get("/{version}", summary="One dataset version, with the report of its making")
async def get_dataset(version: str, connection: Connection) -> DatasetDetail:
    row = await Datasets(connection).version(version)
    return DatasetDetail(**_facts(row), report=row.report)


@router.get("/{version}/rows", summary="The rows of a version, by content hash")
async def get_rows(
    version: str,
    connection: Connection,
    after: Annotated[str, Query(pattern="^([0-9a-f]{64})?$")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Rows:
    datasets = Datasets(connection)
    found = await datasets.version(version)
    members = await datasets.members(found.name, after=bytes.fromhex(after), limit=limit)
    rows = [
        Row(
            content_hash=member.content_hash.hex(),
            text=member.text,
            label=member.label,
            split=member.split,
            source=member.source,
            language=member.language,
            annotator=member.annotator,
        )
        for member in members
    ]
    return Rows(rows=rows, next=rows[-1].content_hash if len(rows) == limit else None)


@router.post("", status_code=201, summary="Make a version from a file", openapi_extra=OPENAPI)
@needs(Role.ANNOTATOR)
async def post_dataset(
    request: Request, response: Response, actor: ActorDep, parts: PartsDep
) -> Made:
    """CSV, TSV, JSONL, Parquet or XLSX; 200 in place of 201 when these rows are a version already."""
    return _made(await build_from_upload(request, parts, actor=actor.name), response)


@router.post("/from-feedback", status_code=201, summary="Make a version with people's corrections")
@needs(Role.ANNOTATOR)
async def post_from_feedback(
    response: Response, actor: ActorDep, parts: PartsDep, body: FromFeedback | None = None
) -> Made:
    wanted = body or FromFeedback()
    built = await build_feedback_version(
        parts, actor=actor.name, dataset=wanted.dataset, parent=wanted.parent
    )
    return _made(built, response)


def _made(built: Built, response: Response) -> Made:
    if not built.created:
        response.status_code = 200
    return Made(**_facts(built.version), report=built.report, created=built.created)


def _facts(row: VersionRow) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in DatasetVersion.model_fields if hasattr(row, name)}
    return facts | {"version": row.name, "name": row.dataset}
