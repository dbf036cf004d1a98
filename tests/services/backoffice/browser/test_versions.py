"""The version pages in a real browser: every action on them, and how they look."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import expect

from sentops_core.domain.resources import ModelVersionPhase, ModelVersionStatus
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.predictions import Predictions
from tests.services.backoffice.browser.conftest import OpenStaff, Site
from tests.services.backoffice.browser.ways import BOTH, EVERY, WITH_AND_WITHOUT, words_of
from tests.services.backoffice.model_pages import add_trained
from tests.services.backoffice.support import XSS
from tests.support.browser import Visit
from tests.support.rows import a_prediction

pytestmark = [pytest.mark.browser, pytest.mark.pg]
Look = Callable[[Visit, str], Awaitable[object]]

CARD = f"""# sentiment, from training job training-101

Answers a text with one of negative, neutral, positive. {XSS}

## Data

| rows | negative | neutral | positive | languages |
|---|---:|---:|---:|---|
| training 300 | 100 | 100 | 100 | en, it |
| held out 30 | 10 | 10 | 10 | en, it |

## Known failures

- negative, answered positive (0.80): [look](https://evil.example) ![](https://evil.example/x.png)
"""


async def fill(site: Site, folder: Path) -> None:
    """101 waits for a person, 102 failed the gate."""
    async with site.database() as connection:
        await add_trained(connection, folder, 101, wrong=(1,), card=CARD)
        await add_trained(connection, folder, 102, wrong=range(25))


async def an_answer(site: Site) -> str:
    """The id of an answer of the champion."""
    async with site.database() as connection:
        one = a_prediction(datetime.now(UTC), f"Ottimo {XSS}", model_version=site.demo.champion)
        async with connection.transaction():
            await Predictions(connection).copy_in([one])
    return str(one.id)


@EVERY
async def test_every_version_page_is_accessible_in_both_languages_at_both_widths(
    site: Site,
    staff: OpenStaff,
    look_at: Look,
    tmp_path: Path,
    locale: str,
    viewport: dict[str, int],
) -> None:
    await fill(site, tmp_path)
    answer = await an_answer(site)
    async with staff("admin", at="/backoffice/versions", locale=locale, viewport=viewport) as visit:
        await look_at(visit, "versions")
        for path, name in (
            ("versions/sentiment-v101", "version-waiting"),
            ("versions/sentiment-v102", "version-failed"),
            (f"versions/{site.demo.champion}", "version-live"),
            (f"versions/{site.demo.candidate}", "version-candidate"),
            ("versions/sentiment-v101/promote", "version-promote"),
            ("versions/sentiment-v102/promote", "version-force"),
            (f"versions/{site.demo.champion}/rollback", "version-rollback"),
            (f"versions/{site.demo.candidate}/archive", "version-archive"),
            ("lineage", "lineage-form"),
            (f"lineage/{answer}", "lineage"),
        ):
            await visit.page.goto(site.address(f"/backoffice/{path}"))
            await look_at(visit, name)


async def test_the_dark_pages_are_readable_too(
    site: Site, staff: OpenStaff, look_at: Look, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    async with staff("admin", at="/backoffice/versions", scheme="dark") as visit:
        await look_at(visit, "versions")
        await visit.page.goto(site.address("/backoffice/versions/sentiment-v102"))
        await look_at(visit, "version-failed")


@WITH_AND_WITHOUT
@BOTH
async def test_a_waiting_version_is_approved_promoted_or_dismissed_after_a_question(
    site: Site,
    staff: OpenStaff,
    tmp_path: Path,
    locale: str,
    viewport: dict[str, int],
    *,
    javascript: bool,
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    address = "/backoffice/versions/sentiment-v101"
    async with staff(
        "admin", at=address, javascript=javascript, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        for button, said in (
            (words("versions.do.approve"), words("done.versions.approve")),
            (words("versions.do.promote"), words("done.versions.promote")),
            (words("versions.do.archive"), words("done.versions.archive")),
        ):
            await page.goto(site.address(address))
            await page.get_by_role("link", name=button).click()
            await expect(page.get_by_role("heading", level=2)).to_contain_text(
                words("versions.will")
            )
            await page.get_by_label(words("versions.reason.optional")).fill(f"Because of {button}.")
            await page.get_by_role("button", name=button).click()
            await expect(page.get_by_role("status").first).to_contain_text(said)
    assert site.trainer.asked == [
        (
            "/model-versions/sentiment-v101/approve",
            {"reason": f"Because of {words('versions.do.approve')}."},
            "anna",
        ),
        (
            "/model-versions/sentiment-v101/promote",
            {"reason": f"Because of {words('versions.do.promote')}."},
            "anna",
        ),
        (
            "/model-versions/sentiment-v101/archive",
            {"reason": f"Because of {words('versions.do.archive')}."},
            "anna",
        ),
    ]


@BOTH
async def test_what_failed_the_gate_is_promoted_only_with_force_and_a_reason(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    async with staff(
        "admin", at="/backoffice/versions/sentiment-v102/promote", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("button", name=words("versions.do.promote")).click()
        assert site.trainer.asked == []  # the browser asks for the tick first
        await page.get_by_label(words("versions.force")).check()
        await page.get_by_role("button", name=words("versions.do.promote")).click()
        assert site.trainer.asked == []
        await page.get_by_label(words("versions.reason")).fill("The rows are old.")
        await page.get_by_role("button", name=words("versions.do.promote")).click()
        await expect(page.get_by_role("status").first).to_contain_text(
            words("done.versions.promote")
        )
    ((path, body, actor),) = site.trainer.asked
    assert (path, actor) == ("/model-versions/sentiment-v102/promote", "anna")
    assert body == {"reason": "The rows are old.", "force": True}


@BOTH
async def test_the_champion_is_rolled_back_after_saying_to_whom(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with site.database() as connection:
        await ModelVersions(connection).save_status(  # nothing else is under way
            site.demo.candidate, ModelVersionStatus(phase=ModelVersionPhase.ROLLED_BACK)
        )
    async with staff(
        "admin", at=f"/backoffice/versions/{site.demo.champion}", locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("link", name=words("versions.do.rollback")).click()
        await expect(page.get_by_role("main")).to_contain_text(words("versions.will.audit"))
        await page.get_by_role("button", name=words("versions.do.rollback")).click()
        await expect(page.get_by_role("status").first).to_contain_text(
            words("done.versions.rollback")
        )
    assert site.trainer.asked == [(f"/model-versions/{site.demo.champion}/rollback", None, "anna")]


async def test_a_refusal_of_the_control_plane_stands_beside_what_was_typed(
    site: Site, staff: OpenStaff, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    site.trainer.refuse = (409, "sentiment-v9 is being rolled out.")
    address = "/backoffice/versions/sentiment-v101/promote"
    async with staff("admin", at=address, locale="it-IT", expected=(409,)) as visit:
        await visit.page.get_by_label("Perché (se vuoi)").fill("Migliore.")
        await visit.page.get_by_role("button", name="Promuovi").click()
        await expect(visit.page.get_by_role("alert")).to_contain_text("being rolled out")
        await expect(visit.page.get_by_label("Perché (se vuoi)")).to_have_value("Migliore.")


async def test_a_viewer_sees_all_of_it_and_changes_nothing(
    site: Site, staff: OpenStaff, tmp_path: Path
) -> None:
    await fill(site, tmp_path)
    async with staff("viewer", at="/backoffice/versions/sentiment-v101") as visit:
        await expect(visit.page.get_by_role("heading", name="Model card")).to_be_visible()
        await expect(visit.page.get_by_role("heading", name="Known failures")).to_be_visible()
        await expect(visit.page.get_by_role("link", name="Promote")).to_have_count(0)
        await expect(visit.page.locator("main a[href*=evil], main img")).to_have_count(0)


@BOTH
async def test_a_rollout_is_followed_as_it_goes(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    await fill(site, tmp_path)
    async with staff(
        "viewer", at="/backoffice/versions/sentiment-v101", locale=locale, viewport=viewport
    ) as visit:
        state = visit.page.locator("#live")
        await expect(state).to_contain_text(words("versions.means.Pending"))
        async with site.database() as connection:
            await ModelVersions(connection).save_status(
                "sentiment-v101", ModelVersionStatus(phase=ModelVersionPhase.VERIFYING)
            )
        await expect(state).to_contain_text(words("versions.means.Verifying"))
        await expect(visit.page.locator("[data-live-said]")).to_contain_text(
            words("versions.phase.Verifying")
        )


@BOTH
async def test_an_answer_is_traced_to_the_rows_behind_it(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    answer = await an_answer(site)
    async with staff(
        "viewer", at="/backoffice/versions", expected=(404,), locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("link", name=words("lineage.ask")).click()
        await page.get_by_label(words("lineage.id")).fill("nonsense")
        await page.get_by_role("button", name=words("lineage.show")).click()
        await expect(page.get_by_role("alert")).to_contain_text(words("lineage.unknown"))
        await page.get_by_label(words("lineage.id")).fill(answer)
        await page.get_by_role("button", name=words("lineage.show")).click()
        chain = page.locator(".chain")
        await expect(chain).to_contain_text(XSS)
        await expect(chain).to_contain_text(site.demo.champion)
        await chain.get_by_role("link", name=site.demo.champion).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(site.demo.champion)


@EVERY
async def test_bars_of_one_chart_have_one_scale(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    async with staff(
        "viewer", at="/backoffice/versions", locale=locale, viewport=viewport
    ) as visit:
        for path in ("versions", f"datasets/{site.demo.dataset}"):
            await visit.page.goto(site.address(f"/backoffice/{path}"))
            charts = await visit.page.locator("dl.bars").evaluate_all(
                "all => all.map((one) => [...one.querySelectorAll('svg')].map((bar) => Math.round(bar.clientWidth)))"
            )
            assert any(len(widths) > 2 for widths in charts)
            for widths in charts:
                assert len(set(widths)) == 1, (path, widths)
                assert widths[0] > 20
