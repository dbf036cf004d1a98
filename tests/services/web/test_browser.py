"""The page in a real browser, as people use it."""

import csv
import io
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.services.web.fakes import FakeModel, FakeTrainer, a_variant
from tests.support.browser import OpenVisit
from tests.support.eventually import eventually

pytestmark = [pytest.mark.browser, pytest.mark.pg]

ITALIAN = {"locale": "it-IT"}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


async def ask(page: Page, text: str) -> None:
    await page.locator("#text").fill(text)
    await page.locator("#ask button").click()


@pytest.mark.parametrize(
    ("options", "text", "label", "sure"),
    [
        ({}, "I love it", "Positive", "very sure"),
        (ITALIAN, "pessimo, si è rotto subito", "Negativo", "molto sicuro"),
    ],
)
async def test_asking_shows_the_answer_in_the_visitors_language(
    site: str, visit: OpenVisit, options: dict[str, object], text: str, label: str, sure: str
) -> None:
    async with visit(site, **options) as visitor:
        page = visitor.page
        await ask(page, text)
        await expect(page.locator(".verdict")).to_contain_text(label)
        await expect(page.locator(".verdict")).to_contain_text(sure)
        await expect(page.locator("#announce")).to_contain_text(label)
        await expect(page.locator(".bars li")).to_have_count(3)
        await expect(page.get_by_role("link", name="reviews-1")).to_be_visible()
        await expect(page.locator("#history li")).to_have_count(1)
        await visitor.accessible()


async def test_a_correction_takes_one_tap_and_a_note_may_follow(
    site: str, visit: OpenVisit
) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await ask(page, "great, just great")
        await page.get_by_role("button", name="It is: Negative").click()
        await expect(page.locator(".thanks")).to_contain_text("Recorded as: Negative")
        await expect(page.locator(".choice[value=negative]")).to_have_attribute(
            "aria-pressed", "true"
        )
        await expect(page.locator("#history .voted")).to_have_text("you: Negative")
        await page.get_by_label("Why? (optional)").fill("irony")
        await page.get_by_role("button", name="Add the note").click()
        await expect(page.get_by_text("Your note is kept with it.")).to_be_visible()
        await page.get_by_role("button", name="It is: Positive").click()
        await expect(page.locator("#history .voted")).to_have_text("confirmed")
        await visitor.accessible()


async def test_the_history_survives_a_reload_and_opens_old_answers(
    site: str, visit: OpenVisit
) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        for text in ("great", "awful", "a chair"):
            await ask(page, text)
            await expect(page.locator("blockquote")).to_have_text(text)
        await page.reload()
        await expect(page.locator("#history .what")).to_have_text(["a chair", "awful", "great"])
        await page.get_by_role("link", name="awful").click()
        await expect(page.locator(".verdict")).to_contain_text("Negative")
    async with visit(site) as stranger:
        await expect(stranger.page.locator("#history li")).to_have_count(0)


async def test_the_words_that_mattered_are_marked(site: str, visit: OpenVisit) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await ask(page, "the box is great although heavy")
        await page.get_by_role("button", name="Which words mattered?").click()
        await expect(page.locator("mark.weight-4")).to_have_text("great")
        await visitor.accessible()


