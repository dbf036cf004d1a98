"""The generated secrets of one platform, in one file that only its owner can read."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sentops_cli.outcome import CommandError, ExitCode


@dataclass(frozen=True)
class Secrets:
    control_token: str
    trainer_token: str
    backoffice_token: str
    signing_key: str
    database_password: str
    client_id: str  # under which this machine's commands predict and vote
    # Kept only until the back office has made the account with it.
    first_admin_password: str | None = None

    def __repr__(self) -> str:
        return "Secrets(...)"


def generate() -> Secrets:
    return Secrets(
        control_token=secrets.token_urlsafe(32),
        trainer_token=secrets.token_urlsafe(32),
        backoffice_token=secrets.token_urlsafe(32),
        signing_key=secrets.token_hex(32),
        database_password=secrets.token_urlsafe(24),
        client_id=secrets.token_urlsafe(24),
        first_admin_password=secrets.token_urlsafe(12),
    )


def load(path: Path) -> Secrets | None:
    """What the file holds; None when there is none yet."""
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(
            f"{path} cannot be read as the platform's secrets. Restore it from a backup: without it "
            "the database and the clients' prediction ids of this state folder are lost.",
            ExitCode.FAILED,
        ) from error


def save(path: Path, values: Secrets) -> None:
    """Write all or nothing, readable by the owner only from the first byte."""
    write_private(path, json.dumps(asdict(values), indent=1))


def load_or_generate(path: Path) -> Secrets:
    known = load(path)
    if known is not None:
        return known
    made = generate()
    save(path, made)
    return made


def forget_first_password(path: Path, values: Secrets) -> Secrets:
    """The account exists: from now on only its owner knows the password."""
    kept = replace(values, first_admin_password=None)
    save(path, kept)
    return kept


def write_private(path: Path, content: str) -> None:
    """Replace a file atomically; mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
