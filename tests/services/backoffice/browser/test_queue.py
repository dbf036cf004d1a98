"""The labelling queue in a browser: by keyboard, by touch, without scripts, alone and together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, expect

from sentops_backoffice.labelling import fill, give_label, mark_gold, next_item, write_gold
from sentops_core.domain.labelling import State
from sentops_core.store.labelling import Labelling, LabellingSettings
from sentops_core.store.pool import Connection, open_connection
from tests.services.backoffice.browser.ways import BOTH, words_of
from tests.support.looks import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.pg]

QUEUE = "/backoffice/queue"
NOW = datetime.now(UTC)
LABELS = ("positive", "negative", "neutral")
SETTINGS = LabellingSettings(opinions=1, random_share=0.2, gold_share=0.0, claim_minutes=15)


@asynccontextmanager
async def database(site) -> AsyncIterator[Connection]:
    opened = await open_connection(site.database_url)
    async with opened.transaction():
        await fill(opened, now=NOW, every=timedelta())
        yield opened
    await opened.close()


async def filled(site, **settings: object) -> None:
    async with database(site) as connection:
        wanted = replace(SETTINGS, **settings)  # type: ignore[arg-type]
        await Labelling(connection).change_settings(wanted)


async def some_opinions(site) -> None:
    """Two people who agree on most, differ on some; gold that one knows and one does not."""
    async with database(site) as connection:
        await Labelling(connection).change_settings(replace(SETTINGS, opinions=2))
        for n, label in enumerate(("positive", "negative", "positive")):
            await write_gold(
                connection,
                f"Testo di controllo numero {n}",
                label,
                "anna",
                detect_language=lambda _: "it",
                now=NOW,
            )
        later = NOW + timedelta(minutes=1)
        for gold in await Labelling(connection).gold():
            for name, label in (("bruno", "positive"), ("chiara", gold.gold_label)):
                await give_label(connection, gold.id, name, label or "", now=later)
        items = await Labelling(connection).in_state(State.OPEN)
        for n, item in enumerate(items[:12]):
            for name in ("bruno", "chiara"):
                label = LABELS[n % 3]
                if n % 4 == 0 and name == "chiara":
                    label = "positive" if label == "neutral" else "neutral"
                note = "ironia, credo" if n == 0 and name == "chiara" else ""
                await give_label(connection, item.id, name, label, now=NOW, note=note)


async def press(page: Page, key: str) -> None:
    """Once the page's script listens."""
    await page.locator("html[data-keys=on]").wait_for()
    await page.keyboard.press(key)


async def text_on(page: Page) -> str:
    return await page.locator("blockquote").inner_text()


async def test_an_annotator_never_leaves_the_keyboard(site, staff, look_at) -> None:
    await filled(site)
    async with staff("annotator", at=QUEUE) as visit:
        page = visit.page
        await look_at(visit, "queue")
        await press(page, "n")
        await page.wait_for_url("**/queue/items/**")
        first = await text_on(page)
        await expect(page.locator("main")).not_to_contain_text("The model:")
        await look_at(visit, "queue-item")
        await press(page, "3")
        was = page.locator(".was")
        await expect(was).to_contain_text("You: Positive.")
        await expect(was).to_contain_text("The model:")
        await look_at(visit, "queue-item-after")
        second = await text_on(page)
        assert second != first
        await press(page, "s")
        await expect(was).to_contain_text("Skipped")
        assert await text_on(page) not in {first, second}
        await press(page, "u")
        await expect(page.get_by_role("status")).to_contain_text("taken back")
        assert await text_on(page) == second
        await press(page, "u")
        await expect(page.locator("blockquote")).to_have_text(first, use_inner_text=True)
        await press(page, "?")
        await expect(page.locator("#help")).to_have_attribute("open", "")
        await look_at(visit, "queue-item-help")


async def test_keys_do_nothing_in_a_note_and_can_be_switched_off(site, staff) -> None:
    await filled(site)
    async with staff("annotator", at=QUEUE) as visit:
        page = visit.page
        await page.get_by_role("button", name="Next text").click()
        address = page.url
        await page.get_by_text("Add a note").click()
        await page.get_by_label("Note (optional)").fill("")
        await page.keyboard.type("123 sun?")
        await expect(page.get_by_label("Note (optional)")).to_have_value("123 sun?")
        assert page.url == address
        await page.locator("#help summary").click()
        await page.get_by_label("Use these keys").uncheck()
        await page.keyboard.press("1")
        await page.reload()
        await page.locator("html[data-keys=off]").wait_for()
        await page.keyboard.press("1")
        await expect(page.locator("blockquote")).to_be_visible()
        assert page.url == address
        await page.locator("#help summary").click()
        await page.get_by_label("Use these keys").check()
        await press(page, "1")
        await expect(page.locator(".was")).to_contain_text("You: Negative.")


