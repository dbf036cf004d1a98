"""`make screenshots`: every screen of the demo platform, light, dark and on a phone, and one page that shows them all.

Each is also checked as in the tests: WCAG 2.2 AA by axe, no sideways scroll, nothing on the console, no request to
elsewhere. Exit code 1 if one fails; the pictures are there all the same.
"""

import argparse
import asyncio
import html
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from tests.support.browser import CHROMIUM, CHROMIUM_ARGUMENTS, Visit
from tests.support.demo_monitoring import POLICY
from tests.support.demo_platform import NEWCOMER
from tests.support.demo_site import DemoSite, demo_site, only_warnings
from tests.support.looks import DESKTOP, PHONE, PICTURES, look_at, take_picture

_AT_ONCE = 2
_LONGEST_SECONDS = 900
Do = Callable[[Page], Awaitable[None]]


@dataclass(frozen=True)
class Screen:
    """`who` has logged in; empty: nobody, on the public page when `web`. `do` leads to what is to be seen.

    `ours` is False for what comes in a package: it is shown, and its faults are not ours to mend.
    """

    name: str
    path: str
    who: str = "anna"
    web: bool = False
    do: Do | None = None
    status: int = 200
    ours: bool = True


@dataclass(frozen=True)
class Look:
    language: str
    locale: str
    viewport: dict[str, int]
    scheme: str


LOOKS = (
    Look("en", "en-GB", DESKTOP, "light"),
    Look("en", "en-GB", DESKTOP, "dark"),
    Look("en", "en-GB", PHONE, "light"),
    Look("it", "it-IT", DESKTOP, "light"),
    Look("it", "it-IT", PHONE, "dark"),
)


async def _ask(page: Page) -> None:
    await page.locator("textarea").first.fill("ottimo product, great and excellent")
    await page.locator("form[action='/ask'] button").first.click()
    await page.locator("#result, .answer").first.wait_for()


async def _next_text(page: Page) -> None:
    await page.locator("main form button.primary").first.click()
    await page.wait_for_load_state()


async def _upload(page: Page) -> None:
    content = b"testo,stelle\nOttimo acquisto,5\nPessimo,1\n<b>Nella norma</b>,3\n,4\n"
    file = {"name": "recensioni <b>nuove.csv", "mimeType": "text/csv", "buffer": content}
    await page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
    await page.locator("form[enctype] button.primary").click()
    await page.wait_for_url("**/datasets/uploads/*")


async def _many(page: Page) -> None:
    await page.locator("#many textarea, form[action='/many'] textarea").first.fill(
        "a great product\nit is broken and awful\nokay"
    )
    await page.locator("form[action='/many'] button, #many button").last.click()
    await page.locator("table").first.wait_for()


def screens(site: DemoSite) -> list[Screen]:
    demo, b = site.demo, "/backoffice"
    item = site.value("SELECT min(item) FROM labelling_votes")
    answer = site.value("SELECT prediction_id FROM feedback ORDER BY voted_at DESC LIMIT 1")
    client = site.value("SELECT client FROM feedback ORDER BY voted_at LIMIT 1")
    text = site.value("SELECT min(encode(content_hash, 'hex')) FROM dataset_members")
    token = site.value("SELECT id FROM api_tokens WHERE name = 'ci'")
    return [
        Screen("web-ask", "/", who="", web=True),
        Screen("web-answer", "/", who="", web=True, do=_ask),
        Screen("web-many", "/", who="", web=True, do=_many),
        Screen("web-version", f"/versions/{demo.champion}", who="", web=True),
        Screen("web-unknown-answer", "/p/nothing", who="", web=True, status=404),
        Screen("web-docs", "/docs", who="", web=True, ours=False),
        Screen("login", f"{b}/login", who=""),
        Screen("password-first", f"{b}/password", who=NEWCOMER),
        Screen("overview", f"{b}/index"),
        Screen("datasets", f"{b}/datasets"),
        Screen("dataset", f"{b}/datasets/{demo.dataset}"),
        Screen("dataset-rows", f"{b}/datasets/{demo.dataset}/rows"),
        Screen("dataset-near", f"{b}/datasets/{demo.dataset}/near-duplicates"),
        Screen("dataset-diff", f"{b}/datasets/{demo.dataset}/diff?from=v1"),
        Screen("dataset-text", f"{b}/datasets/{demo.dataset}/rows/{text}"),
        Screen("dataset-upload", f"{b}/datasets/new"),
        Screen("dataset-upload-preview", f"{b}/datasets/new", do=_upload),
        Screen("queue", f"{b}/queue", who="chiara"),
        Screen("queue-text", f"{b}/queue", who="chiara", do=_next_text),
        Screen("queue-item", f"{b}/queue/items/{item}"),
        Screen("queue-mine", f"{b}/queue/mine", who="bruno"),
        Screen("queue-adjudication", f"{b}/queue/adjudication"),
        Screen("queue-agreement", f"{b}/queue/agreement"),
        Screen("queue-texts", f"{b}/queue/texts?state=done"),
        Screen("queue-settings", f"{b}/queue/settings"),
        Screen("feedback", f"{b}/feedback", who="bruno"),
        Screen("feedback-sources", f"{b}/feedback/sources"),
        Screen("feedback-quarantine", f"{b}/feedback/quarantine?kind=client&name={client}"),
        Screen("trainings", f"{b}/training"),
        Screen("training-start", f"{b}/train"),
        Screen("training-running", f"{b}/training/{demo.running}"),
        Screen("training-cancel", f"{b}/training/{demo.running}/cancel"),
        Screen("training-finished", f"{b}/training/training-8"),
        Screen("compare", f"{b}/compare?job=training-8&job=training-9"),
        Screen("versions", f"{b}/versions"),
        Screen("version-live", f"{b}/versions/{demo.champion}"),
        Screen("version-waiting", f"{b}/versions/{demo.waiting}"),
        Screen("version-promote", f"{b}/versions/{demo.waiting}/promote"),
        Screen("lineage", f"{b}/lineage"),
        Screen("lineage-of-an-answer", f"{b}/lineage/{answer}"),
        Screen("audit", f"{b}/audit"),
        Screen("retraining", f"{b}/retraining"),
        Screen("retraining-new", f"{b}/retrain"),
        Screen("retraining-policy", f"{b}/retraining/{POLICY}"),
        Screen("retraining-edit", f"{b}/retraining/{POLICY}/edit"),
        Screen("retraining-go-live", f"{b}/retraining/{POLICY}/go-live"),
        Screen("retraining-delete", f"{b}/retraining/{POLICY}/delete"),
        Screen("runbook", f"{b}/runbook"),
        Screen("settings-people", f"{b}/users"),
        Screen("settings-person", f"{b}/users/bruno"),
        Screen("settings-person-disable", f"{b}/users/bruno/disable"),
        Screen("settings-tokens", f"{b}/tokens"),
        Screen("settings-token-revoke", f"{b}/tokens/{token}/revoke"),
        Screen("settings-retention", f"{b}/retention"),
        Screen("settings-retention-change", f"{b}/retention/change?days=1"),
        Screen("account", f"{b}/account"),
        Screen("error", f"{b}/nowhere", status=404),
    ]


