"""The overview, as a browser meets it."""

import pytest
from playwright.async_api import expect

from sentops_core.domain.resources import TrainerStatus
from sentops_core.store.pool import open_connection
from sentops_core.store.training_jobs import TrainingJobs
from tests.services.backoffice.browser.ways import EVERY
from tests.support.loading import first_load
from tests.support.looks import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.pg]


@EVERY
async def test_it_says_who_serves_how_good_it_is_and_what_needs_somebody(
    staff, look_at, site, locale, viewport
) -> None:
    async with staff("viewer", locale=locale, viewport=viewport) as visit:
        serving = visit.page.locator("section", has=visit.page.locator("#serving"))
        await expect(serving).to_contain_text(site.demo.champion)
        await expect(serving).to_contain_text("90 %")
        await expect(serving).to_contain_text("95 %")  # its uncertainty
        needs = visit.page.locator("section", has=visit.page.locator("#needs"))
        await expect(needs).to_contain_text(site.demo.waiting)
        await expect(needs).to_contain_text("ran out of memory")
        await look_at(visit, "overview")


async def test_it_is_readable_in_the_dark(staff, look_at) -> None:
    async with staff("viewer", scheme="dark") as visit:
        await look_at(visit, "overview")


async def test_progress_moves_while_one_looks(staff, site) -> None:
    connection = await open_connection(site.database_url)
    async with staff("viewer") as visit:
        running = visit.page.locator(".running", has_text=site.demo.running)
        await expect(running.locator("progress")).to_have_attribute("value", "45")
        jobs = TrainingJobs(connection)
        status = (await jobs.get(site.demo.running)).job.status
        further = TrainerStatus(progress_percentage=77, estimated_remaining_seconds=180)
        await jobs.save_status(
            site.demo.running, status.model_copy(update={"trainer_status": further})
        )
        await expect(running.locator("progress")).to_have_attribute("value", "77")
        await expect(running).to_contain_text("3 minutes left")
    await connection.close()


async def test_its_links_lead_somewhere(staff) -> None:
    async with staff("admin", javascript=False) as visit:
        links = await visit.page.locator("main a[href]").evaluate_all(
            "all => [...new Set(all.map((one) => one.href))]"
        )
        assert len(links) > 5
        for link in links:
            answer = await visit.page.request.get(link)
            assert answer.ok, link


async def test_the_first_load_is_light_and_quick(staff) -> None:
    times = []
    for _ in range(4):
        async with staff("admin") as visit:
            times.append(await first_load(visit.page))
    assert min(times) < 1000, times


async def test_on_a_phone_the_menu_shows_where_one_is(staff, site) -> None:
    async with staff("admin", at="/backoffice/audit", viewport=PHONE) as visit:
        await expect(visit.page.locator(".menu [aria-current]")).to_be_in_viewport(ratio=1)
        await visit.page.goto(site.address("/backoffice/index"))
        await expect(visit.page.locator(".menu [aria-current]")).to_be_in_viewport(ratio=1)
