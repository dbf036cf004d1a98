"""The training pages in a real browser: every action on them, and how they look."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import expect

from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import TrainingJobPhase
from sentops_core.store.training_jobs import TrainingJobs
from tests.services.backoffice.browser.conftest import OpenStaff, Site
from tests.services.backoffice.browser.ways import BOTH, EVERY, words_of
from tests.services.backoffice.model_pages import add_running, add_texts, add_trained
from tests.support.browser import Visit

pytestmark = [pytest.mark.browser, pytest.mark.pg]
Look = Callable[[Visit, str], Awaitable[object]]

COMPARE = "/backoffice/compare?job=training-101&job=training-102"


async def fill(site: Site, folder: Path) -> None:
    """A job that runs, and two finished ones that disagree, beside those of the demo."""
    async with site.database() as connection:
        await add_texts(connection)
        await add_running(connection, "half-done")
        await add_running(connection, "quick-one", trainer={"method": "Linear"})
        await add_trained(connection, folder, 101, wrong=(1, 2, 3, 4))
        await add_trained(
            connection, folder, 102, wrong=(3, 4, 5), trainer={"hyperparameters": {"epochs": 9}}
        )


@EVERY
async def test_every_training_page_is_accessible_in_both_languages_at_both_widths(
    site: Site,
    staff: OpenStaff,
    look_at: Look,
    tmp_path: Path,
    locale: str,
    viewport: dict[str, int],
) -> None:
    await fill(site, tmp_path)
    async with staff("admin", at="/backoffice/training", locale=locale, viewport=viewport) as visit:
        await look_at(visit, "training")
        for path, name in (
            ("train", "training-new"),
            ("training/half-done", "training-running"),
            ("training/training-101", "training-finished"),
            (f"training/{site.demo.running}", "training-demo"),
            ("training/half-done/cancel", "training-cancel"),
            ("training/quick-one/suspend", "training-suspend"),
            (COMPARE.removeprefix("/backoffice/"), "training-compare"),
        ):
            await visit.page.goto(site.address(f"/backoffice/{path}"))
            await look_at(visit, name)


async def test_the_dark_pages_are_readable_too(
    site: Site, staff: OpenStaff, look_at: Look, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    async with staff("admin", at="/backoffice/training/half-done", scheme="dark") as visit:
        await look_at(visit, "training-running")
        await visit.page.goto(site.address(COMPARE))
        await look_at(visit, "training-compare")


@BOTH
async def test_one_button_trains_on_the_newest_dataset(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff("admin", at="/backoffice/training", locale=locale, viewport=viewport) as visit:
        await visit.page.get_by_role(
            "button", name=words("training.simple.start", dataset=site.demo.dataset)
        ).click()
        await expect(visit.page.get_by_role("status")).to_contain_text(
            words("done.training.started")
        )
    assert site.trainer.asked == [("/train", {"dataset_id": site.demo.dataset}, "anna")]


@BOTH
async def test_the_form_shows_what_the_method_uses_and_sends_what_was_chosen(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff("admin", at="/backoffice/train", locale=locale, viewport=viewport) as visit:
        page = visit.page
        await page.get_by_label(words("training.field.epochs"), exact=True).fill("6")
        await page.get_by_label(words("training.field.must_pass")).fill("negative: arrivato rotto")
        await page.get_by_label(words("training.field.method")).select_option("Linear")
        await expect(page.get_by_label(words("training.field.epochs"), exact=True)).to_be_hidden()
        await expect(page.get_by_label(words("training.field.seed"))).to_be_visible()
        await page.get_by_label(words("training.field.promotion")).select_option("Manual")
        await page.get_by_label(words("training.field.fast_path")).select_option("Off")
        await page.get_by_role("button", name=words("training.start")).click()
        await expect(page.get_by_role("status")).to_contain_text(words("done.training.started"))
    ((path, body, actor),) = site.trainer.asked
    assert (path, actor) == ("/train", "anna")
    assert body == {
        "dataset_id": site.demo.dataset,
        "method": "Linear",
        "base": "multilingual-small",
        "gate": {"mustPass": [{"label": "negative", "text": "arrivato rotto"}]},
        "promotion": {"mode": "Manual"},
        "fast_path": "Off",
    }


@BOTH
async def test_without_scripts_a_field_that_is_of_no_use_is_refused_and_nothing_is_lost(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff(
        "admin",
        at="/backoffice/train",
        javascript=False,
        expected=(422,),
        locale=locale,
        viewport=viewport,
    ) as visit:
        page = visit.page
        await page.get_by_label(words("training.field.epochs"), exact=True).fill("6")
        await page.get_by_label(words("training.field.method")).select_option("Linear")
        await page.get_by_label(words("training.field.name")).fill("my-own")
        await page.get_by_role("button", name=words("training.start")).click()
        await expect(page.get_by_role("alert")).to_contain_text(words("training.field.epochs"))
        await expect(page.get_by_label(words("training.field.name"))).to_have_value("my-own")
        await expect(page.locator("#epochs-wrong")).to_contain_text(words("training.wrong.unused"))
        await page.get_by_label(words("training.field.epochs"), exact=True).fill("")
        await page.get_by_role("button", name=words("training.start")).click()
        await expect(page.get_by_role("status")).to_contain_text(words("done.training.started"))
    assert len(site.trainer.asked) == 1


async def advance(site: Site, name: str, percent: int) -> None:
    """As the run's next report does."""
    async with site.database() as connection:
        jobs = TrainingJobs(connection)
        row = await jobs.get(name)
        told = row.job.status.trainer_status
        assert told is not None
        fresh = told.model_copy(update={"progress_percentage": percent})
        await jobs.add_progress(name, "x", fresh.to_document())
        status = row.job.status.model_copy(update={"trainer_status": fresh})
        await jobs.save_status(name, status)


