"""An upload in two steps: the file, then what its columns and labels mean."""

from collections.abc import Mapping
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.dataset_operations import refused_csv
from sentops_backoffice.dataset_views import DatasetWords, refused_of, rows_told
from sentops_backoffice.deps import Parts, PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.routes.datasets import LIST, see_built
from sentops_backoffice.sentences import sentence_of
from sentops_backoffice.staging import (
    KEPT,
    MOST_PER_PERSON,
    confirm,
    discard,
    labels_for,
    look_again,
    stage,
    waiting_uploads,
)
from sentops_backoffice.uploads import UploadFields, read_fields, received
from sentops_core.datasets.building import NO_PARENT
from sentops_core.datasets.labels import as_stars, label_of_stars
from sentops_core.datasets.preview import Preview
from sentops_core.domain.errors import NotFound, PlatformError
from sentops_core.http.errors import status_of
from sentops_core.store.datasets import Datasets
from sentops_core.store.pool import transaction
from sentops_core.store.staged_uploads import StagedUpload, StagedUploads
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/datasets", tags=["pages"], include_in_schema=False)

UPLOADS = f"{LIST}/uploads"
LEFT_OUT = "-"
_CURRENT = "datasets"
_PARENTS_OFFERED = 50
_COLUMNS = ("text_column", "label_column", "group_column")
_PLAIN = ("name", "parent", "description", "origin", "licence")


@router.get("/new", summary="The form that sends a file")
@needs(Role.ANNOTATOR)
async def get_new(page: PageDep, parts: PartsDep, actor: ActorDep) -> Response:
    return await _form(page, parts, actor.name)


@router.post("/uploads", summary="Keep a file until it is said what it means")
@needs(Role.ANNOTATOR)
async def post_upload(
    request: Request, page: PageDep, parts: PartsDep, actor: ActorDep
) -> Response:
    try:
        async with received(request, parts) as upload:
            made = await stage(parts, upload, owner=actor.name)
    except PlatformError as error:
        return await _form(page, parts, actor.name, error=error)
    return page.see(f"{UPLOADS}/{made}")


@router.get("/uploads/{upload}", summary="What the file holds, and what to make of it")
@needs(Role.ANNOTATOR)
async def get_upload(upload: str, page: PageDep, parts: PartsDep, actor: ActorDep) -> Response:
    return await _mapping(page, parts, actor.name, _id(upload))


@router.post("/uploads/{upload}/look", summary="Read it under other choices")
@needs(Role.ANNOTATOR)
async def post_look(
    request: Request, upload: str, page: PageDep, parts: PartsDep, actor: ActorDep
) -> Response:
    kept = await _kept(parts, _id(upload), actor.name)
    try:
        fields = chosen(text_fields(await read_form(request)), kept)
        await look_again(parts, kept.id, fields, owner=actor.name)
    except PlatformError as error:
        return await _mapping(page, parts, actor.name, kept.id, error=error)
    return page.see(f"{UPLOADS}/{kept.id}", done="upload_read")


@router.post("/uploads/{upload}/confirm", summary="Make the version")
@needs(Role.ANNOTATOR)
async def post_confirm(
    request: Request, upload: str, page: PageDep, parts: PartsDep, actor: ActorDep
) -> Response:
    kept = await _kept(parts, _id(upload), actor.name)
    try:
        fields = chosen(text_fields(await read_form(request)), kept)
        await look_again(parts, kept.id, fields, owner=actor.name)
        built = await confirm(parts, kept.id, fields, owner=actor.name)
    except NotFound:
        raise
    except PlatformError as error:
        return await _mapping(page, parts, actor.name, kept.id, error=error)
    return see_built(page, built)


@router.post("/uploads/{upload}/discard", summary="Forget the file")
@needs(Role.ANNOTATOR)
async def post_discard(upload: str, page: PageDep, parts: PartsDep, actor: ActorDep) -> Response:
    await discard(parts, _id(upload), owner=actor.name)
    return page.see(f"{LIST}/new", done="upload_discarded")


@router.get("/uploads/{upload}/refused.csv", summary="The rows that would be refused")
@needs(Role.ANNOTATOR)
async def get_refused(upload: str, parts: PartsDep, actor: ActorDep) -> StreamingResponse:
    kept = await _kept(parts, _id(upload), actor.name)
    report = Preview.model_validate(kept.preview).report
    return refused_csv(report.refused.first if report else (), "upload")


def chosen(form: Mapping[str, str], kept: StagedUpload) -> UploadFields:
    """The form's choices as the API's fields. Columns and labels go by their place: their names may be anything."""
    preview = Preview.model_validate(kept.preview)
    before = UploadFields.model_validate(kept.choices)
    given: dict[str, object] = {name: form[name] for name in _PLAIN if name in form}
    for name in _COLUMNS:
        column = form.get(name, "")
        if column.isdecimal() and int(column[:6]) < len(preview.columns):
            given[name] = preview.columns[int(column[:6])]
    fields = read_fields(given)
    if fields.label_column != preview.label_column:
        return fields  # the labels shown were those of another column
    meanings = dict(before.label_map) if preview.other_labels else {}
    for place, seen in enumerate(preview.labels):
        chosen_one = form.get(f"meaning-{place}", "")
        number = as_stars(seen.raw) if "stars" in form else None
        of_stars = None if number is None else label_of_stars(number)
        if of_stars is not None:
            meanings[seen.raw] = of_stars
        elif chosen_one == LEFT_OUT:
            meanings[seen.raw] = None
        elif chosen_one:
            meanings[seen.raw] = chosen_one
        else:
            meanings.pop(seen.raw, None)
    return read_fields(fields.model_dump() | {"label_map": meanings})


def _id(upload: str) -> UUID:
    try:
        return UUID(upload)
    except ValueError:
        return UUID(int=0)  # of no upload: the answer is that there is none


async def _kept(parts: Parts, upload: UUID, owner: str) -> StagedUpload:
    async with transaction(parts.pool) as connection:
        return await StagedUploads(connection).find(upload, owner)


async def _form(
    page: Page, parts: Parts, owner: str, *, error: PlatformError | None = None
) -> Response:
    return page.render(
        "dataset_new.html",
        status=status_of(error) if error else 200,
        current=_CURRENT,
        waiting=await waiting_uploads(parts, owner=owner),
        most_bytes=parts.settings.max_upload_bytes,
        most=MOST_PER_PERSON,
        hours=int(KEPT.total_seconds() // 3600),
        sentence=sentence_of(error, page.words) if error else "",
    )


async def _mapping(
    page: Page, parts: Parts, owner: str, upload: UUID, *, error: PlatformError | None = None
) -> Response:
    kept = await _kept(parts, upload, owner)
    preview = Preview.model_validate(kept.preview)
    fields = UploadFields.model_validate(kept.choices)
    refused = refused_of(preview.report)
    async with transaction(parts.pool) as connection:
        versions = await Datasets(connection).listed(limit=_PARENTS_OFFERED)
    say = DatasetWords(page.words, page.formats)
    return page.render(
        "dataset_upload.html",
        status=status_of(error) if error else 200,
        current=_CURRENT,
        upload=kept,
        address=f"{UPLOADS}/{kept.id}",
        preview=preview,
        fields=fields,
        labels=await labels_for(parts, fields),
        versions=versions,
        no_parent=NO_PARENT,
        left_out=LEFT_OUT,
        refused=refused,
        all_told=rows_told(refused),
        sentence=sentence_of(error, page.words) if error else say.problem(preview),
        say=say,
    )
