"""`python -m sentops_model_server`: all configuration from SENTOPS_MODEL_*."""

import sys

from pydantic import ValidationError

from sentops_core.http import serve
from sentops_core.telemetry import configure_logging
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings


def main() -> None:
    try:
        settings = ModelSettings()
    except ValidationError as error:
        sys.exit(_one_line(error))
    configure_logging("model", settings.log_level)
    serve(build_app(settings), settings, port_setting="SENTOPS_MODEL_PORT")


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = "SENTOPS_MODEL_" + "_".join(str(part) for part in first["loc"]).upper()
    return f"The settings {name.removesuffix('_')}* cannot be used: {first['msg']}"


if __name__ == "__main__":
    main()
