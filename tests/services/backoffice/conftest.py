"""The backoffice, ready to be asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.services.backoffice.support import (
    FIRST_PASSWORD,
    PASSWORD,
    Backoffice,
    Browser,
    RecordingTrainer,
    a_backoffice,
    a_trainer,
)


@pytest.fixture
async def trainer() -> AsyncIterator[RecordingTrainer]:
    async with a_trainer() as running:
        yield running


@pytest.fixture
async def backoffice(
    database_url: str, tmp_path: Path, trainer: RecordingTrainer
) -> AsyncIterator[Backoffice]:
    async with a_backoffice(
        database_url, tmp_path, trainer.url, max_upload_bytes=300_000
    ) as running:
        yield running


@pytest.fixture
async def api(backoffice: Backoffice) -> AsyncIterator[httpx.AsyncClient]:
    async with backoffice.api() as client:
        yield client


@pytest.fixture
async def anyone(backoffice: Backoffice) -> AsyncIterator[httpx.AsyncClient]:
    async with backoffice.client() as client:
        yield client


@pytest.fixture
async def admin(backoffice: Backoffice) -> AsyncIterator[Browser]:
    """Logged in, with a password of their own."""
    async with backoffice.client() as client:
        browser = Browser(client)
        await browser.log_in("admin", FIRST_PASSWORD)
        changed = await browser.choose_password(FIRST_PASSWORD, PASSWORD)
        assert changed.headers["location"] == "/backoffice/index", changed.text
        yield browser
