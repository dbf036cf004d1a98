"""`compose/.env`: written once with secrets, completed by an update, changed only where a person says so."""

import ast
import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sentops_cli import compose_env
from sentops_cli.compose_env import KEYS, EnvError, check_options, initialise, make_plan, report

SCRIPT = Path(compose_env.__file__)
COMPOSE = Path(__file__).parents[3] / "compose" / "compose.yaml"
SECRETS = [key.name for key in KEYS if key.make is not None]
CONTRACT = [
    "COMPOSE_PROFILES", "REGISTRY", "TAG", "DOMAIN", "ACME_EMAIL", "BIND_ADDRESS",
    "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "GRAFANA_DATABASE_PASSWORD",
    "MLFLOW_DATABASE_PASSWORD", "TRAINER_TOKEN", "BACKOFFICE_API_TOKEN", "MODEL_CONTROL_TOKEN",
    "WEB_SIGNING_KEY", "CLIENT_ID", "FIRST_ADMIN_PASSWORD", "GRAFANA_ADMIN_PASSWORD",
    "MLFLOW_URL", "SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASSWORD", "SMTP_FROM",
    "ALERT_EMAIL_TO", "RETENTION_DAYS", "BACKUP_TO", "BACKUP_KEEP_DAILY", "BACKUP_KEEP_WEEKLY",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "compose"
    folder.mkdir()
    (folder / "compose.yaml").touch()
    return folder


def init(place: Path, **options: str) -> compose_env.Plan:
    return initialise(place, check_options(options))


def told(place: Path, **options: str) -> str:
    return "\n".join(report(init(place, **options), place))


def values(place: Path) -> dict[str, str]:
    """As compose reads what we write: no quotes, nothing to replace."""
    lines = (place / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def write(place: Path, content: str) -> None:
    (place / ".env").write_text(content)


# ---- a new file


def test_a_new_file_has_every_key_in_order_and_a_comment_on_each(place: Path) -> None:
    init(place)
    assert set(values(place)) == set(CONTRACT)
    assert list(values(place)) == [key.name for key in KEYS]
    lines = (place / ".env").read_text().splitlines()
    for row, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[row - 1].startswith("# "), line


def test_a_new_file_is_for_its_owner_alone(place: Path) -> None:
    before = os.umask(0)
    try:
        init(place)
    finally:
        os.umask(before)
    assert stat.S_IMODE((place / ".env").stat().st_mode) == 0o600
    assert sorted(path.name for path in place.iterdir()) == [".env", "compose.yaml"]


def test_secrets_are_long_different_and_safe_in_compose_and_in_addresses(place: Path) -> None:
    init(place)
    first = values(place)
    (place / ".env").unlink()
    init(place)
    made = [found[name] for found in (first, values(place)) for name in SECRETS]
    assert len(set(made)) == len(made)
    for value in made:
        assert re.fullmatch(r"[A-Za-z0-9-]{20,}", value)


def test_defaults_are_a_machine_of_ones_own(place: Path) -> None:
    init(place)
    found = values(place)
    assert (found["COMPOSE_PROFILES"], found["DOMAIN"]) == ("", "localhost")
    assert (found["BIND_ADDRESS"], found["MLFLOW_URL"]) == ("127.0.0.1", "")
    assert (found["BACKUP_TO"], found["BACKUP_KEEP_DAILY"]) == ("./backups", "7")


def test_the_first_passwords_are_told_once_and_no_other_secret(place: Path) -> None:
    said = told(place)
    found = values(place)
    shown = {name for name in SECRETS if found[name] in said}
    assert shown == {"FIRST_ADMIN_PASSWORD", "GRAFANA_ADMIN_PASSWORD"}
    assert "docker compose up -d" in said
    again = told(place, domain="example.org")
    assert not any(found[name] in again for name in SECRETS)


def test_with_a_domain_a_new_file_has_https(place: Path) -> None:
    init(place, domain="example.org")
    assert values(place)["COMPOSE_PROFILES"] == "edge"


def test_profiles_that_are_given_are_those(place: Path) -> None:
    plan = init(place, domain="example.org", profiles="tracking, metrics")
    assert values(place)["COMPOSE_PROFILES"] == "tracking,metrics"
    assert values(place)["MLFLOW_URL"] == "http://mlflow:5000"
    assert any("without the profile edge" in note for note in plan.notes)


@pytest.mark.skipif(not COMPOSE.exists(), reason="the compose file is not in this checkout")
def test_compose_asks_for_no_secret_that_is_not_written() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))
    secrets = {name for name in asked if re.search(r"PASSWORD|TOKEN|KEY$", name)}
    bucket = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}  # of people's own making
    assert secrets - bucket <= set(CONTRACT)
    needed_elsewhere = {"COMPOSE_PROFILES"}
    assert set(CONTRACT) - asked <= needed_elsewhere


