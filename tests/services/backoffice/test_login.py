"""The way in, attacked: redirects to elsewhere, sessions planted and stolen, forms from other sites, guessing."""

import httpx
import pytest

from tests.services.backoffice.support import (
    FIRST_PASSWORD,
    PASSWORD,
    Backoffice,
    Browser,
    field_of,
)

pytestmark = pytest.mark.pg

COOKIE = "sentops_backoffice"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/backoffice/index",
        "/\\evil.example",
        "/backoffice/../../evil",
        "/backoffice/%2e%2e/\r\nset-cookie: a=b",
        "javascript:alert(1)//backoffice/",
        "\t//evil.example",
        "/backoffice@evil.example",
        "http:/backoffice/index",
    ],
)
async def test_a_login_leads_nowhere_else_whatever_its_form_says(
    admin: Browser, backoffice: Backoffice, wanted: str
) -> None:
    """The form is the attacker's as well: what it sends back is checked again."""
    async with backoffice.client() as client:
        page = await client.get("/backoffice/login")
        answer = await client.post(
            "/backoffice/login",
            data={
                "csrf": field_of(page.text, "csrf"),
                "name": "admin",
                "password": PASSWORD,
                "next": wanted,
            },
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/backoffice/index")
        assert "a" not in client.cookies


async def test_a_login_leads_to_the_page_that_was_asked_for(
    admin: Browser, backoffice: Backoffice
) -> None:
    async with backoffice.client() as client:
        asked = await client.get("/backoffice/users")
        assert asked.headers["location"] == "/backoffice/login?next=/backoffice/users"
        answer = await Browser(client).log_in("admin", PASSWORD, "/backoffice/users")
        assert answer.headers["location"] == "/backoffice/users"


async def test_a_session_is_new_after_a_login_and_after_a_new_password(
    backoffice: Backoffice,
) -> None:
    async with backoffice.client() as client:
        browser, seen = Browser(client), set()
        client.cookies.set(COOKIE, "planted", domain="127.0.0.1", path="/backoffice")
        await browser.log_in("admin", FIRST_PASSWORD)
        seen.add(client.cookies.get(COOKIE, domain="127.0.0.1"))
        await browser.choose_password(FIRST_PASSWORD, PASSWORD)
        seen.add(client.cookies.get(COOKIE, domain="127.0.0.1"))
        await browser.log_in("admin", PASSWORD)
        seen.add(client.cookies.get(COOKIE, domain="127.0.0.1"))
        assert len(seen) == 3
        assert "planted" not in seen
        for old in seen - {client.cookies.get(COOKIE, domain="127.0.0.1")}:
            async with backoffice.client() as thief:
                thief.cookies.set(COOKIE, str(old), domain="127.0.0.1", path="/backoffice")
                assert (await thief.get("/backoffice/index")).status_code == 303


async def test_the_csrf_value_of_one_session_is_of_no_use_in_another(
    admin: Browser, backoffice: Backoffice
) -> None:
    theirs = await admin.csrf()
    async with backoffice.client() as client:
        browser = Browser(client)
        await browser.log_in("admin", PASSWORD)
        assert await browser.csrf() != theirs
        answer = await client.post("/backoffice/logout", data={"csrf": theirs})
        assert answer.status_code == 403


async def test_a_login_form_of_another_browser_is_refused(backoffice: Backoffice) -> None:
    """An attacker cannot log a victim into the attacker's account with a form of their own."""
    async with backoffice.client() as attacker, backoffice.client() as victim:
        form = field_of((await attacker.get("/backoffice/login")).text, "csrf")
        await victim.get("/backoffice/login")
        answer = await victim.post(
            "/backoffice/login", data={"csrf": form, "name": "admin", "password": FIRST_PASSWORD}
        )
        assert answer.status_code == 403
        assert COOKIE not in victim.cookies


async def test_guessing_names_is_stopped_by_where_it_comes_from(
    anyone: httpx.AsyncClient,
) -> None:
    browser = Browser(anyone)
    statuses = [(await browser.log_in(f"nobody-{at}", "guess")).status_code for at in range(12)]
    assert statuses == [401] * 10 + [429] * 2


async def test_guessing_the_current_password_is_stopped_too(admin: Browser) -> None:
    """A stolen session must not find out the password."""
    statuses = [
        (await admin.choose_password("not this one", "another password")).status_code
        for _ in range(11)
    ]
    assert statuses == [422] * 10 + [429]
    admin.client.headers["accept-language"] = "it"
    refused = await admin.choose_password(PASSWORD, "another password")
    assert (refused.status_code, "Troppi tentativi falliti" in refused.text) == (429, True)


async def test_a_new_password_must_be_good(admin: Browser) -> None:
    for new, sentence in (
        ("short", "at least 12"),
        ("a" * 20, "too easy"),
        ("x" * 1001 + "abc", "at most 1000"),
        (PASSWORD, "is the current one"),
    ):
        refused = await admin.choose_password(PASSWORD, new)
        assert (refused.status_code, sentence in refused.text) == (422, True), new
    differ = await admin.send(
        "/backoffice/password", current=PASSWORD, new="good enough one", again="good enough two"
    )
    assert "The two new passwords differ." in differ.text