def main() -> int:
    options = _options()
    if not Path(CHROMIUM).exists():
        sys.exit(f"There is no browser at {CHROMIUM}: install chromium, or set CHROMIUM to one.")
    only_warnings()
    begun = time.monotonic()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    print("Starting a demo platform ...", flush=True)  # noqa: T201
    with demo_site() as site:
        wanted = [one for one in screens(site) if options.only in one.name]
        problems = asyncio.run(_take_all(site, wanted, folder))
    index = _write_index(folder, [one.name for one in wanted], problems)
    for name, problem in sorted(problems.items()):
        print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201
    count = len(wanted) * len(LOOKS)
    print(f"{count} pictures in {time.monotonic() - begun:.0f} s: {index}")  # noqa: T201
    return 1 if problems else 0


async def _take_all(site: DemoSite, wanted: list[Screen], folder: Path) -> dict[str, str]:
    problems: dict[str, str] = {}
    turns = asyncio.Semaphore(_AT_ONCE)
    sessions = {who: site.session_of(who) for who in {one.who for one in wanted} if who}

    async def take(browser: Browser, screen: Screen, look: Look) -> None:
        async with turns:
            try:
                await _take(browser, site, sessions, screen, look, folder)
            except Exception as error:  # noqa: BLE001 - the others are still wanted
                key = f"{screen.name}-{look.language}-{look.viewport['width']}-{look.scheme}"
                problems[key] = str(error)[:1500]

    async with asyncio.timeout(_LONGEST_SECONDS), async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS
        )
        await asyncio.gather(*(take(browser, one, look) for one in wanted for look in LOOKS))
        await browser.close()
    return problems


async def _take(
    browser: Browser,
    site: DemoSite,
    sessions: dict[str, dict[str, str]],
    screen: Screen,
    look: Look,
    folder: Path,
) -> None:
    origin = site.web if screen.web else site.backoffice
    context = await browser.new_context(
        locale=look.locale,
        viewport=look.viewport,  # type: ignore[arg-type]
        color_scheme=look.scheme,  # type: ignore[arg-type]
    )
    try:
        if screen.who:
            await context.add_cookies([sessions[screen.who]])  # type: ignore[list-item]
        visit = Visit(await context.new_page(), origin, expected=(screen.status,))
        visit.watch()
        answer = await visit.page.goto(origin + screen.path)
        assert answer is not None
        assert answer.status == screen.status, f"{screen.path} answers {answer.status}"
        if screen.do:
            await screen.do(visit.page)
        if not screen.ours:
            await take_picture(visit.page, screen.name, folder)
            return
        await look_at(visit, screen.name, folder)
        assert not visit.faults, visit.faults
    finally:
        await context.close()


def _write_index(folder: Path, names: list[str], problems: dict[str, str]) -> Path:
    rows = []
    for name in names:
        figures = "".join(
            f'<figure><a href="{file.name}"><img src="{file.name}" alt="{html.escape(file.stem)}" loading="lazy"></a>'
            f"<figcaption>{html.escape(file.stem.removeprefix(name + '-'))}"
            f"{' <strong>' + html.escape(problems[file.stem][:200]) + '</strong>' if file.stem in problems else ''}"
            "</figcaption></figure>"
            for file in (
                folder / f"{name}-{look.language}-{look.viewport['width']}-{look.scheme}.png"
                for look in LOOKS
            )
            if file.exists()
        )
        rows.append(
            f'<section id="{name}"><h2>{name}</h2><div class="row">{figures}</div></section>'
        )
    links = " ".join(f'<a href="#{name}">{name}</a>' for name in names)
    page = folder / "index.html"
    page.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sentops: every screen</title><style>'
        "body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;color-scheme:light dark}nav{columns:14rem}nav a{display:block}"
        ".row{display:flex;gap:1rem;overflow-x:auto;align-items:start;padding-bottom:1rem}figure{margin:0;flex:none}"
        "img{height:28rem;width:auto;max-width:44rem;object-fit:cover;object-position:top;border:1px solid #8888}"
        "figcaption{max-width:30rem}strong{color:#c0332b}</style>"
        f"<h1>Every screen</h1><nav>{links}</nav>{''.join(rows)}",
        encoding="utf-8",
    )
    return page


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only screens whose name contains this")
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where the pictures go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
