"""`sentops init compose`."""

from pathlib import Path
from typing import Annotated

import typer

from sentops_cli import compose_env
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import say

app = typer.Typer(help="Write what a server needs before its first start.", no_args_is_help=True)


@app.callback()
def init() -> None:
    """Write what a server needs before its first start."""


def _option(name: str) -> object:
    key = compose_env.BY_NAME[name]
    return typer.Option(f"--{key.option}", metavar="VALUE", help=key.comment or None)


@app.command()
def compose(  # noqa: PLR0913 - the options of the command
    *,
    folder: Annotated[Path, typer.Option(help="Where compose.yaml is.")] = Path("compose"),
    profiles: Annotated[str | None, _option("COMPOSE_PROFILES")] = None,
    registry: Annotated[str | None, _option("REGISTRY")] = None,
    tag: Annotated[str | None, _option("TAG")] = None,
    domain: Annotated[str | None, _option("DOMAIN")] = None,
    acme_email: Annotated[str | None, _option("ACME_EMAIL")] = None,
    bind_address: Annotated[str | None, _option("BIND_ADDRESS")] = None,
    alert_email_to: Annotated[str | None, _option("ALERT_EMAIL_TO")] = None,
    smtp_host: Annotated[str | None, _option("SMTP_HOST")] = None,
    smtp_port: Annotated[str | None, _option("SMTP_PORT")] = None,
    smtp_user: Annotated[str | None, _option("SMTP_USER")] = None,
    smtp_from: Annotated[str | None, _option("SMTP_FROM")] = None,
    retention_days: Annotated[str | None, _option("RETENTION_DAYS")] = None,
    backup_to: Annotated[str | None, _option("BACKUP_TO")] = None,
    backup_keep_daily: Annotated[str | None, _option("BACKUP_KEEP_DAILY")] = None,
    backup_keep_weekly: Annotated[str | None, _option("BACKUP_KEEP_WEEKLY")] = None,
    mlflow_url: Annotated[str | None, _option("MLFLOW_URL")] = None,
) -> None:
    """Write compose/.env with generated secrets, or complete the one that is there.

    What is there stays, but for what an option names. The first passwords are shown once.
    """
    options = {
        "profiles": profiles,
        "registry": registry,
        "tag": tag,
        "domain": domain,
        "acme_email": acme_email,
        "bind_address": bind_address,
        "alert_email_to": alert_email_to,
        "smtp_host": smtp_host,
        "smtp_port": smtp_port,
        "smtp_user": smtp_user,
        "smtp_from": smtp_from,
        "retention_days": retention_days,
        "backup_to": backup_to,
        "backup_keep_daily": backup_keep_daily,
        "backup_keep_weekly": backup_keep_weekly,
        "mlflow_url": mlflow_url,
    }
    try:
        plan = compose_env.initialise(folder, compose_env.check_options(options))
    except compose_env.EnvError as error:
        raise CommandError(str(error), ExitCode(error.code)) from error
    for note in plan.notes:
        typer.echo(f"Note: {note}", err=True)
    for line in compose_env.report(plan, folder):
        say(line)
