"""`make screenshots` forgets no page."""

import re
from types import SimpleNamespace

from pydantic import SecretStr

from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings
from tests.screenshots import screens

# Addresses that lead elsewhere, or give a file, and so have no picture.
NO_PAGES = {
    "/backoffice",
    "/backoffice/",
    "/backoffice/datasets/{version}/export",
    "/backoffice/datasets/{version}/refused.csv",
    "/backoffice/datasets/uploads/{upload}/refused.csv",
}
# Reached from another page by what one does there.
BY_DOING = {"/backoffice/datasets/uploads/{upload}"}


class NowhereSite:
    """Names enough to write addresses with."""

    demo = SimpleNamespace(champion="c", waiting="w", running="r", dataset="v3")

    def value(self, query: str) -> str:
        return "1"


def pages() -> set[str]:
    app = create_backoffice(
        Settings(database_url=SecretStr("x"), trainer_token=SecretStr("x"), store_uri="file:///x")
    )
    return {
        route.path
        for included in app.routes
        if hasattr(included, "effective_route_contexts")
        for route in included.effective_route_contexts()
        if "GET" in route.methods
        and route.path.startswith("/backoffice")
        and "/api/" not in route.path
    }


def test_every_page_has_a_picture() -> None:
    taken = [one.path.partition("?")[0] for one in screens(NowhereSite()) if not one.web]  # type: ignore[arg-type]
    for page in pages() - NO_PAGES - BY_DOING:
        form = re.compile(re.sub(r"{\w+}", "[^/]+", page))
        assert any(form.fullmatch(path) for path in taken), f"tests/screenshots.py lacks {page}"


def test_every_picture_has_a_name_of_its_own() -> None:
    names = [one.name for one in screens(NowhereSite())]  # type: ignore[arg-type]
    assert len(names) == len(set(names))
