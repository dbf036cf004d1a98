"""The pages of retraining in a real browser: every action on them, and how they look."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from sentops_core.store.retrain_policies import RetrainPolicies, RetrainPolicyRow
from tests.services.backoffice.browser.conftest import OpenStaff, Site
from tests.services.backoffice.browser.ways import BOTH, EVERY, WITH_AND_WITHOUT, words_of
from tests.support.browser import Visit
from tests.support.demo_monitoring import DRY, POLICY

pytestmark = [pytest.mark.browser, pytest.mark.pg]
Look = Callable[[Visit, str], Awaitable[object]]
LIST = "/backoffice/retraining"


async def the_policy(site: Site, name: str) -> RetrainPolicyRow | None:
    async with site.database() as connection:
        return await RetrainPolicies(connection).find(name)


@EVERY
async def test_every_page_is_accessible_in_both_languages_at_both_widths(
    site: Site, staff: OpenStaff, look_at: Look, locale: str, viewport: dict[str, int]
) -> None:
    async with staff("admin", at=LIST, locale=locale, viewport=viewport) as visit:
        await look_at(visit, "retraining")
        for path, name in (
            ("retrain", "retraining-new"),
            (f"retraining/{POLICY}", "retraining-policy"),
            (f"retraining/{POLICY}/edit", "retraining-edit"),
            (f"retraining/{DRY}/go-live", "retraining-go-live"),
            (f"retraining/{POLICY}/delete", "retraining-delete"),
        ):
            await visit.page.goto(site.address(f"/backoffice/{path}"))
            await look_at(visit, name)


async def test_the_dark_pages_are_readable_too(site: Site, staff: OpenStaff, look_at: Look) -> None:
    async with staff("admin", at=f"{LIST}/{POLICY}", scheme="dark") as visit:
        await look_at(visit, "retraining-policy")
        await visit.page.goto(site.address("/backoffice/retrain"))
        await look_at(visit, "retraining-new")


@WITH_AND_WITHOUT
@BOTH
async def test_a_policy_is_made_changed_suspended_let_loose_and_deleted(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int], *, javascript: bool
) -> None:
    words = words_of(locale)
    async with staff(
        "admin", at=LIST, locale=locale, viewport=viewport, javascript=javascript
    ) as visit:
        page, said = visit.page, visit.page.get_by_role("status").first
        await page.get_by_role("link", name=words("retraining.new")).click()
        await page.get_by_label(words("retraining.field.name"), exact=True).fill("weekly")
        await page.get_by_label(words("retraining.field.mode")).select_option("dry_run")
        await page.get_by_label(words("retraining.field.on_quality"), exact=True).uncheck()
        await page.get_by_label(words("retraining.field.on_schedule"), exact=True).check()
        await page.get_by_label(words("retraining.field.cron"), exact=True).fill("30 4 * * MON")
        await page.get_by_role("button", name=words("retraining.make")).click()
        await expect(said).to_contain_text(words("done.retraining.made"))
        await expect(page.get_by_role("main")).to_contain_text("30 4 * * MON")
        await expect(page.get_by_role("main")).to_contain_text(
            words("retraining.mode.means.dry_run")
        )

        await page.get_by_role("link", name=words("retraining.do.edit"), exact=True).click()
        await page.get_by_label(words("retraining.field.cooldown_hours")).fill("1,5")
        await page.get_by_role("button", name=words("retraining.save")).click()
        await expect(said).to_contain_text(words("done.retraining.changed"))
        for action in ("suspend", "resume"):
            await page.get_by_role("button", name=words(f"retraining.do.{action}")).click()
            await expect(said).to_contain_text(words(f"done.retraining.{action}"))
        await page.get_by_role("link", name=words("retraining.do.go-live")).click()
        await expect(page.get_by_role("main")).to_contain_text(words("retraining.will.go-live.1"))
        await page.get_by_role("button", name=words("retraining.do.go-live")).click()
        await expect(said).to_contain_text(words("done.retraining.go-live"))
        row = await the_policy(site, "weekly")
        assert row is not None
        spec = row.policy.spec
        assert (spec.dry_run, spec.suspend, spec.guards.cooldown_seconds) == (False, False, 5400)
        assert spec.triggers.quality is None
        assert spec.triggers.new_labels is not None
        assert spec.triggers.schedule is not None
        assert spec.triggers.schedule.cron == "30 4 * * MON"

        await page.get_by_role("link", name=words("retraining.do.delete")).click()
        await expect(page.get_by_role("main")).to_contain_text(words("retraining.will.delete.2"))
        await page.get_by_role("button", name=words("retraining.do.delete")).click()
        await expect(said).to_contain_text(words("done.retraining.deleted"))
    assert await the_policy(site, "weekly") is None


@BOTH
async def test_mistakes_are_told_at_their_fields_and_nothing_typed_is_lost(
    staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff(
        "admin", at="/backoffice/retrain", locale=locale, viewport=viewport, expected=(422,)
    ) as visit:
        page = visit.page
        await page.get_by_label(words("retraining.field.name"), exact=True).fill("my-own")
        await page.get_by_label(words("retraining.field.quality_floor")).fill("75")
        await page.get_by_role("button", name=words("retraining.make")).click()
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text(words("retraining.field.quality_floor"))
        await expect(page.get_by_label(words("retraining.field.quality_floor"))).to_be_focused()
        await expect(page.get_by_label(words("retraining.field.name"), exact=True)).to_have_value(
            "my-own"
        )


async def test_fields_of_a_trigger_that_is_off_step_aside(staff: OpenStaff) -> None:
    async with staff("admin", at="/backoffice/retrain") as visit:
        page = visit.page
        await expect(page.locator("#cron")).to_be_hidden()
        await page.locator("#on_schedule").check()
        await expect(page.locator("#cron")).to_be_visible()
        await page.locator("#on_schedule").uncheck()
        await expect(page.locator("#cron")).to_be_disabled()


@BOTH
async def test_a_policy_shows_its_decisions_figures_and_trainings_to_a_viewer(
    staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff("viewer", at=LIST, locale=locale, viewport=viewport) as visit:
        page = visit.page
        await expect(page.get_by_role("link", name=words("retraining.new"))).to_have_count(0)
        await page.get_by_role("link", name=POLICY).click()
        main = page.get_by_role("main")
        await expect(main.get_by_role("button")).to_have_count(0)
        await expect(main).to_contain_text(words("retraining.outcome.Wait"))
        history = page.locator("section", has=page.locator("#decided"))
        await expect(history).to_contain_text(words("retraining.outcome.Start"))
        await history.locator("summary").nth(1).click()
        await expect(history).to_contain_text("0,7312" if locale == "it-IT" else "0.7312")
        trainings = page.locator("section", has=page.locator("#trainings"))
        await expect(trainings.get_by_role("row")).to_have_count(3)
