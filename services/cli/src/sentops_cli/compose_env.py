"""Writes `compose/.env`: what a person sets for a server, and generated secrets.

One file, standard library only and Python 3.9, since on a server there may be nothing else: `make compose-init` runs it
as a script, `sentops init compose` calls the same functions. It may run again at any time: every value that is there
stays, what an update needs is added, and options change exactly what they name.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import ipaddress
import os
import re
import secrets
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BAD_INPUT, REFUSED = 2, 4  # the exit codes of the command, see outcome.py
PROFILES = ("edge", "metrics", "tracking")
MLFLOW_INSIDE = "http://mlflow:5000"

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"  # none that look alike
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL_PART = re.compile(r"[A-Za-z0-9._%+-]{1,64}")
_REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")
_PLAIN = re.compile(
    r"[A-Za-z0-9._~%+@:/=,-]*"
)  # what neither compose nor a URL reads as something else
_IN_URL = re.compile(r"[A-Za-z0-9._~-]*")
_LONGEST_RETENTION = 36_500  # days


class EnvError(Exception):
    """A sentence that says what to do, and the exit code."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


# ---- values that a person may give


def domain(value: str) -> str:
    name = value.strip().rstrip(".").lower()
    with contextlib.suppress(UnicodeError):
        name = name.encode("idna").decode("ascii")
    labels = name.split(".")
    right = name == "localhost" or (
        len(labels) > 1
        and len(name) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )
    if not right:
        raise EnvError(
            f"{value!r} is no domain name: write it alone, as example.org or localhost, without https:// or a port."
        )
    return name


def email(value: str) -> str:
    local, at, host = value.strip().rpartition("@")
    if value.strip() and not (at and _LOCAL_PART.fullmatch(local)):
        raise EnvError(f"{value!r} is no e-mail address: write one alone, as ops@example.org.")
    return f"{local}@{domain(host)}" if at else ""


def profiles(value: str) -> str:
    chosen = [part for part in re.split(r"[,\s]+", value) if part]
    for name in chosen:
        if name not in PROFILES:
            raise EnvError(
                f"There is no profile {name!r} to switch on: choose among {', '.join(PROFILES)}, with commas between."
            )
    return ",".join(dict.fromkeys(chosen))


def registry(value: str) -> str:
    place = value.strip()
    if place and not place.endswith("/"):
        raise EnvError(f"A registry ends with a slash, as the image's name follows: {place}/")
    if place and not _REGISTRY.fullmatch(place):
        raise EnvError(f"{value!r} is no registry: write it as ghcr.io/acme/, without https://.")
    return place


def tag(value: str) -> str:
    if not _TAG.fullmatch(value.strip()):
        raise EnvError(f"{value!r} is no tag of an image: letters, digits, '.', '_' and '-'.")
    return value.strip()


def address(value: str) -> str:
    try:
        found = ipaddress.ip_address(value.strip().strip("[]"))
    except ValueError:
        raise EnvError(
            f"{value!r} is no address of this machine: 127.0.0.1 (only itself), 0.0.0.0 (everybody), or one of its own."
        ) from None
    return f"[{found}]" if found.version == 6 else str(found)


def host(value: str) -> str:
    name = value.strip()
    if name and not all(_LABEL.fullmatch(label) for label in name.lower().split(".")):
        raise EnvError(f"{value!r} is no host name: write it alone, as smtp.example.org.")
    return name


