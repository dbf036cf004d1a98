"""Dataset versions: what there is, what each is made of, their rows, and how two of them differ."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.dataset_operations import (
    LabelEdit,
    build_edited_version,
    change_label,
    export_of,
    refused_csv,
)
from sentops_backoffice.dataset_views import (
    DatasetWords,
    label_mix,
    refused_parts,
    refused_rows,
    report_of,
    rows_told,
)
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.operations import build_feedback_version
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.row_query import RowQueryDep
from sentops_backoffice.sentences import sentence_of
from sentops_backoffice.staging import waiting_uploads
from sentops_core.datasets.building import Built
from sentops_core.datasets.editing import LONGEST_REASON, history_of
from sentops_core.datasets.exporting import ExportFormat
from sentops_core.domain.errors import Conflict, InvalidInput, PlatformError
from sentops_core.http.errors import status_of
from sentops_core.store.dataset_rows import DatasetRows, DiffKind
from sentops_core.store.datasets import Datasets
from sentops_core.store.examples import Examples
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.pool import transaction
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/datasets", tags=["pages"], include_in_schema=False)

PAGE = 100
_VERSIONS = 50  # each takes many words
LIST = "/backoffice/datasets"
_CURRENT = "datasets"
_NEAR_SHOWN = 50

After = Annotated[str, Query(pattern="^([0-9a-f]{64})?$")]


@router.get("", summary="Dataset versions, newest first")
async def get_datasets(
    page: PageDep,
    parts: PartsDep,
    connection: Connection,
    actor: ActorDep,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    datasets = Datasets(connection)
    versions = await datasets.listed(before=before, limit=_VERSIONS)
    newest = await datasets.latest()
    return page.render(
        "datasets.html",
        current=_CURRENT,
        versions=versions,
        next=versions[-1].number if len(versions) == _VERSIONS else None,
        before=before,
        newest=newest,
        edits=await Examples(connection).edits_waiting(newest.name) if newest else 0,
        waiting=await waiting_uploads(parts, owner=actor.name),
        label_mix=label_mix,
        say=_say(page),
    )


@router.post("/from-feedback", summary="Build a dataset version with people's votes")
@needs(Role.ANNOTATOR)
async def post_from_feedback(page: PageDep, actor: ActorDep, parts: PartsDep) -> Response:
    return see_built(page, await build_feedback_version(parts, actor=actor.name))


@router.post("/from-edits", summary="Build a dataset version with the labels that staff changed")
@needs(Role.ANNOTATOR)
async def post_from_edits(page: PageDep, actor: ActorDep, parts: PartsDep) -> Response:
    return see_built(page, await build_edited_version(parts, actor=actor.name))


@router.get("/{version}", summary="One dataset version: what it is made of")
async def get_dataset(
    version: str, page: PageDep, parts: PartsDep, connection: Connection
) -> Response:
    datasets = Datasets(connection)
    row = await datasets.version(version)
    report = report_of(row)
    refused = refused_parts(report)
    newest = await datasets.latest(row.dataset)
    return page.render(
        "dataset.html",
        current=_CURRENT,
        version=row,
        report=report,
        refused=refused,
        all_told=rows_told(refused),
        profile=await parts.profiles.of(connection, row),
        edits=await Examples(connection).edits_waiting(row.name),
        is_newest=newest is not None and newest.name == row.name,
        formats_offered=list(ExportFormat),
        label_mix=label_mix,
        say=_say(page),
    )


@router.get("/{version}/rows", summary="The rows of a version, searched and filtered")
async def get_rows(
    version: str, page: PageDep, parts: PartsDep, connection: Connection, query: RowQueryDep
) -> Response:
    row = await Datasets(connection).version(version)
    rows = await DatasetRows(connection).browse(
        row.name, query.filter, after=query.last, limit=PAGE
    )
    return page.render(
        "dataset_rows.html",
        current=_CURRENT,
        version=row,
        rows=rows,
        asked=query,
        kept=query.asked,
        after=query.after,
        next=rows[-1].content_hash.hex() if len(rows) == PAGE else "",
        profile=await parts.profiles.of(connection, row),
        say=_say(page),
    )


@router.get("/{version}/rows/{content_hash}", summary="One row: its label, and who changed it")
async def get_row(
    version: str, content_hash: str, page: PageDep, connection: Connection
) -> Response:
    return await _row_page(page, connection, version, _hash(content_hash))


@router.post("/{version}/rows/{content_hash}/label", summary="Change the label of a text")
@needs(Role.ANNOTATOR)
async def post_label(
    request: Request,
    version: str,
    content_hash: str,
    page: PageDep,
    actor: ActorDep,
    parts: PartsDep,
) -> Response:
    fields = text_fields(await read_form(request))
    key = _hash(content_hash)
    try:
        edit = LabelEdit.model_validate(
            {name: fields.get(name, "") for name in ("label", "seen", "reason")}
        )
    except ValueError as error:
        raise InvalidInput(
            f"Choose a label, and say why in {LONGEST_REASON} characters at most.",
            saying="edit_incomplete",
            facts={"most": LONGEST_REASON},
        ) from error
    try:
        async with transaction(parts.pool) as connection:
            await change_label(connection, version, key, edit, actor=actor.name)
    except (InvalidInput, Conflict) as error:
        async with transaction(parts.pool) as connection:
            return await _row_page(page, connection, version, key, error=error, fields=fields)
    return page.see(f"{LIST}/{version}/rows/{content_hash}", done="label_edited")


@router.get("/{version}/near-duplicates", summary="Rows that nearly say the same")
async def get_near_duplicates(
    version: str, page: PageDep, parts: PartsDep, connection: Connection
) -> Response:
    row = await Datasets(connection).version(version)
    found = (await parts.profiles.of(connection, row)).near_duplicates
    shown = found.pairs[:_NEAR_SHOWN]
    hashes = {bytes.fromhex(one) for pair in shown for one in (pair.one, pair.other)}
    return page.render(
        "dataset_near.html",
        current=_CURRENT,
        version=row,
        found=found,
        pairs=shown,
        rows={
            key.hex(): member
            for key, member in (await DatasetRows(connection).some(row.name, list(hashes))).items()
        },
        say=_say(page),
    )


@router.get("/{version}/diff", summary="How two versions differ")
async def get_diff(
    version: str,
    page: PageDep,
    connection: Connection,
    other: Annotated[str, Query(alias="from", max_length=100)] = "",
    kind: DiffKind = DiffKind.ADDED,
    after: After = "",
) -> Response:
    datasets, rows = Datasets(connection), DatasetRows(connection)
    row = await datasets.version(version)
    listed = await datasets.listed(limit=PAGE)
    chosen = other or row.parent or next((one.name for one in listed if one.name != row.name), "")
    before = await datasets.version(chosen) if chosen else None
    different = (
        await rows.different(before.name, row.name, kind, last=bytes.fromhex(after), limit=PAGE)
        if before
        else []
    )
    return page.render(
        "dataset_diff.html",
        current=_CURRENT,
        version=row,
        before=before,
        others=_with([one.name for one in listed if one.name != row.name], chosen),
        counts=await rows.differences(before.name, row.name) if before else None,
        kind=kind,
        kinds=list(DiffKind),
        rows=different,
        after=after,
        next=different[-1].content_hash.hex() if len(different) == PAGE else "",
        say=_say(page),
    )


@router.get("/{version}/export", summary="A version as a file")
async def get_export(
    version: str,
    parts: PartsDep,
    wanted: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.CSV,
) -> StreamingResponse:
    async with transaction(parts.pool) as connection:
        row = await Datasets(connection).version(version)
    return export_of(parts, row, wanted)


@router.get("/{version}/refused.csv", summary="The refused rows of a version's making")
async def get_refused(version: str, connection: Connection) -> StreamingResponse:
    row = await Datasets(connection).version(version)
    return refused_csv(refused_rows(report_of(row)), row.name)


def see_built(page: Page, built: Built) -> Response:
    """To the version, saying whether it is new."""
    done = "dataset_made" if built.created else "dataset_same"
    return page.see(f"{LIST}/{built.version.name}", done=done)


def _say(page: Page) -> DatasetWords:
    return DatasetWords(page.words, page.formats)


def _with(names: list[str], chosen: str) -> list[str]:
    return names if not chosen or chosen in names else [*names, chosen]


def _hash(content_hash: str) -> bytes:
    try:
        return bytes.fromhex(content_hash)
    except ValueError:
        return b""  # of no row: the answer is that there is none


async def _row_page(
    page: Page,
    connection: StoreConnection,
    version: str,
    key: bytes,
    *,
    error: PlatformError | None = None,
    fields: dict[str, str] | None = None,
) -> Response:
    found = await Datasets(connection).version(version)
    rows = DatasetRows(connection)
    row = await rows.row(found.name, key)
    return page.render(
        "dataset_row.html",
        status=status_of(error) if error else 200,
        current=_CURRENT,
        version=found,
        row=row,
        example=await Examples(connection).find(key),
        history=await history_of(connection, key),
        versions=await rows.in_versions(key),
        sentence=sentence_of(error, page.words) if error else "",
        given=fields or {},
        most=LONGEST_REASON,
        say=_say(page),
    )