async def test_everything_is_within_reach_of_the_keyboard(site: str, visit: OpenVisit) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.locator("#text")).to_be_focused()
        await page.keyboard.type("I hate it")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator(".verdict")).to_be_focused()
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        await expect(focused).to_have_attribute("value", "negative")
        outline = await focused.evaluate("element => getComputedStyle(element).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".thanks p")).to_be_focused()
        await expect(page.locator(".thanks")).to_contain_text("Neutral")


async def test_lines_become_a_table_to_download(site: str, visit: OpenVisit) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await page.get_by_label("One text per line").fill("great\n=awful thing, awful\na chair")
        await page.get_by_role("button", name="Read them all").click()
        await expect(page.locator("#many-result")).to_contain_text("3 rows read.")
        await expect(page.locator("tbody tr td:nth-child(2)")).to_have_text(
            ["Positive", "Negative", "Neutral"]
        )
        rows = await downloaded(page)
        assert [row["text"] for row in rows] == ["great", "'=awful thing, awful", "a chair"]
        await visitor.accessible()


async def test_a_file_of_five_thousand_rows_shows_its_progress(
    site: str, visit: OpenVisit, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text("id,review\n" + "".join(f'{n},"great, {n}"\n' for n in range(5000)))
    async with visit(site) as visitor:
        page = visitor.page
        await page.evaluate(WATCH_PROGRESS)
        await page.locator("#file").set_input_files(file)
        await page.get_by_role("button", name="Read them all").click()
        result = page.locator("#many-result")
        await expect(result).to_contain_text("5,000 rows read.", timeout=90_000)
        seen = await page.evaluate("window.seen")
        assert len(seen) > 5
        assert seen == sorted(seen)
        assert seen[-1] == 5000
        rows = await downloaded(page)
    assert len(rows) == 5000
    assert {row["predicted"] for row in rows} == {"positive"}


WATCH_PROGRESS = """
window.seen = [];
new MutationObserver(() => {
  const bar = document.querySelector("#many-result progress");
  if (bar && bar.hasAttribute("value") && bar.value !== window.seen.at(-1)) window.seen.push(bar.value);
}).observe(document.querySelector("#many-result"), { subtree: true, childList: true, attributes: true });
"""


async def downloaded(page: Page) -> list[dict[str, str]]:
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Download the table (CSV)").click()
    file = Path(await (await waiting.value).path())
    content = file.read_text("utf-8-sig")  # noqa: ASYNC240 - small, and nothing else runs
    return list(csv.DictReader(io.StringIO(content, newline="")))


async def test_a_file_whose_columns_are_unclear_asks_for_the_column(
    site: str, visit: OpenVisit, tmp_path: Path
) -> None:
    file = tmp_path / "odd.csv"
    file.write_text("first,second\n1,great\n2,awful\n")
    async with visit(site, expected=(422,)) as visitor:
        page = visitor.page
        await page.locator("#file").set_input_files(file)
        await page.get_by_role("button", name="Read them all").click()
        await page.get_by_label("Which column holds the texts?").select_option("second")
        await page.get_by_role("button", name="Read them all").click()
        await expect(page.locator("tbody tr td:nth-child(2)")).to_have_text(
            ["Positive", "Negative"]
        )


async def test_a_long_run_can_be_stopped(site: str, visit: OpenVisit, model: FakeModel) -> None:
    model.delay = 0.3
    async with visit(site) as visitor:
        page = visitor.page
        await page.get_by_label("One text per line").fill("great\n" * 300)
        await page.get_by_role("button", name="Read them all").click()
        await expect(page.locator("#many-result")).to_contain_text("of 300")
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator("#many-result")).to_contain_text("Stopped after")


async def test_the_first_model_is_awaited_with_progress_and_starts_by_itself(
    site: str, visit: OpenVisit, trainer: FakeTrainer, model_url: str
) -> None:
    trainer.route()
    trainer.train("Running", 43, 20)
    await eventually(lambda: not_ready(site))
    async with visit(site, expected=(503,)) as visitor:
        page = visitor.page
        await expect(page.locator("#training")).to_contain_text("The first model is being trained")
        await expect(page.locator("#training")).to_contain_text("43%, about 20 s left")
        await visitor.accessible()
        await ask(page, "great")
        await expect(page.locator(".problem")).to_contain_text(
            "as soon as the first one is trained"
        )
        trainer.route(a_variant(model_url))
        trainer.train("Running", 3, 600)
        await expect(page.locator("#training")).to_contain_text("Answering now: reviews-1")
        await page.locator("#ask button").click()
        await expect(page.locator(".verdict")).to_contain_text("Positive")


async def not_ready(site: str) -> bool:
    async with httpx.AsyncClient() as http:
        return not (await http.get(f"{site}/api/status")).json()["ready"]


async def test_the_page_fits_a_small_phone(site: str, visit: OpenVisit) -> None:
    async with visit(site, **PHONE) as visitor:
        page = visitor.page
        await ask(page, "great " + "x" * 200)
        await page.get_by_role("button", name="It is: Neutral").tap()
        await expect(page.locator(".thanks")).to_be_visible()
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360
        await visitor.accessible()


async def test_dark_mode_is_as_legible(site: str, visit: OpenVisit) -> None:
    async with visit(site, color_scheme="dark") as visitor:
        page = visitor.page
        await ask(page, "awful")
        await expect(page.locator(".verdict")).to_contain_text("Negative")
        await visitor.accessible()
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(15, 19, 25)"


async def test_without_script_asking_and_correcting_still_work(site: str, visit: OpenVisit) -> None:
    async with visit(site, java_script_enabled=False) as visitor:
        page = visitor.page
        await ask(page, "great")
        await expect(page.locator(".verdict")).to_contain_text("Positive")
        await page.get_by_role("button", name="It is: Neutral").click()
        await expect(page.locator(".thanks")).to_contain_text("Neutral")
        await expect(page.locator("#history .voted")).to_have_text("you: Neutral")


async def test_what_people_write_never_runs(site: str, visit: OpenVisit) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await ask(page, "<img src=x onerror='window.broken = 1'> great <script>broken = 2</script>")
        await expect(page.locator("blockquote")).to_contain_text("<img src=x")
        await page.get_by_label("One text per line").fill("<img src=x onerror='window.broken=3'>")
        await page.get_by_role("button", name="Read them all").click()
        await expect(page.locator("tbody td").first).to_contain_text("<img")
        assert await page.evaluate("window.broken") is None


async def test_the_service_being_away_is_said_kindly(
    site: str, visit: OpenVisit, model: FakeModel
) -> None:
    model.failing = 500
    async with visit(site, expected=(503,)) as visitor:
        await ask(visitor.page, "great")
        await expect(visitor.page.locator(".problem")).to_contain_text(
            "The model does not answer just now"
        )
        await expect(visitor.page.locator("#text")).to_have_value("great")


async def test_the_documentation_works_without_another_origin(site: str, visit: OpenVisit) -> None:
    async with visit(f"{site}/docs") as visitor:
        await expect(visitor.page.get_by_text("/api/predict/batch").first).to_be_visible()


async def test_the_language_can_be_switched_and_stays(site: str, visit: OpenVisit) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await page.get_by_role("link", name="IT").click()
        await expect(page.locator("h1")).to_have_text("Che tono ha?")
        await page.goto(site)
        await expect(page.locator("h1")).to_have_text("Che tono ha?")