async def test_a_phone_labels_by_touch_in_italian(site, staff, look_at) -> None:
    await filled(site)
    async with staff(
        "annotator", at=QUEUE, locale="it-IT", viewport=PHONE, has_touch=True
    ) as visit:
        page = visit.page
        await look_at(visit, "queue")
        await page.get_by_role("button", name="Prossimo testo").tap()
        await page.wait_for_url("**/queue/items/**")
        await look_at(visit, "queue-item")
        await page.get_by_role("button", name="Neutro").tap()
        await expect(page.locator(".was")).to_contain_text("Tu: Neutro.")
        await look_at(visit, "queue-item-after")
        await page.get_by_role("button", name="Salta").tap()
        await expect(page.locator(".was")).to_contain_text("Saltato")
        await page.get_by_role("button", name="Annulla").tap()
        await expect(page.get_by_role("status")).to_contain_text("annullata")
        await page.goto(site.address(f"{QUEUE}/mine"))
        await expect(page.locator("tbody tr")).to_have_count(1)
        await look_at(visit, "queue-mine")


@BOTH
async def test_labelling_works_without_scripts(site, staff, locale, viewport) -> None:
    words = words_of(locale)
    await filled(site)
    async with staff(
        "annotator", at=QUEUE, javascript=False, locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("button", name=words("queue.next")).click()
        first = await text_on(page)
        await page.get_by_text(words("queue.item.note")).click()
        await page.get_by_label(words("queue.item.note.label")).fill("clear enough")
        await page.get_by_role("button", name=words.label("positive")).click()
        await expect(page.locator(".was")).to_contain_text(
            words("queue.was.own", label=words.label("positive"))
        )
        await page.get_by_role("button", name=words("queue.skip")).click()
        await expect(page.locator(".was")).to_contain_text(words("queue.noted.skipped"))
        for _ in range(2):
            await page.get_by_role("button", name=words("queue.undo")).click()
            await expect(page.get_by_role("status")).to_contain_text(words("done.queue_undone"))
        assert await text_on(page) == first


async def test_two_people_at_once_get_different_texts_and_a_late_answer_is_told(
    site, staff, look_at
) -> None:
    await filled(site, claim_minutes=1)
    async with (
        staff("annotator", name="bruno", at=QUEUE) as bruno,
        staff("annotator", name="chiara", at=QUEUE) as chiara,
    ):
        for visit in (bruno, chiara):
            await visit.page.get_by_role("button", name="Next text").click()
        assert await text_on(bruno.page) != await text_on(chiara.page)
        held = int(bruno.page.url.rsplit("/", 1)[1].partition("?")[0])
        async with database(site) as connection:
            await connection.execute(
                "UPDATE labelling_claims SET expires_at = now() - interval '1 s'"
            )
            await give_label(connection, held, "chiara", "negative", now=NOW)
        await bruno.page.reload()
        await expect(bruno.page.get_by_role("status")).to_contain_text("time for this text is over")
        await bruno.page.get_by_role("button", name="Positive").click()
        told = bruno.page.locator(".was")
        await expect(told).to_contain_text("both answers are kept")
        await look_at(bruno, "queue-item-conflict")


@BOTH
async def test_a_stale_tab_does_not_overwrite_an_answer(
    site, staff, look_at, locale, viewport
) -> None:
    words = words_of(locale)
    await filled(site)
    async with staff(
        "annotator", at=QUEUE, expected=(409,), locale=locale, viewport=viewport
    ) as visit:
        page = visit.page
        await page.get_by_role("button", name=words("queue.next")).click()
        other = await page.context.new_page()
        await other.goto(page.url)
        await page.get_by_role("button", name=words.label("positive")).click()
        await page.wait_for_url("**was=**")
        await other.get_by_role("button", name=words.label("negative")).click()
        await expect(other.get_by_role("alert")).to_contain_text(words.label("positive"))
        await look_at(other, "queue-changed")
        await other.get_by_role(
            "button", name=words("queue.changed.change", label=words.label("negative"))
        ).click()
        await expect(other.locator(".was")).to_contain_text(
            words("queue.was.own", label=words.label("negative"))
        )


@BOTH
async def test_contested_texts_are_decided(site, staff, look_at, locale, viewport) -> None:
    await some_opinions(site)
    async with staff(
        at=f"{QUEUE}/adjudication", locale=locale, viewport=viewport, expected=(409,)
    ) as visit:
        page = visit.page
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(3)
        await expect(page.locator("tbody")).to_contain_text("ironia, credo")
        await look_at(visit, "queue-adjudication")
        await rows.first.get_by_role("link").click()
        await look_at(visit, "queue-decide")
        stale = await page.context.new_page()
        await stale.goto(page.url)
        neutral = "Neutral" if locale == "en-GB" else "Neutro"
        await page.get_by_role("button", name=neutral).click()
        await expect(page.get_by_role("status").first).to_have_text(
            "Decided." if locale == "en-GB" else "Deciso."
        )
        await expect(rows).to_have_count(2)
        await stale.get_by_role("button", name=neutral).click()
        await expect(stale.locator("main")).to_contain_text(
            "Nothing was overwritten" if locale == "en-GB" else "Non è stato sovrascritto nulla"
        )
        await rows.first.get_by_role("link").click()
        await page.get_by_role("button", name="Drop it" if locale == "en-GB" else "Scarta").click()
        await expect(rows).to_have_count(1)


@BOTH
async def test_agreement_is_shown_with_what_it_means(
    site, staff, look_at, locale, viewport
) -> None:
    await some_opinions(site)
    async with staff("viewer", at=f"{QUEUE}/agreement", locale=locale, viewport=viewport) as visit:
        page = visit.page
        await expect(page.locator(".big")).to_have_text("0.604" if locale == "en-GB" else "0,604")
        chiara = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="chiara"))
        await expect(chiara.first).to_contain_text("100.0 %" if locale == "en-GB" else "100,0 %")
        await look_at(visit, "queue-agreement")