# ---- a file that is there


def test_a_second_run_changes_nothing_and_says_so(place: Path) -> None:
    init(place)
    before = (place / ".env").read_bytes()
    said = told(place)
    assert (place / ".env").read_bytes() == before
    assert "nothing was changed" in said
    assert "Next" not in said


def test_an_update_adds_what_is_missing_in_its_place_and_keeps_the_rest(place: Path) -> None:
    mine = (
        "# mine\nDOMAIN=example.org # the shop\nexport TAG='v1'\n\nWEB_PORT=9000\n"
        "POSTGRES_PASSWORD=theirs\nSMTP_PASSWORD='pa$s \"#word'\n"
    )
    write(place, mine)
    plan = init(place)
    content = (place / ".env").read_text()
    kept = iter(content.splitlines())
    assert all(line in kept for line in mine.splitlines())  # each one, in the same order
    assert set(plan.added) == set(CONTRACT) - {
        "DOMAIN", "TAG", "POSTGRES_PASSWORD", "SMTP_PASSWORD", "FIRST_ADMIN_PASSWORD",
    }  # fmt: skip
    lines = content.splitlines()
    at = lines.index("DOMAIN=example.org # the shop")
    assert lines[at + 2].startswith("ACME_EMAIL=")
    said = "\n".join(report(plan, place))
    assert "Added DATABASE_PASSWORD" in said
    assert "theirs" not in said
    assert "pa$s" not in said
    assert init(place).added == []


def test_an_option_changes_exactly_its_value(place: Path) -> None:
    init(place, domain="example.org", profiles="edge")
    content = (
        (place / ".env").read_text().replace("DOMAIN=example.org", "DOMAIN='example.org'  # x")
    )
    write(place, content)
    said = told(place, domain="shop.example.org", tag="v2")
    assert (place / ".env").read_text() == content.replace(
        "DOMAIN='example.org'  # x", "DOMAIN=shop.example.org  # x"
    ).replace("TAG=dev", "TAG=v2")
    assert "Changed DOMAIN from example.org to shop.example.org" in said
    assert "Changed TAG from dev to v2" in said


def test_tracking_is_told_where_as_it_is_switched_on_and_off(place: Path) -> None:
    init(place)
    init(place, profiles="edge,tracking")
    assert values(place)["MLFLOW_URL"] == "http://mlflow:5000"
    init(place, profiles="edge")
    assert values(place)["MLFLOW_URL"] == ""
    init(place, mlflow_url="https://mlflow.example.org")
    init(place, profiles="")
    assert values(place)["MLFLOW_URL"] == "https://mlflow.example.org"


def test_a_first_password_that_was_removed_after_its_use_stays_away(place: Path) -> None:
    init(place)
    without = re.sub(r"FIRST_ADMIN_PASSWORD=.*\n", "", (place / ".env").read_text())
    for content in (without, without + "FIRST_ADMIN_PASSWORD=\n"):
        write(place, content)
        assert init(place).told == []
        assert (place / ".env").read_text() == content


def test_a_template_with_empty_secrets_is_filled(place: Path) -> None:
    write(place, "".join(f"{name}=\n" for name in CONTRACT))
    plan = init(place)
    found = values(place)
    assert all(found[name] for name in SECRETS)
    assert len(plan.told) == 2
    assert found["SMTP_PASSWORD"] == ""


def test_a_file_that_others_can_read_is_closed(place: Path) -> None:
    init(place)
    (place / ".env").chmod(0o644)
    init(place)
    assert stat.S_IMODE((place / ".env").stat().st_mode) == 0o600


def test_a_link_to_the_file_stays_one(place: Path, tmp_path: Path) -> None:
    (place / ".env").symlink_to(tmp_path / "kept.env")
    init(place)
    assert (place / ".env").is_symlink()
    assert "DATABASE_PASSWORD=" in (tmp_path / "kept.env").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for others")
