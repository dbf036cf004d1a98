"""`python -m sentops_operator`: converge until SIGTERM. `... cleanup`: remove the model servers it made."""

import argparse
import asyncio
import sys

from sentops_core.domain.errors import PlatformError
from sentops_core.kube.connect import open_client
from sentops_core.settings import read_settings
from sentops_core.telemetry import configure_logging
from sentops_operator.cleanup import clean_up
from sentops_operator.leadership import LeadershipLost
from sentops_operator.settings import Settings
from sentops_operator.startup import PortUnusable, run_operator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sentops_operator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    cleaning = commands.add_parser(
        "cleanup",
        help="delete the Deployments, Services, autoscalers and budgets the operator made",
    )
    where = cleaning.add_mutually_exclusive_group(required=True)
    where.add_argument("--namespace", action="append", metavar="NAME", help="may be repeated")
    where.add_argument("--all-namespaces", action="store_true")
    options = parser.parse_args()
    try:
        if options.command == "cleanup":
            configure_logging("operator-cleanup")
            asyncio.run(clean_up(None if options.all_namespaces else options.namespace))
        else:
            _operate()
    except PlatformError as error:
        sys.exit(f"{error.code}: {error}")


def _operate() -> None:
    settings = read_settings(Settings)
    configure_logging("operator", settings.log_level)

    async def operate() -> None:
        async with open_client() as client:
            await run_operator(settings, client)

    try:
        asyncio.run(operate())
    except* LeadershipLost as lost:
        # The pod is started again and stands by: going on here could mean two leaders.
        sys.exit(f"leadership_lost: {_first(lost)}")
    except* PortUnusable as unusable:
        sys.exit(f"{_first(unusable)}; set SENTOPS_OPERATOR_PORT to another one.")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


if __name__ == "__main__":
    main()
