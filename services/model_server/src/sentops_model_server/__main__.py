"""`python -m sentops_model_server`: all configuration from SENTOPS_MODEL_*."""

import os

from sentops_core.http import serve
from sentops_core.settings import read_settings
from sentops_core.telemetry import configure_logging
from sentops_model_server.app import build_app
from sentops_model_server.refusal import end_for
from sentops_model_server.settings import ModelSettings


def main() -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # each worker tokenises its own text
    settings = read_settings(ModelSettings)
    configure_logging("model", settings.log_level)
    app = build_app(settings, give_up=lambda error: end_for(error, settings.termination_log))
    serve(app, settings, port_setting="SENTOPS_MODEL_PORT")


if __name__ == "__main__":
    main()