async def finish(site: Site, name: str) -> None:
    async with site.database() as connection:
        jobs = TrainingJobs(connection)
        row = await jobs.get(name)
        ended = row.job.status.model_copy(update={"phase": TrainingJobPhase.FAILED})
        await jobs.save_status(name, ended)
        await jobs.add_event(name, Reason.OUT_OF_MEMORY, "Killed.")


@BOTH
async def test_progress_is_followed_through_a_lost_connection_to_the_end(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    async with staff(
        "admin", at="/backoffice/training/half-done", locale=locale, viewport=viewport
    ) as visit:
        page, lost = visit.page, visit.page.locator("[data-live-lost]")
        bar = page.get_by_role("progressbar")
        await expect(bar).to_have_attribute("value", "50")
        table = page.locator("#live details").first
        await table.locator("summary").click()
        await advance(site, "half-done", 60)
        await expect(bar).to_have_attribute("value", "60")
        await expect(table).to_have_attribute("open", "")  # what was opened stays open
        await expect(table.locator("summary")).to_be_focused()
        await page.route("**/backoffice/training/half-done", lambda route: route.abort())
        await expect(lost).to_be_visible()
        await advance(site, "half-done", 70)
        await page.unroute("**/backoffice/training/half-done")
        await expect(bar).to_have_attribute("value", "70")
        await expect(lost).to_be_hidden()
        await finish(site, "half-done")
        await expect(page.locator("[data-live-said]")).to_contain_text(words("reason.OutOfMemory"))
        await expect(page.locator("#live")).not_to_have_attribute("data-live", "3")
        visit.faults[:] = [one for one in visit.faults if "ERR_FAILED" not in one]


async def test_without_scripts_progress_is_seen_by_loading_again(
    site: Site, staff: OpenStaff, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    async with staff("viewer", at="/backoffice/training/half-done", javascript=False) as visit:
        bar = visit.page.get_by_role("progressbar")
        await expect(bar).to_have_attribute("value", "50")
        await advance(site, "half-done", 60)
        await visit.page.reload()
        await expect(bar).to_have_attribute("value", "60")
        await expect(visit.page.get_by_role("link", name="Cancel")).to_have_count(0)


@BOTH
async def test_a_training_is_suspended_at_once_and_cancelled_after_a_question(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    async with staff(
        "admin", at="/backoffice/training/half-done", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("button", name=words("training.do.suspend")).click()
        await expect(page.get_by_role("status").first).to_contain_text(
            words("done.training.suspend")
        )
        await page.get_by_role("link", name=words("training.do.cancel")).click()
        await expect(page.get_by_role("listitem").last).to_contain_text(
            "50.0" if locale == "en-GB" else "50,0"
        )
        await page.get_by_role("link", name=words("training.leave")).click()
        await expect(page).to_have_url(re.compile("half-done$"))
        await page.get_by_role("link", name=words("training.do.cancel")).click()
        await page.get_by_role("button", name=words("training.do.cancel")).click()
        await expect(page.get_by_role("status").first).to_contain_text(
            words("done.training.cancel")
        )
        await page.goto(site.address("/backoffice/training/quick-one"))
        await page.get_by_role("link", name=words("training.do.suspend")).click()
        await page.get_by_role("button", name=words("training.do.suspend")).click()
    asked = [path for path, _, _ in site.trainer.asked if not path.endswith("/log")]
    assert asked == [
        "/training-jobs/half-done/suspend",
        "/training-jobs/half-done/cancel",
        "/training-jobs/quick-one/suspend",
    ]


@BOTH
async def test_a_suspended_training_is_resumed(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    async with site.database() as connection:
        await TrainingJobs(connection).set_suspend("half-done", suspend=True)
    async with staff(
        "admin", at="/backoffice/training/half-done", locale=locale, viewport=viewport
    ) as visit:
        await visit.page.get_by_role("button", name=words("training.do.resume")).click()
        await expect(visit.page.get_by_role("status").first).to_contain_text(
            words("done.training.resume")
        )
    assert ("/training-jobs/half-done/resume", None, "anna") in site.trainer.asked


@BOTH
async def test_two_trainings_are_compared_down_to_single_texts(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    async with staff(
        "viewer", at="/backoffice/training", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("button", name=words("training.compare")).click()
        await expect(page.get_by_role("status")).to_contain_text(words("done.training.choose"))
        await page.goto(site.address("/backoffice/training?before=2999-01-01T00:00:00Z,x"))
        await page.get_by_label(
            words("training.compare.pick", job="training-101"), exact=True
        ).check()
        await page.get_by_label(
            words("training.compare.pick", job="training-102"), exact=True
        ).check()
        await page.get_by_role("button", name=words("training.compare")).click()
        await expect(
            page.get_by_role(
                "row",
                name=re.compile(
                    f"{words('training.field.epochs')} .*9 .*3 .*{words('training.compare.differs')}"
                ),
            )
        ).to_be_visible()
        section = page.locator("section", has=page.locator("#differ"))
        await expect(section.get_by_role("row")).to_have_count(4)
        await section.get_by_label(words("training.compare.who")).select_option(
            label=words("training.compare.who.second", second="B")
        )
        await section.get_by_role("button", name=words("training.compare.show")).click()
        await expect(section.get_by_role("row")).to_have_count(2)
        await expect(section).to_contain_text("Review number 5")


async def test_the_list_follows_its_jobs_and_keeps_what_was_ticked(
    site: Site, staff: OpenStaff, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    async with staff("viewer", at="/backoffice/training") as visit:
        page = visit.page
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="half-done"))
        await expect(row).to_contain_text("50.0 %")
        box = page.get_by_label("Compare training-101", exact=True)
        await box.check()
        await box.blur()
        await advance(site, "half-done", 60)
        await expect(row).to_contain_text("60.0 %")
        await expect(box).to_be_checked()


async def test_when_the_session_ends_the_page_asks_to_log_in_and_leads_back(
    site: Site, staff: OpenStaff, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    async with staff("viewer", at="/backoffice/training/half-done") as visit:
        async with site.database() as connection:
            await connection.execute("DELETE FROM sessions")
        await expect(visit.page).to_have_url(re.compile("login.*next=/backoffice/training/half-"))
