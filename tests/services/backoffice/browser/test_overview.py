"""The overview, as a browser meets it."""

import pytest
from playwright.async_api import expect

from sentops_core.domain.resources import TrainerStatus
from sentops_core.store.pool import open_connection
from sentops_core.store.training_jobs import TrainingJobs
from tests.support.looks import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.pg]


@pytest.mark.parametrize("locale", ["en-GB", "it-IT"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
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
