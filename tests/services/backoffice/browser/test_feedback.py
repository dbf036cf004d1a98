"""The feedback inbox in a browser: one vote, many votes, and where they come from."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from sentops_backoffice.labelling import fill, give_label
from sentops_core.domain.labelling import State
from sentops_core.store.labelling import Labelling
from sentops_core.store.pool import open_connection
from tests.services.backoffice.browser.ways import BOTH, WITH_AND_WITHOUT, words_of

pytestmark = [pytest.mark.browser, pytest.mark.pg]

INBOX = "/backoffice/feedback"
NOW = datetime.now(UTC)


async def count(site, condition: str) -> int:
    connection = await open_connection(site.database_url)
    found: int = await connection.fetchval(f"SELECT count(*) FROM feedback WHERE {condition}")
    await connection.close()
    return found


@BOTH
async def test_one_vote_is_accepted_refused_set_right_and_opened_again(
    site, staff, look_at, locale, viewport
) -> None:
    english = locale == "en-GB"
    async with staff(
        "annotator", at=f"{INBOX}?status=new&differs=yes", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await look_at(visit, "feedback")
        new = await count(site, "status = 'new'")
        row = page.locator("tbody tr").first
        await row.get_by_role("button", name="Accept" if english else "Accetta").click()
        await expect(page.get_by_role("status")).to_have_text(
            "Accepted." if english else "Accettati."
        )
        assert "status=new" in page.url
        await row.get_by_role("button", name="Refuse" if english else "Rifiuta").click()
        await expect(page.get_by_role("status")).to_contain_text(
            "Refused" if english else "Rifiutati"
        )
        await row.get_by_text("Set right…" if english else "Correggi…").click()
        await row.locator("details button").first.click()
        await expect(page.get_by_role("status")).to_contain_text(
            "Set right" if english else "Corretti"
        )
        assert await count(site, "status = 'new'") == new - 3
        assert await count(site, "corrected_label IS NOT NULL AND reviewed_by = 'bruno'") == 1
        await page.goto(site.address(f"{INBOX}?status=corrected"))
        await expect(page.locator("tbody tr")).to_have_count(1)
        await look_at(visit, "feedback-corrected")
        await row.get_by_role(
            "button", name="Back to new" if english else "Rimetti tra i nuovi"
        ).click()
        await expect(page.locator(".empty")).to_be_visible()
        assert await count(site, "status = 'new'") == new - 2


@WITH_AND_WITHOUT
@BOTH
async def test_many_votes_are_judged_at_once(site, staff, javascript, locale, viewport) -> None:
    words = words_of(locale)
    async with staff(
        "annotator",
        at=f"{INBOX}?status=new",
        javascript=javascript,
        locale=locale,
        viewport=viewport,
    ) as visit:
        page = visit.page
        boxes = page.locator("tbody input[type=checkbox]")
        if javascript:
            await page.get_by_label(words("feedback.choose.all")).check()
            await expect(boxes.nth(7)).to_be_checked()
            await boxes.nth(7).uncheck()
            wanted = await boxes.count() - 1
        else:
            await expect(page.get_by_label(words("feedback.choose.all"))).to_be_hidden()
            for number in (0, 2, 4):
                await boxes.nth(number).check()
            wanted = 3
        await page.locator("#right").select_option("neutral")
        await (
            page.locator(".together")
            .get_by_role("button", name=words("feedback.do.corrected"))
            .click()
        )
        await expect(page.get_by_role("status")).to_contain_text(words("done.feedback_corrected"))
        assert await count(site, "reviewed_by = 'bruno'") == wanted


@BOTH
async def test_a_filter_narrows_and_pages_go_on(site, staff, locale, viewport) -> None:
    words = words_of(locale)
    async with staff("viewer", at=INBOX, locale=locale, viewport=viewport) as visit:
        page = visit.page
        await expect(
            page.locator("main button", has_text=words("feedback.do.accepted"))
        ).to_have_count(0)
        await page.locator("#differs").select_option("yes")
        await page.locator("#label").select_option("negative")
        await page.get_by_role("button", name=words("feedback.show"), exact=True).click()
        await page.wait_for_url("**label=negative**")
        for cell in await page.locator("tbody td:nth-child(3)").all_inner_texts():
            assert words.label("negative") in cell
            assert words("feedback.contradicts") in cell
        await page.get_by_role("link", name=words("feedback.all")).click()
        await page.get_by_role("link", name=words("list.older")).click()
        await page.wait_for_url("**before=**")
        await expect(page.locator("tbody tr").first).to_be_visible()


@BOTH
async def test_a_source_is_quarantined_and_let_go(site, staff, look_at, locale, viewport) -> None:
    english = locale == "en-GB"
    connection = await open_connection(site.database_url)
    async with connection.transaction():
        await fill(connection, now=NOW, every=timedelta())
        for item in await Labelling(connection).in_state(State.OPEN):
            await give_label(connection, item.id, "ada", item.predicted_label or "neutral", now=NOW)
    await connection.close()
    async with staff(at=f"{INBOX}/sources", locale=locale, viewport=viewport) as visit:
        page = visit.page
        await look_at(visit, "feedback-sources")
        clients = page.locator("section", has=page.locator("#clients"))
        await clients.get_by_role("link", name="Quarant").first.click()
        await expect(page.locator(".note.warn")).to_be_visible()
        await look_at(visit, "feedback-quarantine")
        await page.locator("#note").fill("<b>sempre</b> il contrario")
        await page.get_by_role(
            "button", name="Put into quarantine" if english else "Metti in quarantena"
        ).click()
        await expect(page.get_by_role("status")).to_contain_text(
            "In quarantine" if english else "In quarantena"
        )
        held = page.locator("section", has=page.locator("#held"))
        await expect(held).to_contain_text("<b>sempre</b> il contrario")
        await look_at(visit, "feedback-sources-held")
        await held.get_by_role("link", name="End" if english else "Termina").click()
        await look_at(visit, "feedback-release")
        await page.get_by_role(
            "button", name="End the quarantine" if english else "Termina la quarantena"
        ).click()
        await expect(page.get_by_role("status")).to_contain_text(
            "Out of quarantine" if english else "Fuori dalla quarantena"
        )
        await expect(held.locator(".empty")).to_be_visible()
