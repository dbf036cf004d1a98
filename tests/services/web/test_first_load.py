"""What a browser fetches before the page can be used, as it travels."""

import re

import httpx

from tests.services.web.conftest import Web

BUDGET = 100_000


async def test_the_first_load_is_under_100_kb_as_it_travels(web: Web) -> None:
    """Everything the page names, and what those scripts import; headers included."""
    seen: dict[str, int] = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        async with web.client.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
            assert answer.status_code == 200, path
            body = b"".join([piece async for piece in answer.aiter_raw()])
            if len(body) > 600:
                assert answer.headers["content-encoding"] == "gzip", path
            seen[path] = len(body) + sum(
                len(name) + len(value) + 4 for name, value in answer.headers.raw
            )
        text = (await web.client.get(path)).text
        found = re.findall(r'(?:src|href)="(/static/[\w.]+)', text)
        found += [f"/static/{name}" for name in re.findall(r'(?:from|import) "\./([\w.]+)"', text)]
        waiting += [one for one in found if one not in seen and one not in waiting]
    assert {"/static/page.js", "/static/parts.js", "/static/csv.js", "/static/page.css"} <= set(
        seen
    )
    assert sum(seen.values()) < BUDGET, seen


async def test_what_has_not_changed_is_not_sent_again(web: Web) -> None:
    first = await web.client.get("/static/page.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await web.client.get(
        "/static/page.css", headers={"if-none-match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


async def test_whoever_wants_it_plain_gets_it_plain(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in page.headers
    assert "accept-encoding" in page.headers["vary"].lower()
