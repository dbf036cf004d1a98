"""A real Chromium: `visit` opens pages of one visitor and fails the test on what no page of ours may do."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@dataclass
class Visit:
    """One visitor's page, with what went wrong on it."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)
    # Statuses that a test provokes are no faults; Chromium reports each as a console error.
    expected: tuple[int, ...] = ()

    def watch(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("request", self._request)

    async def accessible(self) -> None:
        """No violation that axe can find."""
        found = await Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        if not any(f"status of {status}" in message.text for status in self.expected):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme in {"http", "https"} and target.netloc != urlsplit(self.origin).netloc:
            self.faults.append(f"request to elsewhere: {request.url}")


OpenVisit = Callable[..., AbstractAsyncContextManager[Visit]]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not os.path.exists(CHROMIUM):  # noqa: PTH110, ASYNC240 - one look, before anything runs
        pytest.skip(f"no browser at {CHROMIUM}: install chromium, or set CHROMIUM to one")
    expect.set_options(timeout=20_000)  # machines that build and test at once are slow
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@pytest.fixture
def visit(browser: Browser) -> OpenVisit:
    """`async with visit(url, locale="it-IT", expected=(503,)) as visit`: a fresh visitor."""

    @asynccontextmanager
    async def open_visit(
        origin: str, *, expected: tuple[int, ...] = (), **options: object
    ) -> AsyncIterator[Visit]:
        chosen = {"locale": "en-GB", "viewport": {"width": 1100, "height": 900}} | options
        context = await browser.new_context(**chosen)  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        try:
            opened = Visit(await context.new_page(), origin, expected=expected)
            opened.watch()
            await opened.page.goto(origin)
            yield opened
        finally:
            await context.close()
        assert not opened.faults, opened.faults

    return open_visit