def test_a_file_that_root_completes_still_belongs_to_its_owner(place: Path) -> None:
    write(place, "TAG=v1\n")
    os.chown(place / ".env", 12_345, 12_346)
    init(place)
    after = (place / ".env").stat()
    assert (after.st_uid, after.st_gid) == (12_345, 12_346)


def test_two_at_once_agree_on_the_secrets(place: Path) -> None:
    with ThreadPoolExecutor(8) as executor:
        plans = list(executor.map(lambda _: init(place), range(8)))
    assert [plan.is_new for plan in plans].count(True) == 1
    assert [len(plan.told) for plan in plans].count(2) == 1


# ---- what is refused


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("TAG=a\nDOMAIN=x.org\nTAG=b\n", "TAG twice, in lines 1 and 3"),
        ("TAG=a\nwhat is this\n", "line 2 cannot be read"),
        ("TAG: a\n", "line 1 cannot be read"),
        ("TAG='a\nb'\n", "line 1 cannot be read"),
        ("TAG\n", "line 1 cannot be read"),
        ("TAG='a'b\n", "line 1 cannot be read"),
        ("DATABASE_PASSWORD=a@b\n", "DATABASE_PASSWORD is part of an address"),
    ],
)
def test_a_file_that_means_something_else_than_it_says_is_left_alone(
    place: Path, content: str, said: str
) -> None:
    write(place, content)
    with pytest.raises(EnvError, match=said) as caught:
        init(place)
    assert caught.value.code == 2
    assert (place / ".env").read_text() == content


def test_what_looks_wrong_but_may_be_meant_is_kept_and_said(place: Path) -> None:
    write(place, "DOMAIN=https://x.org\nSMTP_PASSWORD=pa$word\nTAG='$odd'\nBIND_ADDRESS=0.0.0.0\n")
    notes = " ".join(init(place).notes)
    assert "DOMAIN: 'https://x.org' is no domain name" in notes
    assert "what follows the $ in SMTP_PASSWORD" in notes
    assert "TAG: '$odd' is no tag" in notes
    assert "BIND_ADDRESS opens" in notes
    assert "pa$word" not in notes


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("A=b#c  # tail", "b#c"),
        ("A = spaced ", "spaced"),
        ("export A=b", "b"),
        ("A='b # $c' # d", "b # $c"),
        ('A="b c"', "b c"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=b\"c'd", "b\"c'd"),
        ("A=b=c", "b=c"),
    ],
)
def test_lines_mean_what_they_mean_to_compose(line: str, meaning: str) -> None:
    plan = make_plan(f"{line}\n", {}, Path(".env"))
    assert plan.value("A") == meaning
    assert line in plan.content.splitlines()


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\n\n\n"])
def test_lines_end_as_they_like(ending: str) -> None:
    plan = make_plan(f"TAG=v1{ending}DOMAIN=localhost{ending}", {}, Path(".env"))
    assert (plan.value("TAG"), plan.value("DOMAIN")) == ("v1", "localhost")


