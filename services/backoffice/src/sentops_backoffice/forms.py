"""Form bodies, bounded: one file, few and short fields."""

from fastapi import Request
from starlette.datastructures import FormData

_FIELDS = 100  # a select for each label of an upload
_FIELD_BYTES = 200_000


async def read_form(request: Request) -> FormData:
    """The form of the request, read once; a file goes to a temporary file while it arrives."""
    return await request.form(max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)


def text_fields(form: FormData) -> dict[str, str]:
    """The fields that were filled in."""
    return {name: value for name, value in form.items() if isinstance(value, str) and value.strip()}
