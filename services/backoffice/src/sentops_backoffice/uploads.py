"""A file that somebody sends, as a dataset version."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from fastapi import Request, UploadFile
from pydantic import Field, ValidationError, field_validator
from starlette.datastructures import UploadFile as StarletteUploadFile

from sentops_backoffice.deps import Parts
from sentops_backoffice.forms import read_form, text_fields
from sentops_core.datasets.building import BuildRequest, Built, build_from_file
from sentops_core.datasets.reading import Reading, ReadOptions, read_file
from sentops_core.domain.base import Body, Label, ResourceName
from sentops_core.domain.errors import InvalidInput, TooLarge, Unavailable, UnsupportedFormat


class UploadFields(Body):
    """The form fields beside `file`."""

    name: ResourceName | None = Field(
        default=None, description="Dataset; else that of the newest version."
    )
    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    label_map: dict[str, Label] = Field(default={}, description="JSON: their label to ours.")
    parent: str | None = Field(default=None, description="Version to add to; 'none' starts anew.")
    description: str = Field(default="", max_length=2000)
    origin: str = Field(default="", max_length=2000)
    licence: str = Field(default="", max_length=500)

    @field_validator("label_map", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(
                'write it as JSON, such as {"0": "negative", "1": "positive"}'
            ) from error


# For the API's description: the handler reads the form itself, once it is known who sends it.
OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{name: {"type": "string"} for name in UploadFields.model_fields},
                    },
                }
            }
        },
    }
}


async def build_from_upload(request: Request, parts: Parts, *, actor: str) -> Built:
    """Reads the request's form; whatever goes wrong, nothing is kept."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedFormat("Send the file as multipart/form-data, in the field 'file'.")
    form = await read_form(request)
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile | StarletteUploadFile) or not file.filename:
            raise InvalidInput("The form has no file: send it in the field 'file'.")
        if (file.size or 0) > parts.settings.max_upload_bytes:
            raise TooLarge(f"The file is larger than {parts.settings.max_upload_bytes:,} bytes.")
        fields = _fields(text_fields(form))
        options = ReadOptions(
            text_column=fields.text_column,
            label_column=fields.label_column,
            group_column=fields.group_column,
            label_map=fields.label_map,
        )
        async with parts.building:
            reading = await asyncio.to_thread(_read, file.file, file.filename, options)
            return await build_from_file(
                parts.pool,
                reading,
                BuildRequest(
                    store_uri=parts.settings.store_uri,
                    actor=actor,
                    dataset=fields.name,
                    parent=fields.parent,
                    description=fields.description,
                    origin=fields.origin,
                    licence=fields.licence,
                ),
                detect_language=parts.detect_language,
            )
    finally:
        await form.close()


def _fields(given: dict[str, str]) -> UploadFields:
    given.pop("csrf", None)
    try:
        return UploadFields.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _read(content: BinaryIO, filename: str, options: ReadOptions) -> Reading:
    """The readers walk a file more than once, and by name: the upload's own temporary file has none."""
    try:
        with tempfile.NamedTemporaryFile(prefix="sentops-upload-") as copy:
            content.seek(0)
            shutil.copyfileobj(content, copy)
            copy.flush()
            return read_file(Path(copy.name), filename, options)
    except OSError as error:
        raise Unavailable(
            f"The upload cannot be kept while it is read: {error.strerror}."
        ) from error
