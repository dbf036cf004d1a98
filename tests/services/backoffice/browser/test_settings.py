"""People, tokens and retention, as an admin's browser meets them."""

import pytest
from playwright.async_api import expect

from sentops_core.store.maintain import maintain
from sentops_core.store.pool import open_connection
from tests.services.backoffice.browser.ways import BOTH, words_of
from tests.support.demo_platform import HOSTILE_NAME, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.pg]


@BOTH
async def test_an_account_is_made_and_its_password_shown_once(
    site, staff, visit, look_at, locale, viewport
) -> None:
    async with staff("admin", at="/backoffice/users", locale=locale, viewport=viewport) as admin:
        page = admin.page
        await expect(page.locator("tbody")).to_contain_text(HOSTILE_NAME)  # as text
        await look_at(admin, "settings-people")
        await page.fill("#name", "elena")
        await page.locator("form.card input[value=annotator]").check()
        await page.locator("form.card button").click()
        password = await page.locator("code.secret").inner_text()
        await look_at(admin, "settings-person-made")
        await page.goto(site.address("/backoffice/users/elena"))
        await expect(page.locator("code.secret")).to_have_count(0)
    async with visit(site.address("/backoffice/login")) as newcomer:
        await newcomer.page.fill("#name", "elena")
        await newcomer.page.fill("#password", password)
        await newcomer.page.click("main button")
        await newcomer.page.wait_for_url("**/backoffice/password")


async def test_a_name_that_is_taken_or_odd_is_refused_beside_the_form(staff) -> None:
    async with staff("admin", at="/backoffice/users", expected=(409, 422)) as admin:
        page = admin.page
        for name, sentence in (("bruno", "There is an account bruno"), ("a b", "letters, digits")):
            await page.fill("#name", name)
            await page.locator("form.card button").click()
            await expect(page.get_by_role("alert")).to_contain_text(sentence)
            await expect(page.locator("#name")).to_have_value(name)


@BOTH
async def test_a_role_is_changed(staff, locale, viewport) -> None:
    words = words_of(locale)
    async with staff(
        "admin", at="/backoffice/users/viola", locale=locale, viewport=viewport
    ) as admin:
        page = admin.page
        await page.locator("form.card input[value=annotator]").check()
        await page.get_by_role("button", name=words("user.role.button")).click()
        await expect(page.get_by_role("status")).to_have_text(words("done.user.role"))
        await expect(page.locator("dl.facts")).to_contain_text(words("role.annotator"))


@BOTH
async def test_disabling_asks_first_and_works_at_once(
    site, staff, look_at, locale, viewport
) -> None:
    async with (
        staff("annotator") as annotator,
        staff("admin", at="/backoffice/users/bruno", locale=locale, viewport=viewport) as admin,
    ):
        page = admin.page
        await look_at(admin, "settings-person")
        await page.locator("a.danger").click()
        await look_at(admin, "settings-person-disable")
        await expect(page.locator("main")).to_contain_text("1")  # one session is open
        await page.locator("main a.button").click()  # leave it
        await page.wait_for_url("**/users/bruno")
        await page.locator("a.danger").click()
        await page.locator("button.danger").click()
        await expect(page.get_by_role("status")).to_be_visible()
        await annotator.page.goto(site.address("/backoffice/audit"))
        await annotator.page.wait_for_url("**/backoffice/login**")
        enable = "Enable the account" if locale == "en-GB" else "Riattiva l’account"
        await page.get_by_role("button", name=enable).click()
        await annotator.page.reload()
        await annotator.page.fill("#name", "bruno")
        await annotator.page.fill("#password", PASSWORD)
        await annotator.page.click("main button")
        await annotator.page.wait_for_url("**/backoffice/**")


@BOTH
async def test_a_new_first_password_ends_sessions_and_must_be_changed(
    site, staff, visit, look_at, locale, viewport
) -> None:
    words = words_of(locale)
    async with (
        staff("viewer", locale=locale, viewport=viewport) as viewer,
        staff("admin", at="/backoffice/users/viola", locale=locale, viewport=viewport) as admin,
    ):
        page = admin.page
        await page.get_by_role("link", name=words("user.reset")).click()
        await look_at(admin, "settings-person-reset")
        await page.get_by_role("button", name=words("user.reset-password.button")).click()
        password = await page.locator("code.secret").inner_text()
        await viewer.page.reload()
        await viewer.page.wait_for_url("**/backoffice/login**")
        async with visit(site.address("/backoffice/login"), expected=(401,)) as again:
            await again.page.fill("#name", "viola")
            await again.page.fill("#password", PASSWORD)
            await again.page.click("main button")
            await expect(again.page.get_by_role("alert")).to_be_visible()
            await again.page.fill("#password", password)
            await again.page.click("main button")
            await again.page.wait_for_url("**/backoffice/password")


