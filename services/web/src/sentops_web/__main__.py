"""`python -m sentops_web`: the public service."""

import sqlite3
import sys
from contextlib import closing

from sentops_core.http import serve
from sentops_core.settings import read_settings
from sentops_core.telemetry import configure_logging
from sentops_web.app import create_web
from sentops_web.settings import Settings
from sentops_web.spool import Spool, SpoolInUse


def main() -> None:
    settings = read_settings(Settings)
    configure_logging("web", settings.log_level)
    try:
        spool = Spool.open(
            settings.spool_dir,
            max_rows=settings.spool_max_rows,
            max_bytes=settings.spool_max_bytes,
        )
    except (SpoolInUse, OSError, sqlite3.Error) as error:
        sys.exit(f"Web cannot start: {error}")
    with closing(spool):
        serve(create_web(settings, spool), settings, port_setting="SENTOPS_WEB_PORT")


if __name__ == "__main__":
    main()
