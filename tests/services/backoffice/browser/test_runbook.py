"""The runbook in a real browser: where the mail of an alert leads."""

import re

import pytest
from playwright.async_api import expect

from tests.services.backoffice.browser.ways import EVERY, words_of
from tests.support.demo_platform import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.pg]
ENTRY = "/backoffice/runbook#sentopsqualitylow"


@EVERY
async def test_an_entry_is_shown_in_both_languages_at_both_widths(
    staff, look_at, locale, viewport
) -> None:
    async with staff("viewer", at=ENTRY, locale=locale, viewport=viewport) as visit:
        page = visit.page
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            words_of(locale)("runbook.title")
        )
        await expect(page.locator("#sentopsqualitylow")).to_be_in_viewport()
        await expect(page.locator("article")).to_have_attribute("lang", "en")
        await look_at(visit, "runbook")


async def test_the_contents_lead_to_each_entry(staff) -> None:
    async with staff("viewer", at="/backoffice/runbook") as visit:
        page = visit.page
        links = page.locator(".runbook-contents a")
        addresses = await links.evaluate_all("all => all.map((one) => one.hash.slice(1))")
        assert len(addresses) > 10
        for address in addresses:
            await expect(page.locator(f"[id='{address}']")).to_have_count(1)


async def test_whoever_has_to_log_in_first_comes_to_the_entry_all_the_same(site, visit) -> None:
    async with visit(site.address(ENTRY), locale="en-GB") as opened:
        page = opened.page
        await page.locator("#name").fill("viola")
        await page.locator("#password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page).to_have_url(re.compile("runbook#sentopsqualitylow$"))
        await expect(page.locator("#sentopsqualitylow")).to_be_in_viewport()
