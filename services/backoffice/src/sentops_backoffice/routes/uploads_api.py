"""Uploads in two steps, for programs: keep a file, look at what it holds, then make a version of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Request, Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Parts, PartsDep
from sentops_backoffice.routes.datasets_api import Made, made
from sentops_backoffice.staging import confirm, discard, look_again, stage, waiting_uploads
from sentops_backoffice.uploads import OPENAPI, UploadFields, received
from sentops_core.datasets.preview import Preview
from sentops_core.domain import base
from sentops_core.domain.errors import NotFound
from sentops_core.store.pool import transaction
from sentops_core.store.staged_uploads import StagedUploads
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/api/datasets/uploads", tags=["datasets"])


class WaitingUpload(base.Body):
    """A file that waits for its owner, who alone sees it."""

    id: UUID
    filename: str
    file_bytes: int
    created_at: base.Moment
    expires_at: base.Moment


class WaitingUploads(base.Body):
    uploads: list[WaitingUpload]


class Upload(WaitingUpload):
    """`choices` are how it was read for `preview`; what they leave out was guessed."""

    choices: UploadFields
    preview: Preview


Choices = Annotated[
    UploadFields,
    Body(
        openapi_examples={
            "stars": {
                "summary": "Stars in a column of their own",
                "value": {"text_column": "recensione", "label_column": "stelle"},
            },
            "own labels": {
                "summary": "Labels of the file's own, some of them not wanted",
                "value": {
                    "label_column": "umore",
                    "label_map": {"bello": "positive", "brutto": "negative", "boh": None},
                    "parent": "none",
                    "name": "umori",
                },
            },
        }
    ),
]


@router.get("", summary="Your uploads that wait for confirmation")
@needs(Role.ANNOTATOR)
async def get_uploads(actor: ActorDep, parts: PartsDep) -> WaitingUploads:
    uploads = await waiting_uploads(parts, owner=actor.name)
    return WaitingUploads(
        uploads=[
            WaitingUpload(**{name: getattr(one, name) for name in WaitingUpload.model_fields})
            for one in uploads
        ]
    )


@router.post("", status_code=201, summary="Keep a file and preview it", openapi_extra=OPENAPI)
@needs(Role.ANNOTATOR)
async def post_upload(request: Request, actor: ActorDep, parts: PartsDep) -> Upload:
    """Nothing is made of it yet. It is kept for a day, and five of one person at most."""
    async with received(request, parts) as upload:
        kept = await stage(parts, upload, owner=actor.name)
    return await _upload(parts, kept, actor.name)


@router.get("/{upload}", summary="One upload with its preview")
@needs(Role.ANNOTATOR)
async def get_upload(upload: UUID, actor: ActorDep, parts: PartsDep) -> Upload:
    return await _upload(parts, upload, actor.name)


@router.put("/{upload}/choices", summary="Say what its columns and labels mean, and look again")
@needs(Role.ANNOTATOR)
async def put_choices(upload: UUID, choices: Choices, actor: ActorDep, parts: PartsDep) -> Upload:
    await look_again(parts, upload, choices, owner=actor.name)
    return await _upload(parts, upload, actor.name)


@router.post("/{upload}/version", status_code=201, summary="Make a version of it as chosen")
@needs(Role.ANNOTATOR)
async def post_version(upload: UUID, response: Response, actor: ActorDep, parts: PartsDep) -> Made:
    """200 in place of 201 when these rows are a version already; either way the upload is gone afterwards."""
    kept = await _upload(parts, upload, actor.name)
    return made(await confirm(parts, upload, kept.choices, owner=actor.name), response)


@router.delete("/{upload}", status_code=204, summary="Forget an upload")
@needs(Role.ANNOTATOR)
async def delete_upload(upload: UUID, actor: ActorDep, parts: PartsDep) -> None:
    if not await discard(parts, upload, owner=actor.name):
        raise NotFound(f"There is no upload {upload} of yours.")


async def _upload(parts: Parts, upload: UUID, owner: str) -> Upload:
    async with transaction(parts.pool) as connection:
        kept = await StagedUploads(connection).find(upload, owner)
    return Upload(**{name: getattr(kept, name) for name in Upload.model_fields})
