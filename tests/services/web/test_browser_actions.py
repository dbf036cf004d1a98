"""Every action of the page, in both languages, on a phone and on a desktop; each state is looked at."""

import csv
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from sentops_core.http.i18n import Words
from sentops_core.store.pool import Pool, transaction
from sentops_web.i18n import TABLES
from tests.services.web.fakes import FakeModel, FakeTrainer, a_variant
from tests.services.web.known_versions import add_version
from tests.support.browser import OpenVisit
from tests.support.eventually import eventually
from tests.support.loading import first_load
from tests.support.looks import DESKTOP, PHONE, look_at
from tests.support.public_examples import a_version

pytestmark = [pytest.mark.browser, pytest.mark.pg]

NASTY = "<img src=x onerror='window.broken=1'> great <script>window.broken=2</script>"
ServeWeb = Callable[..., AbstractContextManager[str]]


@dataclass(frozen=True)
class Look:
    """A language and a device."""

    language: str
    phone: bool

    @property
    def options(self) -> dict[str, object]:
        chosen: dict[str, object] = {"locale": {"it": "it-IT", "en": "en-GB"}[self.language]}
        if self.phone:
            return chosen | {"viewport": PHONE, "has_touch": True, "is_mobile": True}
        return chosen | {"viewport": DESKTOP}

    @property
    def words(self) -> Words:
        return Words(self.language, TABLES)


LOOKS = [Look(language, phone) for language in ("en", "it") for phone in (True, False)]


@pytest.fixture(
    params=LOOKS, ids=lambda look: f"{look.language}-{'phone' if look.phone else 'desktop'}"
)
def look(request: pytest.FixtureRequest) -> Look:
    found: Look = request.param
    return found


@pytest.fixture
async def known(pool: Pool) -> None:
    """What the database knows: examples that may be shown, one that may not, and the version that answers."""
    async with transaction(pool) as connection:
        await a_version(
            connection,
            1,
            "great battery, I love it",
            "great battery, <b>lovely</b>",
            "ottima batteria, la adoro",
        )
        await a_version(connection, 2, "great battery, says our customer", parent="v1")
    await add_version(pool)


async def ask(page: Page, text: str) -> None:
    await page.locator("#text").fill(text)
    await page.locator("#ask button").click()
    await expect(page.locator(".verdict")).to_be_visible()


async def tap(page: Page, words: str, *, role: str = "button") -> None:
    await page.get_by_role(role, name=words, exact=True).click()  # type: ignore[arg-type]


async def test_asking_looking_closer_correcting_and_taking_it_back(
    site: str, visit: OpenVisit, look: Look, known: None
) -> None:
    words = look.words
    async with visit(site, **look.options) as visitor:
        page = visitor.page
        await look_at(visitor, "web-page")
        await ask(page, "great battery, it lasts")
        await expect(page.locator(".verdict")).to_contain_text(words.label("positive"))
        await expect(page.locator(".similar li")).to_have_count(2)
        await expect(page.locator(".similar")).to_contain_text("great battery, I love it")
        await expect(page.locator(".similar")).not_to_contain_text("customer")
        await tap(page, words("why.button"))
        await expect(page.locator("mark").first).to_be_visible()
        await look_at(visitor, "web-answer")
        await tap(page, words("vote.choose", label=words.label("negative")))
        await expect(page.locator(".thanks")).to_contain_text(words("vote.change"))
        await page.get_by_label(words("vote.note")).fill(NASTY)
        await tap(page, words("vote.note_button"))
        await expect(page.get_by_text(words("vote.note_kept"))).to_be_visible()
        await expect(page.get_by_label(words("vote.note"))).to_have_value(NASTY)
        await look_at(visitor, "web-corrected")
        await tap(page, words("vote.undo"))
        await expect(page.locator(".thanks")).to_have_text(words("vote.withdrawn"))
        await expect(page.locator(".thanks")).to_be_focused()
        await expect(page.locator("#announce")).to_have_text(words("vote.withdrawn"))
        await expect(page.locator("#history .voted")).to_have_count(0)
        await expect(page.locator("[aria-pressed=true]")).to_have_count(0)
        await expect(page.locator(".similar li")).to_have_count(2)
        await look_at(visitor, "web-taken-back")
        assert await page.evaluate("window.broken") is None


