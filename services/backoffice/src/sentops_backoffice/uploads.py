"""A file that somebody sends: taken from the form, read as its fields say, made a dataset version."""

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
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
from sentops_core.domain.resources import DEFAULT_LABELS
from sentops_core.domain.text import normalise

_LONGEST_NAME = 120
# Signs that turn the reading direction can make `exe.csv` look like something else.
_TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class UploadFields(Body):
    """How to read a file, and what to make of it."""

    name: ResourceName | None = Field(
        default=None, description="Dataset; else that of the newest version."
    )
    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = Field(
        default=None, description="Rows with the same value stay on one side of the split."
    )
    label_map: dict[str, Label | None] = Field(
        default={}, description="Their label to ours; null leaves such rows out."
    )
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

    def options(self, labels: tuple[str, ...] = DEFAULT_LABELS) -> ReadOptions:
        return ReadOptions(
            text_column=self.text_column,
            label_column=self.label_column,
            group_column=self.group_column,
            label_map=self.label_map,
            labels=labels,
        )

    def request(self, parts: Parts, *, actor: str) -> BuildRequest:
        return BuildRequest(
            store_uri=parts.settings.store_uri,
            actor=actor,
            dataset=self.name,
            parent=self.parent,
            description=self.description,
            origin=self.origin,
            licence=self.licence,
        )


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
                },
                "example": {
                    "file": "recensioni.csv",
                    "text_column": "recensione",
                    "label_column": "stelle",
                    "label_map": '{"n/a": null}',
                    "origin": "shop export, June",
                },
            }
        },
    }
}


@dataclass(frozen=True)
class Received:
    """`filename` says the format and may be shown; it never opens anything."""

    content: BinaryIO
    filename: str
    size: int
    fields: UploadFields


@asynccontextmanager
async def received(request: Request, parts: Parts) -> AsyncIterator[Received]:
    """The file of the request's form, which goes when the block ends."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedFormat(
            "Send the file as multipart/form-data, in the field 'file'.", saying="upload_no_file"
        )
    form = await read_form(request)
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile | StarletteUploadFile) or not file.filename:
            raise InvalidInput(
                "The form has no file: send it in the field 'file'.", saying="upload_no_file"
            )
        size = file.size or 0
        if size > parts.settings.max_upload_bytes:
            raise TooLarge(
                f"The file is larger than {parts.settings.max_upload_bytes:,} bytes: send it in parts.",
                saying="upload_too_large",
                facts={"mebibytes": parts.settings.max_upload_bytes >> 20},
            )
        yield Received(file.file, shown_name(file.filename), size, read_fields(text_fields(form)))
    finally:
        await form.close()


def shown_name(filename: str) -> str:
    """The last part of a file's name without what could mislead, cut in the middle: its end says the format."""
    last = re.split(r"[\\/]", filename)[-1]
    clean = " ".join(normalise(_TURNING.sub("", last)).split()) or "?"
    if len(clean) <= _LONGEST_NAME:
        return clean
    return f"{clean[: _LONGEST_NAME - 21]}…{clean[-20:]}"


async def build_from_upload(request: Request, parts: Parts, *, actor: str) -> Built:
    """A version in one step; whatever goes wrong, nothing is kept."""
    async with received(request, parts) as upload, parts.building:
        reading = await asyncio.to_thread(_read, upload)
        return await build_from_file(
            parts.pool,
            reading,
            upload.fields.request(parts, actor=actor),
            detect_language=parts.detect_language,
        )


def read_fields(given: Mapping[str, object]) -> UploadFields:
    """What a form says; InvalidInput names the field that cannot be."""
    try:
        return UploadFields.model_validate({name: given[name] for name in given if name != "csrf"})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"{where}: {first['msg'].removeprefix('Value error, ')}",
            saying="upload_field",
            facts={"field": where},
        ) from error


@contextmanager
def as_file(content: BinaryIO) -> Iterator[Path]:
    """The readers walk a file more than once, and by name: the upload's own temporary file has none."""
    try:
        with tempfile.NamedTemporaryFile(prefix="sentops-upload-") as copy:
            content.seek(0)
            shutil.copyfileobj(content, copy)
            copy.flush()
            yield Path(copy.name)
    except OSError as error:
        raise Unavailable(
            f"The upload cannot be kept while it is read: {error.strerror}."
        ) from error


def _read(upload: Received) -> Reading:
    with as_file(upload.content) as path:
        return read_file(path, upload.filename, upload.fields.options())
