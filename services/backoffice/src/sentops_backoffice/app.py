"""Wires the backoffice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import APIRouter, Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from sentops_backoffice.access import guard
from sentops_backoffice.accounts import Passwords, create_first_admin
from sentops_backoffice.certificate import certificate_watch
from sentops_backoffice.deps import Parts
from sentops_backoffice.edges import OnlyUploadsAreLarge, SecurityHeaders, add_error_pages
from sentops_backoffice.limiter import LoginLimiter
from sentops_backoffice.pages import Pages
from sentops_backoffice.routes import (
    account,
    api_tokens,
    audit,
    datasets,
    datasets_api,
    feedback,
    feedback_api,
    login,
    overview,
    queue,
    queue_api,
    retention,
    retraining,
    retraining_api,
    runbook,
    settings_api,
    staff,
    training,
    training_api,
    uploads,
    uploads_api,
    versions,
    versions_api,
)
from sentops_backoffice.settings import Settings
from sentops_backoffice.staging import tidied
from sentops_backoffice.trainer import Trainer
from sentops_core.http import create_app
from sentops_core.http.heap import settled_heap
from sentops_core.http.outgoing import CARRIES_TRACE
from sentops_core.language import language_detector
from sentops_core.process_metrics import new_registry
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import open_pool, transaction

_STATIC = Path(__file__).parent / "static"
_FORM_OVERHEAD = 100_000  # the other fields and the boundaries around an upload


def create_backoffice(settings: Settings) -> FastAPI:
    registry = new_registry("backoffice")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        token = {"authorization": f"Bearer {settings.trainer_token.get_secret_value()}"}
        detect_language = await asyncio.to_thread(language_detector)
        async with (
            await open_pool(
                settings.database_url.get_secret_value(), application_name="backoffice"
            ) as pool,
            # Never by a proxy of the environment: the trainer is a neighbour, and the token is for it alone.
            httpx.AsyncClient(
                base_url=settings.trainer_url,
                headers=token,
                timeout=30,
                trust_env=False,
                event_hooks=CARRIES_TRACE,
            ) as client,
        ):
            async with transaction(pool) as connection:
                await require_current(connection)
                if settings.first_admin_password is not None:
                    await create_first_admin(
                        connection, settings.first_admin_password.get_secret_value()
                    )
            parts = Parts(
                settings=settings,
                pool=pool,
                trainer=Trainer(client),
                pages=Pages(),
                passwords=Passwords(),
                logins=LoginLimiter(),
                detect_language=detect_language,
            )
            async with tidied(pool), certificate_watch(settings.certificate_host, registry):
                with settled_heap():
                    yield {"parts": parts}

    app = create_app(
        "Sentops backoffice",
        lifespan=lifespan,
        routers=[login.router, _guarded()],
        registry=registry,
        max_body_bytes=settings.max_upload_bytes + _FORM_OVERHEAD,
        docs_url=None,
    )
    app.mount("/backoffice/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(OnlyUploadsAreLarge, most_bytes=settings.max_upload_bytes + _FORM_OVERHEAD)
    app.add_middleware(SecurityHeaders)
    add_error_pages(app)
    return app


def _guarded() -> APIRouter:
    """Everything but the login page goes here."""
    router = APIRouter(prefix="/backoffice", dependencies=[Depends(guard)])
    for part in (
        overview,
        uploads,  # before datasets: `new` is no version
        datasets,
        training,
        retraining,
        queue,
        feedback,
        versions,
        audit,
        account,
        staff,
        api_tokens,
        retention,
        runbook,
        settings_api,
        uploads_api,
        datasets_api,
        queue_api,
        feedback_api,
        training_api,
        retraining_api,
        versions_api,
    ):
        router.include_router(part.router)
    for part in (overview, audit):
        router.include_router(part.api)
    return router