async def test_an_answer_can_be_sent_to_others_who_see_little_of_it(
    site: str, visit: OpenVisit, look: Look, known: None
) -> None:
    words = look.words
    async with visit(site, **look.options) as visitor:
        page = visitor.page
        await ask(page, NASTY)
        await tap(page, words("vote.choose", label=words.label("neutral")))
        # The list is made anew when a vote has come in, and a tap in that very moment is lost.
        await expect(page.locator("#history .voted")).to_have_count(1)
        await page.locator("#history .what").click()
        await expect(page.locator("h1")).to_have_text(words("permalink.heading"))
        await expect(page.locator("blockquote")).to_contain_text("<img src=x")
        await expect(page.locator(".thanks")).to_contain_text(words.label("neutral"))
        await look_at(visitor, "web-link-own")
        await tap(page, words("vote.undo"))
        await expect(page.locator(".thanks")).to_have_text(words("vote.withdrawn"))
        assert await page.evaluate("window.broken") is None
        address = page.url
        await tap(page, "reviews-1", role="link")
        await expect(page.locator("h1")).to_have_text(words("card.title", name="reviews-1"))
        await expect(page.locator("tbody tr")).to_have_count(2)
        await look_at(visitor, "web-version")
        await tap(page, words("permalink.ask"), role="link")
        await expect(page.locator("#text")).to_be_visible()
    async with visit(address, **look.options) as stranger:
        page = stranger.page
        await expect(page.locator(".verdict")).to_contain_text(words.label("positive"))
        await expect(page.get_by_text(words("permalink.stranger"))).to_be_visible()
        await expect(page.locator("blockquote, .choice, .similar, .thanks")).to_have_count(0)
        await look_at(stranger, "web-link-strangers")
        other = "IT" if look.language == "en" else "EN"
        await tap(page, other, role="link")
        assert page.url.split("?")[0] == address
        await expect(page.locator("html")).to_have_attribute("lang", other.lower())


@pytest.mark.parametrize(
    ("path", "about"), [("p/forged", "answer"), ("versions/forged", "version")]
)
async def test_a_link_to_nothing_says_so(
    site: str, visit: OpenVisit, look: Look, path: str, about: str
) -> None:
    async with visit(f"{site}/{path}", expected=(404,), **look.options) as visitor:
        page = visitor.page
        await expect(page.locator(".lead")).to_have_text(look.words(f"problem.not_found.{about}"))
        await look_at(visitor, f"web-no-{about}")
        await tap(page, look.words("permalink.ask"), role="link")
        await expect(page.locator("#text")).to_be_visible()


