"""`python -m sentops_monitor`: quality from feedback, and the database's housekeeping."""

from sentops_core.http import serve
from sentops_core.settings import read_settings
from sentops_core.telemetry import configure_logging
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings


def main() -> None:
    settings = read_settings(Settings)
    configure_logging("monitor", settings.log_level)
    serve(create_monitor(settings), settings, port_setting="SENTOPS_MONITOR_PORT")


if __name__ == "__main__":
    main()
