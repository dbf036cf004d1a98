"""The way in, one's own account, and its sessions, as a browser meets them."""

import pytest
from playwright.async_api import expect

from sentops_core.store.pool import open_connection
from tests.services.backoffice.browser.ways import BOTH, WITH_AND_WITHOUT, words_of
from tests.support.demo_platform import NEWCOMER, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.pg]


@BOTH
async def test_the_login_says_what_is_wrong_and_lets_in(
    site, visit, look_at, locale, viewport
) -> None:
    options = {"locale": locale, "viewport": viewport}
    async with visit(site.address("/backoffice/audit"), expected=(401,), **options) as visitor:
        page = visitor.page
        await expect(page.locator("h1")).to_have_text("Log in" if locale == "en-GB" else "Accedi")
        await look_at(visitor, "login")
        await page.fill("#name", "anna")
        await page.fill("#password", "not this one")
        await page.keyboard.press("Enter")
        alert = page.get_by_role("alert")
        await expect(alert).to_have_text(
            "Name or password is wrong." if locale == "en-GB" else "Nome o password sbagliati."
        )
        await expect(page.locator("#name")).to_have_value("anna")
        await look_at(visitor, "login-wrong")
        await page.fill("#password", PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/backoffice/audit")  # where they wanted to go


@WITH_AND_WITHOUT
async def test_a_newcomer_chooses_a_password_first(site, visit, look_at, javascript) -> None:
    async with visit(
        site.address("/backoffice/login"), expected=(422,), java_script_enabled=javascript
    ) as visitor:
        page = visitor.page
        await page.fill("#name", NEWCOMER)
        await page.fill("#password", PASSWORD)
        await page.click("main button")
        await page.wait_for_url("**/backoffice/password")
        await expect(page.locator("nav.menu")).to_have_count(0)  # nothing else is open to them yet
        await look_at(visitor, "password-first")
        await page.fill("#current", PASSWORD)
        await page.fill("#new", "un'altra parola segreta")
        await page.fill("#again", "un'altra parola segretA")
        await page.click("main button")
        await expect(page.get_by_role("alert")).to_have_text("The two new passwords differ.")
        for field, value in (
            ("#current", PASSWORD),
            ("#new", "un'altra parola segreta"),
            ("#again", "un'altra parola segreta"),
        ):
            await page.fill(field, value)
        await page.click("main button")
        await page.wait_for_url("**/backoffice/index")
        await expect(page.locator("nav.menu")).to_have_count(1)


@BOTH
async def test_own_sessions_are_listed_and_ended(staff, look_at, locale, viewport) -> None:
    async with staff("admin", at="/backoffice/account", locale=locale, viewport=viewport) as visit:
        page = visit.page
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(4)  # this one and three of the demo
        await expect(page.locator("tbody")).to_contain_text("Firefox 145, Linux")
        await expect(page.locator("tbody")).to_contain_text("Chrome 143, Android")
        await expect(page.locator("tbody")).to_contain_text("<script>alert('agent')</script>")
        await look_at(visit, "account")
        await rows.filter(has_text="Firefox 145").get_by_role("button").click()
        await expect(page.get_by_role("status")).to_be_visible()
        await expect(rows).to_have_count(3)
        others = "End all others" if locale == "en-GB" else "Termina tutte le altre"
        await page.get_by_role("button", name=others).click()
        await expect(rows).to_have_count(1)


async def test_a_session_that_was_ended_elsewhere_lets_nobody_in(site, staff) -> None:
    async with (
        staff("viewer") as here,
        staff("viewer", at="/backoffice/account") as there,
    ):
        await there.page.get_by_role("button", name="End all others").click()
        await expect(there.page.get_by_role("status")).to_be_visible()
        await here.page.goto(site.address("/backoffice/audit"))
        await here.page.wait_for_url("**/backoffice/login**")


@BOTH
async def test_a_new_password_ends_the_other_sessions(site, staff, locale, viewport) -> None:
    words = words_of(locale)
    async with staff(
        "annotator", at="/backoffice/account", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.fill("#current", PASSWORD)
        await page.fill("#new", "nuova parola segreta")
        await page.fill("#again", "nuova parola segreta")
        await page.get_by_role("button", name=words("account.change")).click()
        await expect(page.get_by_role("status")).to_contain_text(words("done.account.password"))
    connection = await open_connection(site.database_url)
    assert await connection.fetchval("SELECT count(*) FROM sessions WHERE user_name = 'bruno'") == 1
    await connection.close()


@BOTH
async def test_logging_out_leads_back_to_the_login(staff, locale, viewport) -> None:
    words = words_of(locale)
    async with staff("viewer", locale=locale, viewport=viewport) as visit:
        await visit.page.get_by_role("button", name=words("nav.logout")).click()
        await visit.page.wait_for_url("**/backoffice/login")
        await visit.page.go_back()
        await visit.page.reload()
        await visit.page.wait_for_url("**/backoffice/login**")


async def test_the_language_can_be_changed_and_is_remembered(site, staff) -> None:
    async with staff("viewer", at="/backoffice/account", locale="en-GB") as visit:
        await visit.page.get_by_role("link", name="Italiano").click()
        await expect(visit.page.locator("h1")).to_have_text("Il tuo account")
        await visit.page.goto(site.address("/backoffice/index"))
        await expect(visit.page.locator("h1")).to_have_text("Panoramica")