def number(least: int, most: int, what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        digits = value.strip()
        if not (digits.isascii() and digits.isdigit() and least <= int(digits) <= most):
            raise EnvError(f"{value!r} is no {what}: give a whole number from {least} to {most}.")
        return str(int(digits))

    return check


def days(value: str) -> str:
    return number(1, _LONGEST_RETENTION, "number of days")(value) if value.strip() else ""


def folder(value: str) -> str:
    path = value.strip()
    if not path.startswith(("/", "./", "../")) or not _PLAIN.fullmatch(path) or ":" in path:
        raise EnvError(
            f"{value!r} is no folder for backups: one of this machine that begins with / or ./ and holds no spaces "
            "(a bucket is named when a backup is made: see compose/README.md)."
        )
    return path


def url(value: str) -> str:
    place = value.strip().rstrip("/")
    if place and not _URL.fullmatch(place):
        raise EnvError(f"{value!r} is no address: write it as {MLFLOW_INSIDE}.")
    return place


def plain(value: str) -> str:
    if not _PLAIN.fullmatch(value.strip()):
        raise EnvError(
            f"{value!r} holds a character that compose reads as something else: "
            "write it into .env by hand, between single quotes."
        )
    return value.strip()


# ---- secrets


def random_letters(count: int = 32) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def typed_password() -> str:
    """For a person to type: 117 bits in groups of five."""
    return "-".join(random_letters(5) for _ in range(4))


# ---- the file, from top to bottom


@dataclass(frozen=True)
class Key:
    """One line of the file: either `check` makes a given value right, or `make` generates a secret."""

    name: str
    comment: str
    default: str = ""
    check: Callable[[str], str] | None = None
    make: Callable[[], str] | None = None
    section: str = ""  # begins here
    told: str = ""  # a secret that is shown when it is generated: whose it is
    in_url: bool = False
    leaves: bool = False  # a person removes it after its first use

    @property
    def option(self) -> str:
        return (
            "profiles" if self.name == "COMPOSE_PROFILES" else self.name.lower().replace("_", "-")
        )


_HEAD = """\
# What is set for Sentops on this server. `make compose-init` (or `sentops init compose`) wrote it and may run again: it
# keeps every value and adds what an update needs. After a change: docker compose up -d
# It holds passwords: keep it private, and a copy of it where you keep passwords (it is in no backup).
# A value with spaces, $, # or quotes goes between single quotes: SMTP_PASSWORD='pa$ word'
"""

KEYS = (
    Key(
        "COMPOSE_PROFILES",
        "Beside the default programs: edge (HTTPS for DOMAIN), metrics (Prometheus, Alertmanager), tracking (MLflow).",
        check=profiles,
        section="What runs",
    ),
    Key(
        "REGISTRY",
        "Where images come from, with a slash at the end: ghcr.io/acme/. Empty: built on this machine.",
        check=registry,
    ),
    Key("TAG", "Which images.", default="dev", check=tag),
    Key(
        "DOMAIN",
        "Its address must lead to this server, for a certificate; localhost gets one that browsers do not know.",
        default="localhost",
        check=domain,
        section="Where it answers",
    ),
    Key(
        "ACME_EMAIL",
        "Whom the certificate authority writes to when a certificate is about to end; may be empty.",
        check=email,
    ),
    Key(
        "BIND_ADDRESS",
        "Where every port but the edge's 80 and 443 is open: 127.0.0.1 is this machine alone.",
        default="127.0.0.1",
        check=address,
    ),
    Key(
        "ALERT_EMAIL_TO",
        "Who gets alerts by e-mail (with the profile metrics, or with GRAFANA_MAILS=true); empty: nobody.",
        check=email,
        section="E-mail for alerts",
    ),
    Key("SMTP_HOST", "The mail server that takes them, with STARTTLS.", check=host),
    Key("SMTP_PORT", "Its port.", default="587", check=number(1, 65_535, "port")),
    Key("SMTP_USER", "The login there; empty: without one.", check=plain),
    Key("SMTP_PASSWORD", "Write it here by hand, between single quotes."),
    Key("SMTP_FROM", "Who they come from.", check=email),
    Key(
        "RETENTION_DAYS",
        "Predictions older than this are deleted, by whole months; empty: never.",
        check=days,
        section="How long things are kept",
    ),
    Key("BACKUP_TO", "Backups of `docker compose run --rm backup`.", "./backups", check=folder),
    Key(
        "BACKUP_KEEP_DAILY",
        "For how many days the last backup of the day is kept.",
        default="7",
        check=number(1, 3650, "number of backups"),
    ),
    Key(
        "BACKUP_KEEP_WEEKLY",
        "For how many weeks the last backup of the week is kept.",
        default="4",
        check=number(0, 520, "number of backups"),
    ),
    Key(
        "MLFLOW_URL",
        f"Where runs and versions are mirrored to: {MLFLOW_INSIDE} is that of the profile tracking; empty: nowhere.",
        check=url,
        section="Tracking",
    ),
    Key(
        "FIRST_ADMIN_PASSWORD",
        "User admin of the back office, until the first login changes it; may be removed then.",
        make=typed_password,
        section="First logins",
        told="Back office, user admin (to be changed at the first login)",
        leaves=True,
    ),
    Key(
        "GRAFANA_ADMIN_PASSWORD",
        "User admin of Grafana; counts at its first start.",
        make=typed_password,
        told="Grafana, user admin",
    ),
    Key(
        "POSTGRES_PASSWORD",
        "The database's superuser. It is given to a new database once: do not change it here alone.",
        make=random_letters,
        section="Secrets between the programs: nobody types them, and a changed one counts from the next start",
        in_url=True,
    ),
    Key("DATABASE_PASSWORD", "Role sentops, of all programs.", make=random_letters, in_url=True),
    Key(
        "GRAFANA_DATABASE_PASSWORD",
        "Role grafana, which reads figures and no texts.",
        make=random_letters,
        in_url=True,
    ),
    Key("MLFLOW_DATABASE_PASSWORD", "Role mlflow.", make=random_letters, in_url=True),
    Key("TRAINER_TOKEN", "For those who ask the trainer.", make=lambda: random_letters(43)),
    Key("BACKOFFICE_API_TOKEN", "The command's, an admin's.", make=lambda: random_letters(43)),
    Key("MODEL_CONTROL_TOKEN", "The trainer's, to load models.", make=lambda: random_letters(43)),
    Key(
        "WEB_SIGNING_KEY",
        "Signs prediction ids and cookies: with another one, nobody can correct answers given before.",
        make=lambda: secrets.token_hex(32),
    ),
    Key("CLIENT_ID", "As whom the command asks and votes.", make=random_letters),
)
BY_NAME = {key.name: key for key in KEYS}
OPTIONS = {key.option.replace("-", "_"): key for key in KEYS if key.check is not None}


# ---- reading what a person has

_ASSIGNMENT = re.compile(
    r"""(?P<start>\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=)(?P<space>[ \t]*)"""
    r"""(?P<value>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?!['"\#])(?:(?!\s\#).)*?)(?P<end>\s*|\s+\#.*)"""
)


@dataclass(frozen=True)
class Line:
    text: str
    name: str = ""  # none: a comment or an empty line
    start: str = ""
    value: str = field(default="", repr=False)  # as written, with its quotes
    end: str = ""

    @property
    def meaning(self) -> str:
        quoted = len(self.value) > 1 and self.value[0] == self.value[-1] and self.value[0] in "'\""
        return self.value[1:-1] if quoted else self.value

    def with_value(self, value: str) -> Line:
        return assignment(self.name, value, start=self.start, end=self.end)


def assignment(name: str, value: str, *, start: str = "", end: str = "") -> Line:
    first = start or f"{name}="
    return Line(f"{first}{value}{end}", name, first, value, end)


def read(content: str, path: Path) -> list[Line]:
    """EnvError for a line that compose would read in another way than a person expects."""
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for row, text in enumerate(content.replace("\r\n", "\n").rstrip("\n").split("\n"), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            lines.append(Line(text))
            continue
        found = _ASSIGNMENT.fullmatch(text)
        if found is None:
            raise EnvError(
                f"{path}, line {row} cannot be read: write NAME=value on one line, "
                "a value with spaces, $, # or quotes between single quotes."
            )
        name = found["name"]
        if name in seen:
            raise EnvError(
                f"{path} has {name} twice, in lines {seen[name]} and {row}: remove the one that does not count."
            )
        seen[name] = row
        lines.append(Line(text, name, found["start"], found["value"], found["end"]))
    return lines


# ---- what to do


@dataclass
class Plan:
    lines: list[Line]
    is_new: bool
    added: list[str] = field(default_factory=list)
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    def value(self, name: str) -> str:
        return next((line.meaning for line in self.lines if line.name == name), "")


def make_plan(existing: str | None, given: Mapping[str, str], path: Path) -> Plan:
    """`given` are checked values by key; `existing` is None where there is no file yet."""
    content = _HEAD if existing is None else existing
    plan = Plan(read(content, path), is_new=existing is None)
    _refuse_broken_urls(plan, path)
    # A file without the database's secrets is not in use yet: then nobody has removed anything from it.
    unused = not plan.value("POSTGRES_PASSWORD")
    wanted = dict(given) | _follow_profiles(plan, given)
    for position, key in enumerate(KEYS):
        at = next((row for row, line in enumerate(plan.lines) if line.name == key.name), None)
        if at is None:
            if unused or not key.leaves:
                _add(plan, position, key, wanted)
        else:
            _complete(plan, at, key, wanted, may_be_empty=key.leaves and not unused)
    plan.notes += _doubts(plan, path)
    return plan


def _follow_profiles(plan: Plan, given: Mapping[str, str]) -> dict[str, str]:
    """What follows from the options: a domain wants HTTPS in a new file, tracking wants to be told where."""
    followed = {}
    chosen = given.get("COMPOSE_PROFILES")
    if chosen is None and plan.is_new and given.get("DOMAIN", "localhost") != "localhost":
        chosen = followed["COMPOSE_PROFILES"] = "edge"
    known = any(line.name == "MLFLOW_URL" for line in plan.lines)
    if "MLFLOW_URL" not in given and (chosen is not None or not known):
        running = plan.value("COMPOSE_PROFILES") if chosen is None else chosen
        if plan.value("MLFLOW_URL") in {"", MLFLOW_INSIDE}:  # somebody's own server stays
            followed["MLFLOW_URL"] = MLFLOW_INSIDE if "tracking" in running.split(",") else ""
    return followed


def _new_value(plan: Plan, key: Key, wanted: Mapping[str, str]) -> str:
    if key.make is None:
        return wanted.get(key.name, key.default)
    value = key.make()
    if key.told:
        plan.told.append((key.told, value))
    return value


def _add(plan: Plan, position: int, key: Key, wanted: Mapping[str, str]) -> None:
    """After the key before it, so that the file stays in order."""
    new = [Line(f"# {key.comment}")]
    if key.section and plan.is_new:
        new = [Line(""), Line(f"# ---- {key.section}"), Line(""), *new]
    new.append(assignment(key.name, _new_value(plan, key, wanted)))
    rows = {line.name: row for row, line in enumerate(plan.lines)}
    before = [rows[one.name] for one in KEYS[:position] if one.name in rows]
    at = before[-1] + 1 if before else len(plan.lines) if plan.is_new else 0
    plan.lines[at:at] = new
    plan.added.append(key.name)


def _complete(
    plan: Plan, at: int, key: Key, wanted: Mapping[str, str], *, may_be_empty: bool
) -> None:
    line = plan.lines[at]
    if key.make is not None:
        if not line.meaning and not may_be_empty:
            plan.lines[at] = line.with_value(_new_value(plan, key, wanted))
            plan.added.append(key.name)
    elif key.name in wanted and wanted[key.name] != line.meaning:
        plan.lines[at] = line.with_value(wanted[key.name])
        plan.changed.append((key.name, line.meaning, wanted[key.name]))


def _refuse_broken_urls(plan: Plan, path: Path) -> None:
    for line in plan.lines:
        key = BY_NAME.get(line.name)
        if key is not None and key.in_url and not _IN_URL.fullmatch(line.meaning):
            raise EnvError(
                f"{path}: {line.name} is part of an address (postgresql://), so it can only have letters, "
                "digits, '-', '.', '_' and '~': change it."
            )


def _doubts(plan: Plan, path: Path) -> Iterator[str]:
    """What is kept as it is, but looks wrong."""
    for line in plan.lines:
        key = BY_NAME.get(line.name)
        if key is None:
            continue
        if "$" in line.value and not line.value.startswith("'"):
            yield (
                f"{path}: compose replaces what follows the $ in {line.name}; if that is not meant, "
                "put the value between single quotes."
            )
        elif key.check is not None:
            try:
                key.check(line.meaning)
            except EnvError as error:
                yield f"{path}: {line.name}: {error}"
    on = plan.value("COMPOSE_PROFILES").split(",")
    if "edge" not in on and plan.value("DOMAIN") not in {"", "localhost"}:
        yield f"Nothing answers at https://{plan.value('DOMAIN')} without the profile edge."
    if "tracking" in on and not plan.value("MLFLOW_URL"):
        yield f"The profile tracking is on, but MLFLOW_URL is empty: --mlflow-url {MLFLOW_INSIDE} fills it."
    if "tracking" not in on and plan.value("MLFLOW_URL") == MLFLOW_INSIDE:
        yield "MLFLOW_URL names the MLflow of the profile tracking, which is not on: --mlflow-url '' empties it."
    if plan.value("BIND_ADDRESS") not in {"", "127.0.0.1", "localhost", "[::1]"}:
        yield "BIND_ADDRESS opens the programs' own ports to others, without HTTPS; a firewall like ufw does not shut them."


# ---- doing it


def check_options(options: Mapping[str, str | None]) -> dict[str, str]:
    """Values by key, made right, of the options that were given."""
    given = {}
    for name, value in options.items():
        if value is None:
            continue
        key = OPTIONS[name]
        assert key.check is not None  # noqa: S101 - OPTIONS holds no other
        try:
            given[key.name] = key.check(value)
        except EnvError as error:
            raise EnvError(f"--{key.option}: {error}", error.code) from None
    return given


def initialise(place: Path, given: Mapping[str, str]) -> Plan:
    """Write `.env` of this folder, or complete it; what was done."""
    if not (place / "compose.yaml").is_file():
        raise EnvError(
            f"{place} holds no compose.yaml: run this in a checkout of Sentops, or name its folder with --folder."
        )
    path = place / ".env"
    try:
        with _alone(place):
            target = path.resolve()  # a link to it stays one
            existing = _content(target, path)
            plan = make_plan(existing, given, path)
            if plan.content != existing:
                _replace(target, plan.content)
            elif target.stat().st_mode & 0o077:
                target.chmod(0o600)
            return plan
    except PermissionError as error:
        raise EnvError(
            f"{error.filename or path} may not be read or written by this user: run this as the one it belongs to.",
            REFUSED,
        ) from error


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Two at once would both generate secrets, and one of them tell wrong ones."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _content(target: Path, path: Path) -> str | None:
    try:
        return target.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise EnvError(
            f"{path} is a folder (docker makes one where a file is missing): remove it."
        ) from None
    except UnicodeDecodeError:
        raise EnvError(f"{path} is no text in UTF-8: save it as such.") from None


def _replace(target: Path, content: str) -> None:
    """All or nothing, and never readable by others; a file that is replaced keeps its owner."""
    descriptor, fresh = tempfile.mkstemp(prefix=".env.new-", dir=target.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            with contextlib.suppress(FileNotFoundError):
                owner = target.stat()
                if (owner.st_uid, owner.st_gid) != (
                    os.geteuid(),
                    os.getegid(),
                ) and os.geteuid() == 0:
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(fresh).replace(target)
    except BaseException:
        Path(fresh).unlink()
        raise


def report(plan: Plan, place: Path) -> list[str]:
    """What to tell: never a secret that was there before."""
    path = place / ".env"
    lines = []
    if plan.is_new:
        made = sum(key.make is not None for key in KEYS)
        lines.append(
            f"Wrote {path}, which only you can read: {len(KEYS)} settings, {made} of them generated secrets."
        )
    else:
        lines += [f"Added {name} to {path}" for name in plan.added]
        lines += [
            f"Changed {name} from {before or 'nothing'} to {after or 'nothing'}"
            for name, before, after in plan.changed
        ]
        if not lines:
            lines.append(f"{path} has all that is needed; nothing was changed.")
    if plan.told:
        lines += [
            "",
            "Passwords, shown only now:",
            *(f"  {whose}: {value}" for whose, value in plan.told),
            "",
        ]
    if plan.is_new or plan.added or plan.changed:
        lines.append(f"Next: {_next_command(plan, place)}")
    if plan.is_new:
        lines.append(
            "Then, for sample data and a first model: docker compose run --rm sentops first-run"
        )
    return lines


def _next_command(plan: Plan, place: Path) -> str:
    where = "" if place.resolve() == Path.cwd() else f"cd {shlex.quote(str(place))} && "
    pull = "docker compose pull && " if plan.value("REGISTRY") else ""
    return f"{where}{pull}docker compose up -d --wait"


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=prog,
        allow_abbrev=False,
        description="Write compose/.env with generated secrets, or complete the one that is there.",
        epilog="Secrets are no options: what is generated can be replaced in the file.",
    )
    made.add_argument(
        "--folder", type=Path, default=Path("compose"), help="where compose.yaml is (%(default)s)"
    )
    for name, key in OPTIONS.items():
        made.add_argument(
            f"--{key.option}",
            dest=name,
            metavar="VALUE",
            help=(key.comment or key.name).replace("%", "%%"),
        )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = vars(parser().parse_args(arguments))
    place: Path = options.pop("folder")
    try:
        plan = initialise(place, check_options(options))
    except EnvError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.code
    except OSError as error:  # a full disk
        print(f"Error: {error.strerror or error}: {error.filename or place}.", file=sys.stderr)
        return 1
    for note in plan.notes:
        print(f"Note: {note}", file=sys.stderr)
    print("\n".join(report(plan, place)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
