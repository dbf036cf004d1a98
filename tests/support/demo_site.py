"""The demo platform with its programs around it, on ports of its own: back office, web, a model server that answers.

In place of the trainer stands one that only says who serves and what a log looks like: a real one would go on with the
demo's trainings.
"""

import logging
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sentops_backoffice.access import COOKIE
from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings as BackofficeSettings
from sentops_core.domain.resources import Routing
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import migrate_url
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import open_connection, open_pool
from sentops_core.store.routing import RoutingTable
from sentops_core.store.users import Sessions
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from sentops_web.app import create_web
from sentops_web.settings import Settings as WebSettings
from sentops_web.spool import Spool
from tests.support.demo_models import MODEL
from tests.support.demo_platform import USUAL, DemoPlatform, DemoSize, fill_demo
from tests.support.demo_work import do_staff_work
from tests.support.postgres import UNSAFE_AND_QUICK, a_free_port, run_aside
from tests.support.serving import served

_TOKEN = "a token that only this machine sees"
_LOG = "".join(
    f'{{"event": "epoch_ended", "epoch": {epoch}, "loss": {1.1 / epoch:.3f}}}\n'
    for epoch in range(1, 30)
)
Wrap = Callable[[Any], Any]


@dataclass(frozen=True)
class DemoSite:
    backoffice: str
    web: str
    model: str
    database_url: str
    demo: DemoPlatform

    def value(self, query: str) -> str:
        """One thing that the demo data has, as it stands in an address."""

        async def ask() -> str:
            connection = await open_connection(self.database_url)
            try:
                return str(await connection.fetchval(query))
            finally:
                await connection.close()

        found: str = run_aside(ask())
        return found

    def session_of(self, name: str) -> dict[str, str]:
        """A cookie of somebody who has logged in, as a browser context takes it."""

        async def start() -> str:
            connection = await open_connection(self.database_url)
            try:
                ends = datetime.now(UTC) + timedelta(hours=2)
                session = await Sessions(connection).start(name, expires_at=ends)
            finally:
                await connection.close()
            return session.secret

        return {
            "name": COOKIE,
            "value": run_aside(start()),
            "url": f"{self.backoffice}/backoffice/",
        }


def only_warnings() -> None:
    """Nothing of the programs' daily life on the standard output of whoever starts them here."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def demo_site(size: DemoSize = USUAL, *, wrap: Wrap = lambda app: app) -> Iterator[DemoSite]:
    """Gone when the block ends; `wrap` goes around the back office."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentops-demo-")))
        folder.chmod(0o755)  # the database does not run as root
        database = EmbeddedPostgres(
            folder / "postgres",
            port=a_free_port(),
            password=secrets.token_hex(8),
            database="postgres",
            settings=UNSAFE_AND_QUICK | {"shared_buffers": "128MB"},
        )
        database.start()
        stack.callback(database.remove)
        run_aside(migrate_url(database.url))
        demo = run_aside(fill_demo(database.url, (folder / "store").as_uri(), size))
        run_aside(do_staff_work(database.url))
        model = stack.enter_context(served(_model_server(folder / "cache")))
        _load(model, database.url, demo)
        trainer = stack.enter_context(served(_trainer(database.url, model)))
        backoffice = create_backoffice(
            BackofficeSettings(
                database_url=SecretStr(database.url),
                trainer_url=trainer,
                trainer_token=SecretStr(_TOKEN),
                store_uri=demo.store_uri,
            )
        )
        web = WebSettings.model_validate(
            {
                "database_url": database.url,
                "trainer_url": trainer,
                "trainer_token": _TOKEN,
                "signing_key": secrets.token_hex(32),
                "spool_dir": folder / "spool",
                "show_similar": demo.dataset,
            }
        )
        spool = stack.enter_context(
            closing(
                Spool.open(
                    web.spool_dir, max_rows=web.spool_max_rows, max_bytes=web.spool_max_bytes
                )
            )
        )
        yield DemoSite(
            backoffice=stack.enter_context(served(wrap(backoffice))),
            web=stack.enter_context(served(create_web(web, spool, registry=CollectorRegistry()))),
            model=model,
            database_url=database.url,
            demo=demo,
        )


def _model_server(cache: Path) -> FastAPI:
    return build_app(
        ModelSettings.model_validate({"control_token": _TOKEN, "cache_dir": cache, "workers": 1})
    )


def _load(model: str, database_url: str, demo: DemoPlatform) -> None:
    """The champion and the candidate, which are real artefacts."""

    async def find() -> dict[str, Any]:
        connection = await open_connection(database_url)
        try:
            versions = ModelVersions(connection)
            return {
                "champion": (await versions.get(demo.champion)).version,
                "candidate": (await versions.get(demo.candidate)).version,
            }
        finally:
            await connection.close()

    for slot, version in run_aside(find()).items():
        artefact = version.spec.artifact
        answer = httpx.put(
            f"{model}/slots/{slot}",
            json={
                "storage_uri": artefact.storage_uri,
                "digest": artefact.digest,
                "model_version": version.metadata.name,
            },
            headers={"authorization": f"Bearer {_TOKEN}"},
            timeout=60,
            trust_env=False,
        )
        answer.raise_for_status()


def _trainer(database_url: str, model: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        # Kept open as the real one does: web asks every second, and each log-in to the database takes this process long.
        async with await open_pool(database_url, max_size=2) as pool:
            yield {"pool": pool}

    app = FastAPI(lifespan=lifespan)

    @app.get("/routing")
    async def routing(request: Request) -> dict[str, object]:
        async with request.state.pool.acquire() as connection:
            row = await RoutingTable(connection).get(MODEL)
        variants = tuple(
            one.model_copy(update={"url": one.url.replace("http://127.0.0.1:8501", model)})
            for one in row.routing.variants
        )
        return Routing(revision=row.routing.revision, variants=variants).to_document()

    @app.get("/training-jobs")
    async def jobs() -> list[object]:
        return []

    @app.get("/training-jobs/{name}/log")
    async def log(name: str) -> PlainTextResponse:
        return PlainTextResponse(_LOG)

    @app.post("/{path:path}", status_code=202)
    async def post(path: str) -> dict[str, str]:
        return {"name": path, "status_url": f"/{path}"}

    return app
