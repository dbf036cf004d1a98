"""`python -m sentops_trainer`: the control-plane API of one machine, with its converge loop."""

from sentops_core.http import serve
from sentops_core.settings import read_settings
from sentops_core.telemetry import configure_logging
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import Settings


def main() -> None:
    settings = read_settings(Settings)
    configure_logging("trainer", settings.log_level)
    serve(create_trainer(settings), settings, port_setting="SENTOPS_TRAINER_PORT")


if __name__ == "__main__":
    main()
