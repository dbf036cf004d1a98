"""The page's templates and static files, read from the installed package."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import Response

STATIC = Path(str(files("sentops_web"))) / "static"
SWAGGER = Path(str(files("fastapi_swagger"))) / "resources"


class Files(StaticFiles):
    """Browsers keep them and ask whether they still hold: a new program's page never meets an old script."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


class Pages:
    """Renders templates; everything put into them is escaped."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("sentops_web"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(**values)
