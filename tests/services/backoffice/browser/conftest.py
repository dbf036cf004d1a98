"""Staff pages in a real browser, over a platform with four weeks behind it.

`site` is a running backoffice with a database of its own; `staff("admin", locale="it-IT", viewport=PHONE)` is somebody
logged in on it; `look_at(visit, "overview")` checks what every page must be, and keeps a picture.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from sentops_backoffice.access import COOKIE
from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.tokens import Role
from sentops_core.store.users import Sessions
from tests.services.backoffice.support import TOKEN, TRAINER_TOKEN, RecordingTrainer
from tests.support.browser import OpenVisit, Visit
from tests.support.demo_platform import PERSON_OF, DemoPlatform, fill_demo
from tests.support.looks import look_at as look_at_page
from tests.support.policy_trainer import add_policy_routes
from tests.support.postgres import administer, copied_database, run_aside, with_database
from tests.support.serving import served

INDEX = "/backoffice/index"


@dataclass
class Site:
    """A backoffice on a real port; `trainer.asked` is what it set going."""

    url: str
    database_url: str
    demo: DemoPlatform
    trainer: RecordingTrainer

    def address(self, path: str) -> str:
        return urljoin(self.url, path)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Connection]:
        connection = await open_connection(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()


@dataclass(frozen=True)
class _Filled:
    database: str
    demo: DemoPlatform


@pytest.fixture(scope="session")
def filled_template(postgres_server: str) -> Iterator[_Filled]:
    """Filled once; each test gets a copy of the database. The artefact store, where files only ever come, is shared."""
    name = f"sentops_demo_{datetime.now(UTC):%H%M%S%f}"
    folder = Path(tempfile.mkdtemp(prefix="sentops-demo-store-"))
    run_aside(administer(postgres_server, f"CREATE DATABASE {name}"))
    try:
        url = with_database(postgres_server, name)
        run_aside(migrate_url(url))
        yield _Filled(name, run_aside(fill_demo(url, folder.as_uri())))
    finally:
        run_aside(administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))
        shutil.rmtree(folder)


@pytest.fixture
def demo_database_url(postgres_server: str, filled_template: _Filled) -> Iterator[str]:
    yield from copied_database(postgres_server, filled_template.database)


@pytest.fixture
def site(demo_database_url: str, filled_template: _Filled) -> Iterator[Site]:
    trainer = RecordingTrainer()
    trainer_app = FastAPI()
    add_policy_routes(trainer_app, demo_database_url)
    trainer_app.add_api_route("/{path:path}", trainer.answer, methods=["GET", "POST"])
    with served(trainer_app) as trainer.url:
        app = create_backoffice(
            Settings(
                database_url=SecretStr(demo_database_url),
                trainer_url=trainer.url,
                trainer_token=SecretStr(TRAINER_TOKEN),
                store_uri=filled_template.demo.store_uri,
                api_token=SecretStr(TOKEN),
            )
        )
        with served(app) as url:
            yield Site(url, demo_database_url, filled_template.demo, trainer)


OpenStaff = Callable[..., AbstractAsyncContextManager[Visit]]


@pytest.fixture
def staff(site: Site, visit: OpenVisit) -> OpenStaff:
    """`async with staff("annotator", at="/backoffice/queue", locale="it-IT", viewport=PHONE, javascript=False)`.

    `expected`: statuses that the test provokes. `scheme="dark"`; other options are those of a browser context.
    """

    @asynccontextmanager
    async def open_staff(
        role: str = "admin",
        *,
        at: str = INDEX,
        locale: str = "en-GB",
        viewport: dict[str, int] | None = None,
        javascript: bool = True,
        scheme: str = "light",
        expected: tuple[int, ...] = (),
        name: str | None = None,
        **options: object,
    ) -> AsyncIterator[Visit]:
        connection = await open_connection(site.database_url)
        try:
            session = await Sessions(connection).start(
                name or PERSON_OF[Role(role)],
                expires_at=datetime.now(UTC) + timedelta(hours=1),
                user_agent="the test's browser",
            )
        finally:
            await connection.close()
        cookie = {"name": COOKIE, "value": session.secret, "url": site.address("/backoffice/")}
        context = {
            "locale": locale,
            "viewport": viewport or {"width": 1280, "height": 900},
            "java_script_enabled": javascript,
            "color_scheme": scheme,
            "storage_state": {"cookies": [cookie], "origins": []},
        }
        async with visit(site.address(at), expected=expected, **(context | options)) as opened:
            yield opened

    return open_staff


@pytest.fixture
def look_at() -> Callable[[Visit, str], object]:
    """`await look_at(visit, "overview")`: see tests/support/looks.py."""
    return look_at_page