@pytest.mark.parametrize(
    ("option", "value", "made"),
    [
        ("domain", "Example.ORG.", "example.org"),
        ("domain", "città.example.it", "xn--citt-3na.example.it"),
        ("domain", "localhost", "localhost"),
        ("acme_email", "ops+tls@example.org", "ops+tls@example.org"),
        ("acme_email", "", ""),
        ("profiles", " edge tracking,edge ", "edge,tracking"),
        ("registry", "ghcr.io/acme/team-x/", "ghcr.io/acme/team-x/"),
        ("registry", "localhost:5000/", "localhost:5000/"),
        ("registry", "", ""),
        ("bind_address", "::1", "[::1]"),
        ("bind_address", "0.0.0.0", "0.0.0.0"),
        ("smtp_port", "0465", "465"),
        ("retention_days", "", ""),
        ("backup_to", "/srv/backups", "/srv/backups"),
        ("mlflow_url", "https://mlflow.example.org/", "https://mlflow.example.org"),
        ("backup_keep_weekly", "0", "0"),
    ],
)
def test_values_are_made_right(option: str, value: str, made: str) -> None:
    assert list(check_options({option: value}).values()) == [made]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("domain", "https://example.org"),
        ("domain", "example.org:443"),
        ("domain", "example"),
        ("domain", "-a.example.org"),
        ("domain", "192.0.2.1"),
        ("domain", "a..b"),
        ("domain", ""),
        ("domain", "*.example.org"),
        ("acme_email", "nobody"),
        ("acme_email", "a b@example.org"),
        ("acme_email", "Me <a@example.org>"),
        ("profiles", "edge,tools"),
        ("registry", "ghcr.io/acme"),
        ("registry", "https://ghcr.io/"),
        ("tag", "a b"),
        ("tag", ""),
        ("bind_address", "localhost"),
        ("smtp_port", "65536"),
        ("smtp_port", "²"),
        ("smtp_host", "smtp.example.org:25"),
        ("smtp_user", "pa$s"),
        ("retention_days", "-1"),
        ("retention_days", "0"),
        ("backup_to", "s3://bucket/x"),
        ("backup_to", "backups"),
        ("backup_to", "./my backups"),
        ("backup_keep_daily", "0"),
        ("mlflow_url", "mlflow:5000"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_the_name_of_their_option(
    place: Path, option: str, value: str
) -> None:
    with pytest.raises(EnvError, match=f"^--{option.replace('_', '-')}: ") as caught:
        init(place, **{option: value})
    assert caught.value.code == 2
    assert not (place / ".env").exists()


def test_a_registry_without_its_slash_is_told_how_to_write_it() -> None:
    with pytest.raises(EnvError, match=r"ghcr\.io/acme/$"):
        check_options({"registry": "ghcr.io/acme"})


def test_another_folder_gets_no_secrets(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match=r"holds no compose\.yaml"):
        init(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_files_place_is_explained(place: Path) -> None:
    (place / ".env").mkdir()
    with pytest.raises(EnvError, match="is a folder"):
        init(place)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, "TAG=v1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        init(place)
    assert (place / ".env").read_text() == "TAG=v1\n"
    assert len(list(place.iterdir())) == 2


# ---- as a script on a bare server, and as a command


def as_script(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Isolated: no packages, no neighbours of the file, no environment."""
    return subprocess.run(
        [sys.executable, "-S", "-I", str(SCRIPT), "--folder", str(place), *arguments],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )


def as_command(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sentops_cli", "init", "compose", "--folder", str(place)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def without_passwords(text: str) -> str:
    return re.sub(r"(\w{5}-){3}\w{5}", "-", text)


@pytest.mark.parametrize("run", [as_script, as_command])
def test_script_and_command_write_tell_complete_and_refuse(place: Path, run: object) -> None:
    assert callable(run)
    first = run(place, "--domain", "example.org", "--acme-email", "ops@example.org")
    assert first.returncode == 0, first.stderr
    assert values(place)["FIRST_ADMIN_PASSWORD"] in first.stdout
    again = run(place, "--tag", "v2")
    assert (again.returncode, values(place)["TAG"]) == (0, "v2")
    refused = run(place, "--domain", "https://example.org")
    assert refused.returncode == 2
    assert "Error: --domain:" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run(place, "--nonsense").returncode == 2
    assert run(place.parent).returncode == 2


def test_script_and_command_take_the_same_options_and_say_the_same(place: Path) -> None:
    options = {f"--{key.option}" for key in KEYS if key.check is not None}
    shown = {
        run.__name__: set(
            re.findall(r"^\W*(--[a-z-]+) ", run(place, "--help").stdout, re.MULTILINE)
        )
        for run in (as_script, as_command)
    }
    assert shown["as_script"] == options | {"--folder"}
    assert options <= shown["as_command"]
    from_script = as_script(place).stdout
    (place / ".env").unlink()
    assert without_passwords(as_command(place).stdout) == without_passwords(from_script)


def test_the_script_is_of_the_standard_library_and_of_an_old_python() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    newer = {"tomllib", "StrEnum", "UTC", "ExceptionGroup", "TaskGroup", "kw_only", "slots"}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.arg or "" for node in ast.walk(tree) if isinstance(node, ast.keyword)
    }
    assert not used & (newer | {"strict"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_file_of_another_user_is_refused_with_its_own_code(place: Path) -> None:
    place.chmod(0o500)
    try:
        assert as_script(place).returncode == 4
    finally:
        place.chmod(0o700)


def test_no_permission_has_its_own_exit_code(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: Mapping[str, object]) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(compose_env.tempfile, "mkstemp", refuse)
    with pytest.raises(EnvError, match="run this as the one it belongs to") as caught:
        init(place)
    assert caught.value.code == 4
