"""How heavy and how quick the first load of a page was."""

from playwright.async_api import Page

BUDGET = 100_000
_LOAD = """async () => {
  const parts = performance.getEntriesByType("resource");
  const page = performance.getEntriesByType("navigation")[0];
  return {
    bytes: [page, ...parts].reduce((sum, one) => sum + one.transferSize, 0),
    milliseconds: Math.max(page.domContentLoadedEventEnd, ...parts.map((one) => one.responseEnd)),
  };
}"""


async def first_load(page: Page) -> float:
    """Milliseconds until it could be used; it came with everything it needs in under 100 KB, as it travelled.

    Scripts of type module have run when DOMContentLoaded ends, so the page can be used then.
    """
    seen = await page.evaluate(_LOAD)
    assert 5_000 < seen["bytes"] < BUDGET
    milliseconds: float = seen["milliseconds"]
    return milliseconds