DROP = """(name) => {
  const data = new DataTransfer();
  data.items.add(new File(["text\\ngreat\\nawful\\n"], name, { type: "text/csv" }));
  const fire = (kind) => document.querySelector("h1").dispatchEvent(
    new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  fire("dragover");
  const over = document.querySelector("#drop").classList.contains("over");
  fire("drop");
  return over;
}"""
PASTE = """(name) => {
  const data = new DataTransfer();
  data.items.add(new File(["great"], name, { type: "text/plain" }));
  document.querySelector("#lines").dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


async def test_many_texts_come_by_dropping_pasting_typing_or_choosing(
    site: str, visit: OpenVisit, look: Look, tmp_path: Path
) -> None:
    words = look.words
    async with visit(site, **look.options) as visitor:
        page = visitor.page
        assert await page.evaluate(DROP, "<b>my</b>.csv"), "the place to drop is marked"
        await expect(page.locator("#chosen")).to_contain_text(
            words("js.many.chosen", name="<b>my</b>.csv")
        )
        await expect(page.locator("#announce")).to_contain_text("<b>my</b>.csv")
        await expect(page.get_by_role("button", name=words("many.button"))).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#many-result tbody tr")).to_have_count(2)
        await expect(page.locator("#history .what")).to_have_count(2)
        await look_at(visitor, "web-many")
        await tap(page, words("many.forget"))
        await expect(page.locator("#chosen")).to_be_hidden()
        await expect(page.locator("#file")).to_be_focused()
        await page.evaluate(PASTE, "pasted.txt")
        await expect(page.locator("#chosen")).to_contain_text("pasted.txt")
        await tap(page, words("many.forget"))
        await tap(page, words("many.button"))
        await expect(page.locator("#many-result .problem")).to_contain_text(
            words("js.many.nothing")
        )
        await page.get_by_label(words("many.lines")).fill("great\n\n  \nawful\na chair")
        await tap(page, words("many.button"))
        await expect(page.locator("#many-result tbody tr")).to_have_count(3)
        async with page.expect_download() as waiting:
            await tap(page, words("js.many.download"), role="link")
        assert len(await rows_in(await (await waiting.value).path())) == 3
        file = tmp_path / "odd.csv"
        file.write_text("first,second\n1,great\n")
        visitor.expected = (422,)
        await page.locator("#file").set_input_files(file)
        await tap(page, words("many.button"))
        await page.get_by_label(words("many.column")).select_option("second")
        await look_at(visitor, "web-many-columns")
        await tap(page, words("many.button"))
        await expect(page.locator("#many-result tbody tr")).to_have_count(1)


async def test_a_long_run_can_be_stopped_and_a_lost_connection_is_said(
    site: str, visit: OpenVisit, look: Look, model: FakeModel
) -> None:
    words = look.words
    async with visit(site, **look.options) as visitor:
        page = visitor.page
        model.delay = 0.3
        await page.get_by_label(words("many.lines")).fill("great\n" * 300)
        await tap(page, words("many.button"))
        await expect(page.locator("#many-result progress")).to_have_attribute("max", "300")
        await tap(page, words("js.many.cancel"))
        told = words("js.many.stopped", done="|").partition("|")[0]
        await expect(page.locator("#many-result")).to_contain_text(told)
        model.delay = 0
        await page.context.set_offline(True)
        await page.locator("#text").fill("keep my words")
        await page.locator("#ask button").click()
        await expect(page.locator("#answer .problem")).to_contain_text(words("js.offline"))
        await expect(page.locator("#text")).to_have_value("keep my words")
        await look_at(visitor, "web-offline")
        await page.context.set_offline(False)
        visitor.faults[:] = [one for one in visitor.faults if "ERR_INTERNET_DIS" not in one]
        await page.locator("#ask button").click()
        await expect(page.locator("blockquote")).to_have_text("keep my words")


async def rows_in(path: str | Path) -> list[dict[str, str]]:
    content = Path(path).read_text("utf-8-sig")  # noqa: ASYNC240 - small, and nothing else runs
    return list(csv.DictReader(io.StringIO(content, newline="")))


async def test_too_much_is_refused_kindly_and_nothing_written_is_lost(
    serve_web: ServeWeb, visit: OpenVisit, look: Look
) -> None:
    words = look.words
    # Slow enough that a busy machine's second tap still comes too early.
    limits = {"burst_texts": 1, "texts_per_second": 0.1, "burst_votes": 1, "votes_per_second": 0.01}
    with serve_web(show_similar="", **limits) as site:
        async with visit(site, expected=(429,), **look.options) as visitor:
            page = visitor.page
            await ask(page, "great")
            await page.locator("#text").fill("keep my words")
            await page.locator("#ask button").click()
            problem = page.locator("#answer .problem")
            await expect(problem).to_contain_text(words("problem.heading.rate_limited"))
            await expect(page.locator("#text")).to_have_value("keep my words")
            await look_at(visitor, "web-wait")
            await expect(problem).to_contain_text(words("js.go_on"))
            await expect(page.locator("#announce")).to_have_text(words("js.go_on"))
            await page.locator("#ask button").click()
            await expect(page.locator("blockquote")).to_have_text("keep my words")
            await tap(page, words("vote.choose", label=words.label("negative")))
            await page.get_by_label(words("vote.note")).fill("keep my note")
            await tap(page, words("vote.note_button"))
            await expect(page.locator("#trouble .problem")).to_be_visible()
            await expect(page.get_by_label(words("vote.note"))).to_have_value("keep my note")
            await expect(page.locator("blockquote")).to_have_text("keep my words")
            await look_at(visitor, "web-wait-vote")


async def test_before_the_first_model_people_hear_what_happens_and_how_long(
    site: str, visit: OpenVisit, look: Look, trainer: FakeTrainer, model_url: str
) -> None:
    words = look.words
    trainer.route()
    await eventually(lambda: not_ready(site))
    async with visit(site, expected=(503,), **look.options) as visitor:
        page = visitor.page
        told = page.locator("#training")
        await expect(told).to_contain_text(words("training.nobody_lead"))
        await look_at(visitor, "web-nobody-trains")
        trainer.train("Queued")
        await expect(told).to_contain_text(words("training.queued_lead"), timeout=40_000)
        trainer.train("Running", 43, 20)
        await expect(told).to_contain_text(words("training.seconds_left", count=20))
        await look_at(visitor, "web-first-training")
        await page.locator("#text").fill("great")
        await page.locator("#ask button").click()
        await expect(page.locator("#answer .problem")).to_contain_text(words("problem.no_model"))
        trainer.route(a_variant(model_url))
        trainer.train("Evaluating", 100, 0)
        await expect(page.locator("#announce")).to_have_text(words("js.model_ready"))
        await page.locator("#ask button").click()
        await expect(page.locator(".verdict")).to_contain_text(words.label("positive"))


async def not_ready(site: str) -> bool:
    async with httpx.AsyncClient() as http:
        return not (await http.get(f"{site}/api/status")).json()["ready"]


async def test_without_script_everything_but_comfort_is_there(
    site: str, visit: OpenVisit, look: Look, known: None
) -> None:
    words = look.words
    async with visit(site, java_script_enabled=False, **look.options) as visitor:
        page = visitor.page
        await ask(page, "great battery")
        await tap(page, words("vote.choose", label=words.label("neutral")))
        await expect(page.locator(".thanks")).to_contain_text(words.label("neutral"))
        await tap(page, words("vote.undo"))
        await expect(page.locator(".thanks")).to_have_text(words("vote.withdrawn"))
        await tap(page, words("why.button"))
        await expect(page.locator("mark").first).to_be_visible()
        await tap(page, words("similar.link"), role="link")
        await expect(page.locator(".similar li")).not_to_have_count(0)
        await expect(page.locator("h1")).to_have_text(words("permalink.heading"))
        await tap(page, words("permalink.ask"), role="link")
        await page.get_by_label(words("many.lines")).fill("great\nawful")
        async with page.expect_download() as waiting:
            await tap(page, words("many.button"))
        assert len(await rows_in(await (await waiting.value).path())) == 2


async def test_the_keyboard_reaches_undo_the_link_and_the_file(
    site: str, visit: OpenVisit, known: None
) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await page.locator("#text").focus()
        await page.keyboard.type("great battery")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator(".verdict")).to_be_focused()
        await expect(page.locator(".similar")).to_be_visible()
        await expect(page.locator(".verdict")).to_be_focused()  # what comes later takes no focus
        await tab_to(page, ".choice[value=negative]")
        await page.keyboard.press("Enter")
        await expect(page.locator(".thanks p")).to_be_focused()
        await tab_to(page, ".thanks button")
        await page.keyboard.press("Enter")
        await expect(page.locator(".thanks")).to_be_focused()
        for selector in ("#permalink", "[data-copy]", "#lines", "#file", "#many [type=submit]"):
            await tab_to(page, selector)


async def tab_to(page: Page, selector: str) -> None:
    for _ in range(25):
        await page.keyboard.press("Tab")
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.evaluate(outline) != "none", f"{selector} shows no focus"
            return
    raise AssertionError(f"no number of tabs leads to {selector}")


async def test_the_link_can_be_copied(site: str, visit: OpenVisit) -> None:
    async with visit(site, permissions=["clipboard-read", "clipboard-write"]) as visitor:
        page = visitor.page
        await ask(page, "great")
        await tap(page, "Copy the link")
        await expect(page.locator("#announce")).to_have_text("Link copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == await page.locator("#permalink").evaluate("link => link.href")
        assert copied.startswith(f"{site}/p/")


async def test_answers_come_though_examples_hang(site: str, visit: OpenVisit, known: None) -> None:
    async with visit(site) as visitor:
        page = visitor.page
        await page.route("**/parts/similar*", lambda route: None)  # never answered
        await ask(page, "great battery")
        await expect(page.locator("#similar a")).to_have_text("Similar labelled examples")
        await ask(page, "awful")
        await expect(page.locator(".verdict")).to_contain_text("Negative")


@pytest.mark.parametrize("language", ["en", "it"])
async def test_dark_pages_are_as_legible(
    site: str, visit: OpenVisit, known: None, language: str
) -> None:
    look = Look(language, phone=True)
    async with visit(site, color_scheme="dark", **look.options) as visitor:
        page = visitor.page
        await ask(page, "great battery, awful box")
        await expect(page.locator(".similar")).to_be_visible()
        await tap(page, look.words("vote.choose", label=look.words.label("negative")))
        await expect(page.locator(".thanks")).to_be_visible()
        await look_at(visitor, "web-corrected")
        await tap(page, "reviews-1", role="link")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await look_at(visitor, "web-version")


async def test_the_first_load_is_light_and_quick(site: str, visit: OpenVisit) -> None:
    times = []
    for _ in range(4):
        async with visit(site) as visitor:
            times.append(await first_load(visitor.page))
    assert min(times) < 1000, times