@BOTH
async def test_an_admin_writes_marks_and_unmarks_gold(
    site, staff, look_at, locale, viewport
) -> None:
    await filled(site)
    english = locale == "en-GB"
    async with staff(at=f"{QUEUE}/texts?state=gold", locale=locale, viewport=viewport) as visit:
        page = visit.page
        await page.locator("#gold-text").fill("<b>Perfetto</b>, lo ricomprerei.")
        await page.locator("#gold-label").select_option("positive")
        await page.get_by_role("button", name="Add it" if english else "Aggiungi").click()
        await expect(page.locator("tbody")).to_contain_text("<b>Perfetto</b>, lo ricomprerei.")
        await look_at(visit, "queue-texts")
        await page.locator("tbody").get_by_role("link").click()
        await look_at(visit, "queue-text")
        await page.get_by_role("button", name="Gold no more" if english else "Non usarlo").click()
        await expect(page.locator("#gold-label")).to_be_visible()
        await page.locator("#gold-label").select_option("neutral")
        await page.get_by_role(
            "button", name="Mark as gold" if english else "Usa come testo di controllo"
        ).click()
        await expect(page.locator("dl.facts")).to_contain_text("Neutral" if english else "Neutro")
        await page.goto(site.address(f"{QUEUE}/texts"))
        await page.locator("#state").select_option("done")
        await page.get_by_role("button", name="Show" if english else "Mostra").click()
        await expect(page.locator("tbody tr")).to_have_count(1)


@BOTH
async def test_an_admin_says_how_the_queue_works(site, staff, look_at, locale, viewport) -> None:
    async with staff(at=f"{QUEUE}/settings", locale=locale, viewport=viewport) as visit:
        page = visit.page
        await page.locator("#opinions").fill("2")
        await look_at(visit, "queue-settings")
        await page.locator("main button").click()
        await expect(page.get_by_role("status")).to_have_text(
            "Saved." if locale == "en-GB" else "Salvato."
        )
        await expect(page.locator("#opinions")).to_have_value("2")
        await page.goto(site.address(QUEUE))
        await expect(page.locator("main")).to_contain_text(
            "2 independent opinions" if locale == "en-GB" else "2 pareri indipendenti"
        )


async def test_the_end_of_the_queue_is_said(site, staff, look_at) -> None:
    async with database(site) as connection:
        await connection.execute("DELETE FROM labelling_items")
        await connection.execute(
            "UPDATE labelling_settings SET filled_at = now() + interval '1 hour'"
        )
    async with staff("annotator", at=QUEUE) as visit:
        await visit.page.get_by_role("button", name="Next text").click()
        await expect(visit.page.get_by_role("status")).to_contain_text("No text waits for you")
        await look_at(visit, "queue-empty")


async def test_gold_stays_unknown_to_the_one_who_labels_it(site, staff) -> None:
    async with database(site) as connection:
        await Labelling(connection).change_settings(replace(SETTINGS, gold_share=0.5))
        item = (await Labelling(connection).in_state(State.OPEN))[0]
        await mark_gold(connection, item.id, "positive", "anna", now=NOW)
        given = await next_item(connection, "bruno", now=NOW)
        while given and given.id != item.id:
            await give_label(connection, given.id, "bruno", "neutral", now=NOW)
            given = await next_item(connection, "bruno", now=NOW)
    async with staff("annotator", at=QUEUE) as visit:
        page = visit.page
        await page.get_by_role("button", name="Next text").click()
        assert page.url.endswith(f"/{item.id}")
        await expect(page.locator("main")).not_to_contain_text("old")
        await page.get_by_role("button", name="Negative").click()
        await expect(page.locator(".was")).to_contain_text("Recorded.")
        await page.goto(site.address(f"{QUEUE}/items/{item.id}"))
        await expect(page.locator("main")).not_to_contain_text("Gold")
