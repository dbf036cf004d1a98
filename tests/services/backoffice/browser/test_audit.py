"""The audit log, as a browser meets it."""

import json

import pytest
from playwright.async_api import expect

from tests.services.backoffice.browser.ways import BOTH, WITH_AND_WITHOUT, words_of
from tests.support.demo_platform import HOSTILE_NAME

pytestmark = [pytest.mark.browser, pytest.mark.pg]


@BOTH
async def test_deeds_are_told_in_words_with_their_evidence(
    staff, look_at, locale, viewport
) -> None:
    async with staff("viewer", at="/backoffice/audit", locale=locale, viewport=viewport) as visit:
        page = visit.page
        words = "put a version live" if locale == "en-GB" else "ha messo in servizio una versione"
        await expect(page.locator("tbody")).to_contain_text(words)
        await expect(page.locator("tbody")).to_contain_text(HOSTILE_NAME)
        row = page.locator("tbody tr", has_text="something.nobody_has_a_word_for").first
        await row.locator("summary").click()
        await expect(row.locator("pre")).to_contain_text("<script>alert('evidence')</script>")
        await look_at(visit, "audit")


@WITH_AND_WITHOUT
@BOTH
async def test_lines_are_filtered_by_who_what_whom_and_when(
    staff, site, javascript, locale, viewport
) -> None:
    words = words_of(locale)
    async with staff(
        "viewer", at="/backoffice/audit", javascript=javascript, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        rows = page.locator("tbody tr")
        everything = await rows.count()
        await page.fill("#actor", "bruno")
        await page.click("form.filter button")
        await expect(page.locator("#actor")).to_have_value("bruno")
        assert 0 < await rows.count() < everything
        await page.select_option("#action", "user.logged_in")
        await page.click("form.filter button")
        await expect(rows.first).to_contain_text(words("audit.user.logged_in"))
        await page.fill("#since", "2030-01-01")
        await page.click("form.filter button")
        await expect(page.locator("main")).to_contain_text(words("audit.none"))
        await page.get_by_role("link", name=words("audit.all")).click()
        await expect(rows).to_have_count(everything)
        await page.fill("#subject", site.demo.champion)
        await page.fill("#until", f"{site.demo.now:%Y-%m-%d}")
        await page.click("form.filter button")
        assert await rows.count() > 0
        for text in await rows.all_inner_texts():
            assert site.demo.champion in text


@BOTH
async def test_what_is_shown_is_exported_without_formulas(staff, locale, viewport) -> None:
    async with staff(
        "viewer", at="/backoffice/audit?actor=web", locale=locale, viewport=viewport
    ) as visit:
        async with visit.page.expect_download() as csv:
            await visit.page.get_by_role("link", name="CSV").click()
        text = (await (await csv.value).path()).read_text()
        lines = text.splitlines()
        assert lines[0] == "id,at,actor,action,subject,evidence"
        assert len(lines) > 1
        assert all(",'=1+1," in line for line in lines[1:])
        async with visit.page.expect_download() as jsonl:
            await visit.page.get_by_role("link", name="JSONL").click()
        rows = [
            json.loads(line) for line in (await (await jsonl.value).path()).read_text().splitlines()
        ]
        assert len(rows) == len(lines) - 1
        assert {row["subject"] for row in rows} == {"=1+1"}
