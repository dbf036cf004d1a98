"""The overview, as a browser meets it."""

import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from sentops_core.domain.drift import DriftFigures, Feature, FeatureDrift, Movement
from sentops_core.domain.quality import accuracy_of
from sentops_core.domain.quality_figures import QualityFigures
from sentops_core.domain.resources import TrainerStatus
from sentops_core.store.drift_figures import DriftTable
from sentops_core.store.pool import open_connection, open_pool
from sentops_core.store.quality_figures import QualityTable
from sentops_core.store.training_jobs import TrainingJobs
from tests.services.backoffice.browser.conftest import Site
from tests.services.backoffice.browser.ways import BOTH, EVERY, words_of
from tests.support.demo_monitoring import measure
from tests.support.loading import first_load
from tests.support.looks import PHONE


async def measure_again(site: Site) -> None:
    """What the real monitor says now: the demo may have been made a while ago."""
    pool = await open_pool(site.database_url, max_size=2)
    try:
        await measure(pool)
    finally:
        await pool.close()


pytestmark = [pytest.mark.browser, pytest.mark.pg]


@EVERY
async def test_it_says_who_serves_how_good_it_is_and_what_needs_somebody(
    staff, look_at, site, locale, viewport
) -> None:
    await measure_again(site)
    async with staff("viewer", locale=locale, viewport=viewport) as visit:
        serving = visit.page.locator("section", has=visit.page.locator("#serving"))
        await expect(serving).to_contain_text(site.demo.champion)
        await expect(serving).to_contain_text("90 %")
        await expect(serving).to_contain_text("95 %")  # its uncertainty
        needs = visit.page.locator("section", has=visit.page.locator("#needs"))
        await expect(needs).to_contain_text(site.demo.waiting)
        await expect(needs).to_contain_text("ran out of memory")
        await look_at(visit, "overview")


async def test_the_monitors_figures_are_there_as_charts_numbers_and_words(
    staff, site, look_at
) -> None:
    await measure_again(site)
    words = words_of("en-GB")
    async with staff("viewer", at="/backoffice/index?window=7d") as visit:
        page = visit.page
        section = page.locator("section", has=page.locator("#monitored"))
        week = section.get_by_role("row", name=words("overview.last.7d"))
        await expect(week).to_contain_text("%")
        await expect(week).to_contain_text(words("overview.estimated.none"))
        await expect(section.get_by_role("img")).to_have_count(3)
        await expect(section.locator(".legend").first).to_contain_text(site.demo.champion)
        before = words("overview.before", version=site.demo.previous)
        await expect(section.locator(".legend").first).to_contain_text(before)
        drift = section.locator(".drift > div", has_text=words("overview.feature.language"))
        await expect(drift).to_contain_text(words("overview.drift.yes"))
        await section.get_by_role("link", name=words("overview.last.1h")).click()
        await expect(page).to_have_url(re.compile("window=1h#monitored$"))
        await expect(drift).to_contain_text(words("overview.drift.unknown"))
        await section.locator("summary").first.click()
        await look_at(visit, "overview-hour")


@BOTH
async def test_what_was_found_leads_to_the_runbook(staff, site, look_at, locale, viewport) -> None:
    words, champion = words_of(locale), site.demo.champion
    moved = Movement(0.31, 1e-9, 1e-8, drifted=True)
    drift = DriftFigures(champion, "24h", (FeatureDrift(Feature.WORDS, 400, 900, moved),))
    low = QualityFigures(
        champion, "24h", "all", answers=400, votes=100, accuracy=accuracy_of(50, 100)
    )
    async with site.database() as connection, connection.transaction():
        now = datetime.now(UTC)
        await QualityTable(connection).save([low], now)
        await DriftTable(connection).save([drift], now)
    async with staff(
        "viewer", at="/backoffice/index?window=24h", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        needs = page.locator("section", has=page.locator("#needs"))
        await expect(needs).to_contain_text(words("overview.need.quality_low", subject=champion))
        await look_at(visit, "overview-findings")
        await needs.get_by_role("link", name=words("overview.feature.words")).click()
        await expect(page).to_have_url(re.compile("runbook#sentopsdrift$"))


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
