"""Every variable of compose.yaml is written by init or told in the guide, and every setting is one that a program reads."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from sentops_backoffice.settings import Settings as BackofficeSettings
from sentops_cli.compose_env import KEYS
from sentops_core.store.prepare import wanted
from sentops_model_server.settings import ModelSettings
from sentops_monitor.settings import Settings as MonitorSettings
from sentops_trainer.settings import LocalSettings
from sentops_web.settings import Settings as WebSettings
from tests.compose.composition import (
    FILE,
    FOLDER,
    GUIDE,
    ROOT,
    Missing,
    composition,
    interpolate,
    settings,
    uses,
)

TEXT = FILE.read_text()
CODE = re.sub(r"(^|\s)#.*", "", TEXT, flags=re.MULTILINE)  # as YAML has it
WRITTEN = {key.name for key in KEYS}
FULL = settings(
    domain="sentiment.example.org",
    acme_email="a@example.org",
    profiles="edge,tracking,metrics",
    retention_days="30",
)
STACK = composition(FULL)
PROGRAMS: dict[str, type[BaseSettings]] = {
    "web": WebSettings,
    "backoffice": BackofficeSettings,
    "model": ModelSettings,
    "trainer": LocalSettings,
    "monitor": MonitorSettings,
}


# ---- variables


def test_every_variable_is_written_by_init_or_told_in_the_guide() -> None:
    gpu = (FOLDER / "compose.gpu.yaml").read_text()
    told = set(re.findall(r"`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`", GUIDE)) | set(
        re.findall(r"^# +([A-Z_]+)=", gpu, re.MULTILINE)
    )
    assert sorted(uses(CODE) - WRITTEN - told) == []


def test_everything_that_init_writes_is_read() -> None:
    deploy = (FOLDER / "deploy.sh").read_text()
    read = uses(CODE) | {name for name in WRITTEN if re.search(rf"\b{name}\b", deploy)}
    assert sorted(WRITTEN - read) == ["COMPOSE_PROFILES"]  # compose's own


def test_nothing_that_the_guide_tells_to_set_is_unheard() -> None:
    paragraph = GUIDE.split("## Settings\n")[1].split("\n## ")[0]
    told = set(re.findall(r"`([A-Z][A-Z0-9_]{3,})`", paragraph))
    gpu = (FOLDER / "compose.gpu.yaml").read_text()
    assert sorted(told - uses(CODE) - uses(gpu) - {"COMPOSE_FILE"}) == []


def test_a_variable_has_one_default_wherever_it_is_used() -> None:
    defaults: dict[str, set[str]] = {}
    for name, default in re.findall(r"(?<!\$)\$\{(\w+):-([^${}]*)\}", CODE):
        defaults.setdefault(name, set()).add(default)
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}
    for key in KEYS:
        if key.default and key.name in defaults:
            assert defaults[key.name] == {key.default}, key.name


def test_secrets_have_no_default() -> None:
    generated = {key.name for key in KEYS if key.make is not None}
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", CODE):
        assert name not in generated or default == "", name


# ---- how variables are replaced: these tests' own reading (compose's is compared in test_files)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A-${A}", "a-a"),
        ("${NONE:-x}${EMPTY:-y}${EMPTY-z}${A:-n}", "xya"),
        ("${A:+set}${EMPTY:+set}${EMPTY+there}", "setthere"),
        ("${NONE:-${A}/${NONE:-deep}}", "a/deep"),
        ("100$$ of ${A:?needed}", "100$ of a"),
    ],
)
def test_a_variable_is_replaced(text: str, result: str) -> None:
    assert interpolate(text, {"A": "a", "EMPTY": ""}) == result


def test_what_is_required_or_unreadable_is_refused() -> None:
    with pytest.raises(Missing, match=r"NONE.*say so"):
        interpolate("${NONE:?say so}", {})
    for wrong in ("${A", "${}", "${A!x}", "$ "):
        with pytest.raises(ValueError, match=r"\$"):
            interpolate(wrong, {})


# ---- settings of programs


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_given_settings_that_it_has_and_all_that_it_needs(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = PROGRAMS[program]
    prefix = str(kind.model_config["env_prefix"])
    given = {
        name: value for name, value in STACK[program].environment.items() if name.startswith(prefix)
    }
    fields = {f"{prefix}{name.upper()}" for name in kind.model_fields}
    assert sorted(set(given) - fields) == []
    for name, value in given.items():
        assert value, name
        monkeypatch.setenv(name, value)
    assert set(kind().model_fields_set) >= {name.removeprefix(prefix).lower() for name in given}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_starts_with_what_init_writes_by_default(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in composition()[program].environment.items():
        monkeypatch.setenv(name, value)
    PROGRAMS[program]()


def test_whoever_shows_a_token_shows_the_one_that_is_expected() -> None:
    web, backoffice, trainer = (STACK[one].environment for one in ("web", "backoffice", "trainer"))
    model, command = STACK["model"].environment, STACK["sentops"].environment
    tokens = {
        web["SENTOPS_WEB_TRAINER_TOKEN"],
        backoffice["SENTOPS_BACKOFFICE_TRAINER_TOKEN"],
        trainer["SENTOPS_TRAINER_TOKEN"],
        command["SENTOPS_TRAINER_TOKEN"],
    }
    assert tokens == {FULL["TRAINER_TOKEN"]}
    assert (
        trainer["SENTOPS_TRAINER_MODEL_CONTROL_TOKEN"]
        == model["SENTOPS_MODEL_CONTROL_TOKEN"]
        == FULL["MODEL_CONTROL_TOKEN"]
    )
    assert (
        backoffice["SENTOPS_BACKOFFICE_API_TOKEN"]
        == command["SENTOPS_BACKOFFICE_API_TOKEN"]
        == FULL["BACKOFFICE_API_TOKEN"]
    )


def test_prepare_makes_the_roles_that_others_come_as() -> None:
    asked = wanted(STACK["prepare"].environment)
    assert asked.grafana_password == FULL["GRAFANA_DATABASE_PASSWORD"]
    tracker = asked.url_of("mlflow", FULL["MLFLOW_DATABASE_PASSWORD"], "mlflow")
    tracker = tracker.replace("postgresql://", "postgresql+psycopg://")
    assert STACK["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"] == tracker
    owner = asked.url_of("sentops", FULL["DATABASE_PASSWORD"], "prediction")
    for name in ("web", "backoffice", "trainer", "monitor"):
        environment = STACK[name].environment
        assert environment[f"SENTOPS_{name.upper()}_DATABASE_URL"] == owner
    assert STACK["backup"].environment["SENTOPS_DATABASE_URL"] == owner


@pytest.mark.parametrize("service", ["sentops", "backup", "restore", "trainer"])
def test_what_else_is_set_is_read_somewhere(service: str) -> None:
    folder = "trainer" if service == "trainer" else "cli"
    source = "".join(file.read_text() for file in (ROOT / "services" / folder).rglob("src/**/*.py"))
    for name in STACK[service].environment:
        if name.startswith("SENTOPS_") and not name.startswith("SENTOPS_TRAINER_"):
            assert re.search(rf"\b{name}\b", source), name


def test_a_trainers_caches_and_checkpoints_are_in_volumes() -> None:
    trainer = STACK["trainer"]
    places = {mount.target for mount in trainer.mounts}
    for name in ("SENTOPS_TRAINER_RUNS_DIR", "SENTOPS_CACHE", "HF_HOME"):
        assert any(Path(trainer.environment[name]).is_relative_to(place) for place in places), name
    web = STACK["web"]
    (spool,) = (mount for mount in web.mounts if mount.source == "spool")
    assert Path(web.environment["SENTOPS_WEB_SPOOL_DIR"]).is_relative_to(spool.target)