@BOTH
async def test_an_admin_ends_the_sessions_of_somebody(staff, locale, viewport) -> None:
    words = words_of(locale)
    async with (
        staff("viewer", locale=locale, viewport=viewport) as viewer,
        staff("viewer", locale=locale, viewport=viewport) as other,
    ):
        async with staff(
            "admin", at="/backoffice/users/viola", locale=locale, viewport=viewport
        ) as admin:
            page = admin.page
            await expect(page.locator("tbody tr")).to_have_count(2)
            await page.locator("tbody button").first.click()
            await expect(page.locator("tbody tr")).to_have_count(1)
            await page.get_by_role("link", name=words("user.sessions.end")).click()
            await page.get_by_role("button", name=words("user.sessions.end")).click()
            await expect(page.locator("main")).to_contain_text(words("user.sessions.none"))
        for one in (viewer, other):
            await one.page.reload()
            await one.page.wait_for_url("**/backoffice/login**")


async def test_ones_own_account_is_for_others_to_change(staff, look_at) -> None:
    async with staff("admin", at="/backoffice/users/anna") as admin:
        await expect(admin.page.locator("main form")).to_have_count(0)
        await look_at(admin, "settings-own")


@BOTH
async def test_a_token_is_made_shown_once_and_revoked(
    site, staff, look_at, locale, viewport
) -> None:
    async with staff("admin", at="/backoffice/tokens", locale=locale, viewport=viewport) as admin:
        page = admin.page
        await expect(page.locator("tbody").first).to_contain_text("<b>cruscotto</b>")
        await look_at(admin, "settings-tokens")
        await page.fill("#name", "importazione")
        await page.locator("form.card input[value=viewer]").check()
        await page.locator("form.card button").click()
        secret = await page.locator("code.secret").inner_text()
        await look_at(admin, "settings-token-made")
        answer = await page.request.get(
            site.address("/backoffice/api/overview"), headers={"authorization": f"Bearer {secret}"}
        )
        assert answer.ok
        await page.goto(site.address("/backoffice/tokens"))
        row = page.locator("tbody tr", has_text="importazione")
        await expect(row).to_contain_text("UTC")  # when it was used
        await row.locator("a.button").click()
        await look_at(admin, "settings-token-revoke")
        await page.locator("button.danger").click()
        await expect(page.get_by_role("status")).to_be_visible()
        refused = await page.request.get(
            site.address("/backoffice/api/overview"), headers={"authorization": f"Bearer {secret}"}
        )
        assert refused.status == 401


@BOTH
async def test_retention_says_what_goes_before_it_is_chosen(
    site, staff, look_at, locale, viewport
) -> None:
    at = "/backoffice/retention"
    async with staff("admin", at=at, locale=locale, viewport=viewport, expected=(422,)) as admin:
        page = admin.page
        await look_at(admin, "settings-retention")
        await page.locator("#days").evaluate("one => one.removeAttribute('pattern')")
        await page.fill("#days", "x1")
        await page.locator("form.card button").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.fill("#days", "1")
        await page.locator("form.card button").click()
        await look_at(admin, "settings-retention-change")
        connection = await open_connection(site.database_url)
        month = await connection.fetchval("SELECT date_trunc('month', now() - interval '1 day')")
        older = await connection.fetchval(
            "SELECT count(*) FROM predictions WHERE created_at < $1", month
        )
        numbers = (await page.locator("main .card p").first.inner_text()).replace(",", "")
        assert str(older) in numbers.replace(".", "")
        await page.locator("button.danger").click()
        await expect(page.get_by_role("status")).to_be_visible()
        await maintain(connection, now=site.demo.now, limit=None)
        left = await connection.fetchval("SELECT min(created_at) FROM predictions")
        assert left >= month
        await connection.close()


async def test_nobody_but_admins_sees_the_settings(site, staff) -> None:
    async with staff("annotator", expected=(403,)) as annotator:
        await expect(annotator.page.locator("nav.menu")).not_to_contain_text("Settings")
        for path in ("users", "users/anna", "tokens", "retention"):
            answer = await annotator.page.goto(site.address(f"/backoffice/{path}"))
            assert answer is not None
            assert answer.status == 403
            await expect(annotator.page.get_by_role("alert")).to_contain_text(
                "This needs the role Admin; yours is Annotator."
            )
