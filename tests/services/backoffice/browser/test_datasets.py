"""The dataset pages in a real browser: every action on them, and how they look."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.services.backoffice.browser.conftest import OpenStaff, Site
from tests.services.backoffice.browser.ways import BOTH, EVERY, WITH_AND_WITHOUT, words_of
from tests.services.backoffice.support import labelled_csv
from tests.services.backoffice.test_uploads import a_bomb, in_stars
from tests.support.browser import Visit

pytestmark = [pytest.mark.browser, pytest.mark.pg]
Look = Callable[[Visit, str], Awaitable[object]]

LIST = "/backoffice/datasets"
NEW = f"{LIST}/new"


def a_file(folder: Path, content: bytes, name: str = "recensioni.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


async def send(page: Page, file: Path) -> None:
    await page.set_input_files("#file", file)
    await page.click("form[data-upload] button.primary")


async def upload(page: Page, file: Path) -> None:
    await send(page, file)
    await page.wait_for_url("**/datasets/uploads/*")


def a_long_file(folder: Path) -> Path:
    """One and a half megabytes: a tenth of a second, or as long as the line takes."""
    return a_file(folder, labelled_csv(100, extra=f"{'senza etichetta ' * 5},\n" * 20_000))


@asynccontextmanager
async def slowly(page: Page, bytes_per_second: int) -> AsyncIterator[None]:
    """In the block, sending takes as long as over a poor line."""
    devtools = await page.context.new_cdp_session(page)
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1}
    await devtools.send("Network.enable")
    await devtools.send(
        "Network.emulateNetworkConditions", conditions | {"uploadThroughput": bytes_per_second}
    )
    yield
    await devtools.detach()


@EVERY
async def test_every_dataset_page_is_accessible_in_both_languages_at_both_widths(
    site: Site,
    staff: OpenStaff,
    look_at: Look,
    tmp_path: Path,
    locale: str,
    viewport: dict[str, int],
) -> None:
    async with staff("admin", at=LIST, locale=locale, viewport=viewport) as visit:
        page = visit.page
        await look_at(visit, "datasets")
        for path, name in (
            ("v1", "dataset"),
            ("v1/rows", "dataset-rows"),
            ("v1/rows?search=nessuno+dice+questo", "dataset-rows-none"),
            ("v2/diff", "dataset-diff"),
            ("v2/near-duplicates", "dataset-near"),
            ("new", "dataset-new"),
        ):
            await page.goto(site.address(f"{LIST}/{path}"))
            await look_at(visit, name)
        await upload(page, a_file(tmp_path, in_stars() + b"forse;<b>boh</b>\n"))
        await look_at(visit, "dataset-upload-unclear")
        await page.select_option("#text_column", "0")
        await page.select_option("#label_column", "1")
        await page.locator("form.mapping > section:last-of-type button").first.click()
        await expect(page.get_by_role("status")).to_be_visible()
        await page.locator("details", has=page.locator("table")).locator("summary").click()
        await look_at(visit, "dataset-upload")
        await page.goto(site.address(f"{LIST}/new"))
        await look_at(visit, "dataset-new-waiting")
        await page.goto(site.address(f"{LIST}/v1/rows?search=script"))
        await page.locator("tbody a").first.click()
        await look_at(visit, "dataset-row")
        await page.locator("input[name=label]:not(:checked)").first.check()
        await page.fill("#reason", "<b>ironia</b>")
        await page.click("form.card button.primary")
        await expect(page.get_by_role("status")).to_be_visible()
        await look_at(visit, "dataset-row-changed")
        await page.goto(site.address(LIST))
        await look_at(visit, "datasets-waiting")


async def test_the_dark_pages_are_readable_too(
    site: Site, staff: OpenStaff, look_at: Look, tmp_path: Path
) -> None:
    async with staff("annotator", at=LIST, scheme="dark") as visit:
        await look_at(visit, "datasets")
        for path, name in (
            ("v1", "dataset"),
            ("v1/rows", "dataset-rows"),
            ("v2/diff", "dataset-diff"),
        ):
            await visit.page.goto(site.address(f"{LIST}/{path}"))
            await look_at(visit, name)
        await visit.page.goto(site.address(NEW))
        await upload(visit.page, a_file(tmp_path, labelled_csv()))
        await look_at(visit, "dataset-upload")


async def test_a_newcomer_s_empty_list_says_what_to_do(
    site: Site, staff: OpenStaff, look_at: Look
) -> None:
    from sentops_core.store.pool import open_connection

    connection = await open_connection(site.database_url)
    await connection.execute(
        "TRUNCATE dataset_members, training_jobs, model_versions, routing CASCADE"
    )
    await connection.execute("TRUNCATE dataset_versions, datasets CASCADE")
    await connection.close()
    async with staff("viewer", at=LIST) as visit:
        await expect(visit.page.get_by_text("There is no dataset yet")).to_be_visible()
        await look_at(visit, "datasets-empty")


@WITH_AND_WITHOUT
@BOTH
async def test_a_file_becomes_a_version_in_two_steps(
    site: Site,
    staff: OpenStaff,
    tmp_path: Path,
    javascript: bool,
    locale: str,
    viewport: dict[str, int],
) -> None:
    words = words_of(locale)
    content = in_stars(100).replace(b";5\n", b";9\n") + b"che dire;<b>boh</b>\n"
    async with staff(
        "annotator",
        at=LIST,
        javascript=javascript,
        expected=(422,),
        locale=locale,
        viewport=viewport,
    ) as visit:
        page = visit.page
        await page.get_by_role("link", name=words("datasets.upload")).click()
        await upload(page, a_file(tmp_path, content, "<svg onload=alert(1)>.csv"))
        await expect(page.locator("h1")).to_have_text("<svg onload=alert(1)>.csv")
        await expect(page.get_by_role("alert")).to_have_text(words("problem.label_column_unknown"))
        await page.select_option("#text_column", label="a")
        await page.select_option("#label_column", label="b")
        await page.get_by_role("button", name=words("datasets.map.look")).click()
        await expect(page.get_by_role("alert")).to_contain_text("1, 3, 9")
        await page.get_by_label(words("datasets.map.meaning_of", label="9")).select_option(
            "positive"
        )
        await page.get_by_label(words("datasets.map.meaning_of", label="3")).select_option(
            "neutral"
        )
        await page.get_by_label(words("datasets.map.meaning_of", label="1")).select_option(
            "negative"
        )
        await page.get_by_label(words("datasets.map.meaning_of", label="<b>boh</b>")).select_option(
            label=words("datasets.map.leave_out")
        )
        await page.get_by_role("button", name=words("datasets.map.look")).click()
        await expect(
            page.get_by_text(words("datasets.map.would.kept", kept=100, rows=101))
        ).to_be_visible()
        await page.reload()  # nothing is lost by it
        await expect(page.get_by_label(words("datasets.map.meaning_of", label="9"))).to_have_value(
            "positive"
        )
        await page.select_option("#parent", label=words("datasets.map.parent.none"))
        await page.fill("#name", "stelle")
        await page.get_by_text(words("datasets.map.more")).click()
        await page.fill("#origin", "dal negozio <b>")
        await page.get_by_role("button", name=words("datasets.map.confirm")).click()
        await page.wait_for_url("**/datasets/v*?done=dataset_made")
        await expect(page.get_by_role("status")).to_have_text(words("done.dataset_made"))
        await expect(page.locator("h1")).to_contain_text(
            words("datasets.title", version="", dataset="stelle")
        )
        await expect(page.get_by_text("dal negozio <b>")).to_be_visible()
        await expect(
            page.get_by_text(f"{words('datasets.refusal.label_left_out')}: 1")
        ).to_be_visible()


async def test_numbers_are_read_as_stars_on_request(
    site: Site, staff: OpenStaff, tmp_path: Path
) -> None:
    content = in_stars(100).replace(b";5\n", b";2\n").replace(b"a;b", b"testo;classe")
    async with staff("annotator", at=NEW, locale="it-IT") as visit:
        page = visit.page
        await upload(page, a_file(tmp_path, content))
        await expect(page.get_by_role("alert")).to_contain_text("non sono chiaramente stelle")
        await page.get_by_role("button", name="Leggi i numeri come stelle").click()
        await expect(page.get_by_text("Si possono usare 100 righe su 100.")).to_be_visible()
        await expect(page.get_by_label("Che cosa significa «2»")).to_have_value("negative")


@WITH_AND_WITHOUT
@BOTH
async def test_an_upload_can_be_discarded(
    site: Site,
    staff: OpenStaff,
    tmp_path: Path,
    javascript: bool,
    locale: str,
    viewport: dict[str, int],
) -> None:
    words = words_of(locale)
    async with staff(
        "annotator", at=NEW, javascript=javascript, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await upload(page, a_file(tmp_path, labelled_csv()))
        await page.goto(site.address(NEW))
        await expect(page.get_by_role("link", name="recensioni.csv")).to_be_visible()
        await page.get_by_role("button", name=words("datasets.upload.discard")).click()
        await expect(page.get_by_role("status").first).to_have_text(words("done.upload_discarded"))
        await expect(page.get_by_text(words("datasets.upload.none"))).to_be_visible()


async def test_a_confirmation_that_fails_keeps_what_was_chosen(
    site: Site, staff: OpenStaff, tmp_path: Path, look_at: Look
) -> None:
    async with staff("annotator", at=NEW, expected=(422,)) as visit:
        page = visit.page
        await upload(page, a_file(tmp_path, labelled_csv(5)))
        await page.select_option("#parent", label="nothing: these rows alone")
        await page.fill("#name", "piccolo")
        await page.get_by_role("button", name="Make the version").click()
        await expect(page.get_by_role("alert")).to_contain_text("at least 20 are needed")
        await expect(page.locator("#name")).to_have_value("piccolo")
        await look_at(visit, "dataset-upload-failed")


async def test_sending_shows_how_far_it_is(site: Site, staff: OpenStaff, tmp_path: Path) -> None:
    async with staff("annotator", at=NEW) as visit:
        page = visit.page
        async with slowly(page, 300_000):
            await send(page, a_long_file(tmp_path))
            bar = page.get_by_role("progressbar")
            await expect(bar).to_be_visible()
            await expect(page.locator("[data-said]")).to_have_text(re.compile("[2-8]0 % sent"))
            assert 15 < float(await bar.evaluate("bar => bar.value")) < 95
            await page.wait_for_url("**/datasets/uploads/*")


@BOTH
async def test_sending_can_be_stopped(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff("annotator", at=NEW, locale=locale, viewport=viewport) as visit:
        page = visit.page
        async with slowly(page, 100_000):
            await send(page, a_long_file(tmp_path))
            await page.get_by_role("button", name=words("datasets.upload.stop")).click()
            await expect(page.locator("[data-said]")).to_have_text(words("datasets.upload.stopped"))
            await expect(page.get_by_role("progressbar")).to_be_hidden()
        await page.reload()
        await expect(page.get_by_text(words("datasets.upload.none"))).to_be_visible()


@BOTH
async def test_a_page_loaded_again_in_the_middle_says_that_nothing_was_kept(
    site: Site,
    staff: OpenStaff,
    tmp_path: Path,
    look_at: Look,
    locale: str,
    viewport: dict[str, int],
) -> None:
    words = words_of(locale)
    file = a_long_file(tmp_path)
    async with staff("annotator", at=NEW, locale=locale, viewport=viewport) as visit:
        page = visit.page
        asked = []

        async def leave(dialog) -> None:
            asked.append(dialog.type)
            await dialog.accept()

        page.on("dialog", leave)
        async with slowly(page, 100_000):
            await send(page, file)
            await expect(page.locator("[data-said]")).to_have_text(re.compile("[1-9]0 %"))
            await page.reload(wait_until="commit")
        assert asked == ["beforeunload"]
        await expect(page.locator("[data-said]")).to_have_text(
            words("datasets.upload.interrupted").format(name="recensioni.csv")
        )
        await look_at(visit, "dataset-new-interrupted")
        await expect(page.get_by_text(words("datasets.upload.none"))).to_be_visible()
        await upload(page, file)


@BOTH
async def test_a_lost_connection_is_told(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    file = a_long_file(tmp_path)
    async with staff("annotator", at=NEW, locale=locale, viewport=viewport) as visit:
        page = visit.page
        await page.route("**/datasets/uploads", lambda route: route.abort("connectionreset"))
        await send(page, file)
        await expect(page.locator("[data-said]")).to_contain_text(words("datasets.upload.lost"))
        visit.faults.clear()  # the browser reports the lost connection, too
        await page.unroute("**/datasets/uploads")
        await upload(page, file)


@WITH_AND_WITHOUT
@BOTH
async def test_a_file_of_200_megabytes_gets_a_sentence(
    site: Site,
    staff: OpenStaff,
    tmp_path: Path,
    javascript: bool,
    look_at: Look,
    locale: str,
    viewport: dict[str, int],
) -> None:
    words = words_of(locale)
    file = tmp_path / "enorme.csv"
    with file.open("wb") as content:
        content.truncate(200 << 20)
    async with staff(
        "annotator",
        at=NEW,
        javascript=javascript,
        expected=(413,),
        locale=locale,
        viewport=viewport,
    ) as visit:
        page = visit.page
        await send(page, file)
        if javascript:
            await expect(page.locator("[data-said]")).to_have_text(
                words("datasets.upload.too_large", mebibytes=64)
            )
        else:
            await expect(page.get_by_role("alert")).to_have_text(words("error.413"))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.csv", b"\x89PNG\r\n\x1a\n" + bytes(900), "This is a picture"),
        ("x.xlsx", b"PK\x03\x04" + bytes(50), "no readable workbook"),
        ("x.exe", b"text,label\n", "of no known kind"),
        ("x.csv", b"", "The file is empty"),
        ("x.csv", b"MZ\x90\x00" + bytes(900), "binary"),
        ("x.xlsx", a_bomb(), "unpacks to more than"),
    ],
)
async def test_what_is_no_table_is_refused_with_a_sentence(
    site: Site, staff: OpenStaff, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    for javascript in (True, False):
        async with staff(
            "annotator", at=NEW, javascript=javascript, expected=(413, 415, 422)
        ) as visit:
            await send(visit.page, a_file(tmp_path, content, name))
            place = "[data-said]" if javascript else "[role=alert]"
            await expect(visit.page.locator(place)).to_contain_text(sentence)


@WITH_AND_WITHOUT
@BOTH
async def test_a_label_is_changed_and_reaches_the_next_version(
    site: Site, staff: OpenStaff, javascript: bool, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff(
        "annotator", at=f"{LIST}/v2/rows", javascript=javascript, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.fill("#search", "ottimo ACQUISTO")
        await page.get_by_role("button", name=words("datasets.find")).click()
        await expect(page.locator("tbody tr").first).to_contain_text("Ottimo acquisto")
        await page.locator("tbody a").first.click()
        await page.get_by_label(words.label("negative")).check()
        await page.fill("#reason", "È ironia <b>")
        await page.get_by_role("button", name=words("datasets.edit")).click()
        await expect(page.get_by_role("status")).to_have_text(words("done.label_edited"))
        history = page.locator("tbody tr").first
        for said in ("bruno", words.label("positive"), words.label("negative"), "È ironia <b>"):
            await expect(history).to_contain_text(said)
        newest = site.demo.dataset
        await page.goto(site.address(LIST))
        await expect(
            page.get_by_text(words("datasets.edits", version=newest, count=1))
        ).to_be_visible()
        await page.get_by_role("link", name=words("datasets.edits.show")).click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody tr")).to_contain_text(
            words("datasets.label_now", label=words.label("negative"))
        )
        await page.goto(site.address(LIST))
        await page.get_by_role("button", name=words("datasets.edits.build")).click()
        await page.wait_for_url("**/datasets/v*?done=dataset_made")
        await expect(page.get_by_text(words("datasets.how.edited", count=1))).to_be_visible()
        await page.get_by_role("link", name=words("datasets.diff")).first.click()
        await page.get_by_role("link", name=words("datasets.diff.relabelled")).click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody tr")).to_contain_text(words.label("positive"))
        await expect(page.locator("tbody tr")).to_contain_text(words.label("negative"))


@BOTH
async def test_two_people_change_one_label(
    site: Site, staff: OpenStaff, look_at: Look, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    at = f"{LIST}/v2/rows?search=Ottimo+acquisto"
    async with (
        staff("annotator", at=at, expected=(409,), locale=locale, viewport=viewport) as one,
        staff("admin", at=at, locale=locale, viewport=viewport) as other,
    ):
        for visit in (one, other):
            await visit.page.locator("tbody a").first.click()
            await visit.page.wait_for_url("**/rows/*")
            await visit.page.get_by_label(words.label("neutral")).check()
            await visit.page.fill("#reason", "così così")
        await other.page.get_by_role("button", name=words("datasets.edit")).click()
        await expect(other.page.get_by_role("status")).to_be_visible()
        await one.page.get_by_role("button", name=words("datasets.edit")).click()
        await expect(one.page.get_by_role("alert")).to_contain_text(
            words("problem.edit_raced", label=words.label("neutral"))
        )
        await expect(one.page.locator("#reason")).to_have_value("così così")
        await look_at(one, "dataset-row-raced")


@BOTH
async def test_rows_are_filtered_and_paged(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    newest = site.demo.dataset
    english = "English" if locale == "en-GB" else "inglese"
    async with staff(
        "viewer", at=f"{LIST}/{newest}/rows", javascript=False, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await expect(page.locator("tbody tr")).to_have_count(100)
        first = await page.locator("tbody td").first.inner_text()
        await page.get_by_role("link", name=words("list.more")).click()
        assert await page.locator("tbody td").first.inner_text() != first
        await page.get_by_role("link", name=words("datasets.first_page")).click()
        assert await page.locator("tbody td").first.inner_text() == first
        await page.get_by_label(words("datasets.label"), exact=True).select_option("positive")
        await page.get_by_label(words("datasets.side")).select_option("holdout")
        await page.get_by_label(words("datasets.language")).select_option(label=english)
        await page.get_by_role("button", name=words("datasets.find")).click()
        await expect(page.locator("tbody tr").first).to_contain_text(words("datasets.side.holdout"))
        rows = await page.locator("tbody tr").all_inner_texts()
        assert rows
        assert all(
            words.label("positive") in row and english.casefold() in row.casefold() for row in rows
        )
        await page.get_by_role("link", name=words("datasets.find_all")).click()
        await expect(page.locator("tbody tr")).to_have_count(100)


@BOTH
async def test_two_versions_are_compared(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff(
        "viewer", at=f"{LIST}/v2/diff", javascript=False, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await expect(page.locator("select#from")).to_have_value("v1")
        await expect(page.locator(".kinds a[aria-current]")).to_contain_text(
            words("datasets.diff.added")
        )
        assert await page.locator("tbody tr").count() > 10
        await page.get_by_role("link", name=words("datasets.diff.removed")).click()
        await expect(page.get_by_text(words("datasets.diff.no_rows"))).to_be_visible()
        await page.select_option("select#from", site.demo.dataset)
        await page.get_by_role("button", name=words("datasets.diff")).click()
        assert await page.locator("tbody tr").count() > 0


@BOTH
async def test_a_version_is_taken_away_as_a_file(
    site: Site, staff: OpenStaff, tmp_path: Path, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff("viewer", at=f"{LIST}/v1", locale=locale, viewport=viewport) as visit:
        page = visit.page
        for name in ("CSV", "JSONL", "PARQUET"):
            async with page.expect_download() as download:
                await page.get_by_role("link", name=name, exact=True).click()
            file = await download.value
            assert file.suggested_filename == f"reviews-v1.{name.lower()}"
            await file.save_as(tmp_path / name)
        rows = [json.loads(line) for line in (tmp_path / "JSONL").read_text().splitlines()]
        formulas = [row["text"] for row in rows if row["text"].startswith(("=", "+", "@"))]
        assert len(formulas) == 3
        table = (tmp_path / "CSV").read_text("utf-8-sig")
        assert table.count(",'") + table.count(",\"'") >= 3
        assert (tmp_path / "PARQUET").read_bytes().startswith(b"PAR1")
        async with page.expect_download() as download:
            await page.get_by_role("link", name=words("datasets.refused.download")).click()
        await (await download.value).save_as(tmp_path / "refused")
        assert "the label is missing" in (tmp_path / "refused").read_text("utf-8-sig")


@BOTH
async def test_a_version_is_built_from_feedback(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    from sentops_core.store.pool import open_connection

    connection = await open_connection(site.database_url)
    await connection.execute(
        "UPDATE feedback SET label = 'neutral' WHERE (prediction_id, client) IN "
        "(SELECT prediction_id, client FROM feedback ORDER BY voted_at LIMIT 200)"
    )
    await connection.close()
    async with staff(
        "annotator", at=LIST, javascript=False, locale=locale, viewport=viewport
    ) as visit:
        await visit.page.get_by_role("button", name=words("datasets.from_feedback")).click()
        await visit.page.wait_for_url("**/datasets/v*?done=dataset_*")
        await expect(visit.page.get_by_role("status")).to_be_visible()


@BOTH
async def test_an_admin_trains_on_a_version_from_its_page(
    site: Site, staff: OpenStaff, locale: str, viewport: dict[str, int]
) -> None:
    words = words_of(locale)
    async with staff("admin", at=f"{LIST}/v1", locale=locale, viewport=viewport) as visit:
        await visit.page.get_by_role("link", name=words("datasets.train_on")).click()
        await visit.page.wait_for_url("**/train?dataset=v1")
        await expect(visit.page.locator("main")).to_contain_text("v1")
