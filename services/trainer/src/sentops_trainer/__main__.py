"""`python -m sentops_trainer`: the control-plane API, with the loop of its substrate."""

from sentops_core.http import serve
from sentops_core.telemetry import configure_logging
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import read_trainer_settings


def main() -> None:
    settings = read_trainer_settings()
    configure_logging("trainer", settings.log_level)
    serve(create_trainer(settings), settings, port_setting="SENTOPS_TRAINER_PORT")


if __name__ == "__main__":
    main()
