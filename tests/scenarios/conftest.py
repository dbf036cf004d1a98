"""The platform of one machine as real processes: PostgreSQL, model server, trainer, web, backoffice, monitor."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.platform import Platform
from tests.support.programs import Program, running


@pytest.fixture
def trainer_settings() -> dict[str, str]:
    """More settings of the trainer; a module says its own."""
    return {}


@pytest.fixture
def platform(
    database_url: str, tmp_path: Path, trainer_settings: dict[str, str]
) -> Iterator[Platform]:
    token, control = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    store = f"file://{tmp_path}/store"
    with ExitStack() as stack:

        def program(name: str, **environment: str) -> Program:
            prefix = "MODEL" if name == "model_server" else name.upper()
            settings = {f"SENTOPS_{prefix}_{key}": value for key, value in environment.items()}
            return stack.enter_context(running(name, settings, tmp_path))

        model = program("model_server", CONTROL_TOKEN=control, CACHE_DIR=str(tmp_path / "cache"))
        trainer = program(
            "trainer",
            DATABASE_URL=database_url,
            STORE_URI=store,
            MODEL_URL=model.url,
            MODEL_CONTROL_TOKEN=control,
            TOKEN=token,
            RUNS_DIR=str(tmp_path / "runs"),
            CONVERGE_SECONDS="0.1",
            **trainer_settings,
        )
        web = program(
            "web",
            DATABASE_URL=database_url,
            TRAINER_URL=trainer.url,
            TRAINER_TOKEN=token,
            SPOOL_DIR=str(tmp_path / "spool"),
            SIGNING_KEY=secrets.token_urlsafe(32),
        )
        backoffice = program(
            "backoffice",
            DATABASE_URL=database_url,
            TRAINER_URL=trainer.url,
            TRAINER_TOKEN=token,
            STORE_URI=store,
            API_TOKEN=token,
        )
        monitor = program("monitor", DATABASE_URL=database_url, REFRESH_SECONDS="0.2")
        yield Platform(
            monitor=monitor,
            model=model,
            trainer=trainer,
            web=web,
            backoffice=backoffice,
            token=token,
            folder=tmp_path,
            database_url=database_url,
        )
