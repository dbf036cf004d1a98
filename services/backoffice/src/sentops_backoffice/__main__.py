"""`python -m sentops_backoffice`: the staff service."""

from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings
from sentops_core.http import serve
from sentops_core.settings import read_settings
from sentops_core.telemetry import configure_logging


def main() -> None:
    settings = read_settings(Settings)
    configure_logging("backoffice", settings.log_level)
    serve(create_backoffice(settings), settings, port_setting="SENTOPS_BACKOFFICE_PORT")


if __name__ == "__main__":
    main()
