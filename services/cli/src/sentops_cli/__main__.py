"""The `sentops` command."""

import sys

import typer

from sentops_cli.commands import (
    backup,
    datasets,
    export,
    first_run,
    init,
    lineage,
    observe,
    policy,
    predictions,
    train,
    up,
    versions,
)
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import say_error
from sentops_core.domain.errors import PlatformError
from sentops_core.telemetry import configure_logging

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong input, 3 not running or out of reach, 4 refused, "
    "5 rejected by the gate."
)


def build_app() -> typer.Typer:
    """All commands. Completion for your shell: `sentops --install-completion`."""
    app = typer.Typer(
        name="sentops",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="A sentiment platform whose quality improves by itself: run it, ask it, correct it, train it.",
        epilog=_EPILOG,
    )
    for group, functions in {
        "Platform": (
            up.up,
            up.down,
            first_run.first_run,
            observe.status,
            observe.logs,
            export.export,
        ),
        "Backups": (backup.backup, backup.backups, backup.restore),
        "Texts": (predictions.predict, predictions.feedback, lineage.lineage),
        "Model": (
            train.train,
            versions.versions,
            versions.promote,
            versions.approve,
            versions.archive,
            versions.rollback,
        ),
    }.items():
        for function in functions:
            app.command(rich_help_panel=group)(function)
    app.add_typer(datasets.app, name="datasets", rich_help_panel="Model")
    app.add_typer(policy.app, name="policy", rich_help_panel="Model")
    app.add_typer(init.app, name="init", rich_help_panel="Platform")
    return app


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. What goes wrong is one sentence on standard error."""
    try:
        build_app()(arguments, prog_name="sentops")
    except CommandError as error:
        say_error(str(error))
        return error.code
    except PlatformError as error:
        say_error(str(error))
        return ExitCode.FAILED
    except OSError as error:  # a full disk, a folder without rights
        say_error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:  # how typer ends every command
        return end.code if isinstance(end.code, int) else ExitCode.OK
    return ExitCode.OK


def main() -> None:
    configure_logging("cli", "ERROR")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
