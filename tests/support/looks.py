"""What every page must be, wherever it is shown; and a picture of it, to be looked at."""

from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.support.browser import Visit

PICTURES = Path(__file__).parents[2] / "build/screenshots"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}

# WCAG 2.2 AA, and what axe's makers think good besides.
_RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
_TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = (one) => {
    for (let box = one.parentElement; box; box = box.parentElement)
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(box).overflowX)) return true;
    return false;
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > width + 1 && !scrolls(one))
    .map((one) => one.tagName + (one.id ? "#" + one.id : "") + (one.className ? "." + one.className : ""))
    .concat("the page");
}"""
# Axe would wait for ever in a browser that was told to run no scripts.
_SCRIPTED = "() => matchMedia('(scripting: enabled)').matches"
_SHOWN = """() => [
  document.documentElement.lang,
  innerWidth,
  matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
]"""


async def look_at(visit: Visit | Page, name: str, folder: Path = PICTURES) -> Path:
    """No violation of WCAG 2.2 AA, no sideways scroll; the picture <name>-<language>-<width>-<scheme>.png."""
    page = visit.page if isinstance(visit, Visit) else visit
    picture = await take_picture(page, name, folder)
    if await page.evaluate(_SCRIPTED):
        found = await Axe().run(page, options=_RULES)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    too_wide: list[str] = await page.evaluate(_TOO_WIDE)
    assert not too_wide, f"{name} scrolls sideways because of {too_wide[:5]}"
    return picture


async def take_picture(page: Page, name: str, folder: Path = PICTURES) -> Path:
    language, width, scheme = await page.evaluate(_SHOWN)
    picture = folder / f"{name}-{language}-{width}-{scheme}.png"
    await page.screenshot(path=picture, full_page=True)  # makes the folder
    return picture
