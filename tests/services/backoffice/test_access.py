"""Who gets in, as what, and how forms from elsewhere are refused."""

import re

import httpx
import pytest

from sentops_backoffice.limiter import LoginLimiter
from sentops_core.domain.errors import Overloaded
from sentops_core.store.pool import Pool, transaction
from tests.services.backoffice.support import (
    FIRST_PASSWORD,
    PASSWORD,
    XSS,
    Backoffice,
    Browser,
    RecordingTrainer,
    field_of,
)

pytestmark = pytest.mark.pg

OPEN_TO_ALL = {"/backoffice/login", "/backoffice", "/backoffice/"}


def every_address() -> list[tuple[str, str]]:
    """Method and path of every route below /backoffice, with something in place of each parameter."""
    from pydantic import SecretStr

    from sentops_backoffice.app import create_backoffice
    from sentops_backoffice.settings import Settings

    app = create_backoffice(
        Settings(database_url=SecretStr("x"), trainer_token=SecretStr("x"), store_uri="file:///x")
    )
    found = sorted(
        (method, route.path)
        for included in app.routes
        if hasattr(included, "effective_route_contexts")
        for route in included.effective_route_contexts()
        for method in route.methods
        if route.path.startswith("/backoffice") and route.path not in OPEN_TO_ALL
    )
    values = {"action": "promote", "token_id": "0b0f0a3e-0000-4000-8000-000000000000"}
    return [
        (method, re.sub(r"{(\w+)}", lambda match: values.get(match[1], "v1"), path))
        for method, path in found
    ]


async def test_no_address_answers_strangers(anyone: httpx.AsyncClient) -> None:
    addresses = every_address()
    assert len(addresses) > 20
    for method, path in addresses:
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"cookie": "sentops_backoffice=wrong"},
        ):
            answer = await anyone.request(method, path, headers=headers)
            if path.startswith("/backoffice/api/"):
                assert answer.status_code == 401, (method, path)
                assert answer.json()["code"] == "unauthenticated"
            else:
                assert answer.status_code == 303, (method, path)
                assert answer.headers["location"].startswith("/backoffice/login")


async def test_no_address_that_reads_changes_anything(
    api: httpx.AsyncClient, trainer: RecordingTrainer, pool: Pool
) -> None:
    async with transaction(pool) as connection:
        before = await connection.fetch("SELECT id FROM audit_log ORDER BY id")
    for method, path in every_address():
        if method == "GET":
            assert (await api.get(path)).status_code < 500, path
    async with transaction(pool) as connection:
        assert await connection.fetch("SELECT id FROM audit_log ORDER BY id") == before
    assert [path for path, body, _ in trainer.asked if body is not None] == []


async def test_nobody_reads_the_body_of_a_stranger(anyone: httpx.AsyncClient) -> None:
    answer = await anyone.post(
        "/backoffice/api/datasets", files={"file": ("x.csv", b"\0" * 100_000)}
    )
    assert answer.status_code == 401


async def test_the_first_admin_must_choose_a_password(backoffice: Backoffice) -> None:
    async with backoffice.client() as client:
        browser = Browser(client)
        answer = await browser.log_in("admin", FIRST_PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/backoffice/password")
        index = await client.get("/backoffice/index")
        assert (index.status_code, index.headers["location"]) == (303, "/backoffice/password")
        assert (await client.get("/backoffice/api/versions")).json()[
            "code"
        ] == "new_password_needed"

        for new, sentence in (
            ("short", "at least 12"),
            (FIRST_PASSWORD, "is the current one"),
            ("aaaaaaaaaaaaaaaa", "too easy"),
        ):
            refused = await browser.choose_password(FIRST_PASSWORD, new)
            assert refused.status_code == 422
            assert sentence in refused.text
        assert (await browser.choose_password(FIRST_PASSWORD, PASSWORD)).status_code == 303
        assert (await client.get("/backoffice/index")).status_code == 200


async def test_the_first_password_is_of_no_use_once_changed(
    admin: Browser, backoffice: Backoffice
) -> None:
    async with backoffice.client() as client:
        assert (await Browser(client).log_in("admin", FIRST_PASSWORD)).status_code == 401
        assert (await Browser(client).log_in("admin", PASSWORD)).status_code == 303


async def test_a_wrong_name_and_a_wrong_password_look_the_same(anyone: httpx.AsyncClient) -> None:
    browser = Browser(anyone)
    answers = [await browser.log_in(name, "wrong") for name in ("admin", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401]
    texts = [re.sub('value="[^"]*"', "", answer.text) for answer in answers]
    assert texts[0] == texts[1]
    assert "Name or password is wrong" in texts[0]


async def test_guessing_is_stopped_even_with_the_right_password_then(
    anyone: httpx.AsyncClient,
) -> None:
    browser = Browser(anyone)
    for _ in range(10):
        await browser.log_in("admin", "wrong")
    answer = await browser.log_in("admin", FIRST_PASSWORD)
    assert answer.status_code == 429
    assert "Too many failed logins" in answer.text


def test_failures_are_forgotten_after_a_while_and_after_a_success() -> None:
    now = [0.0]
    limiter = LoginLimiter(failures=2, clock=lambda: now[0])
    limiter.failed("a")
    limiter.failed("a")
    with pytest.raises(Overloaded):
        limiter.check("b", "a")
    limiter.check("b")
    now[0] = 601
    limiter.check("a")
    limiter.failed("a")
    limiter.succeeded("a")
    limiter.failed("a")
    limiter.check("a")


async def test_a_login_makes_a_new_session_and_ends_the_old_one(
    backoffice: Backoffice, admin: Browser
) -> None:
    old = admin.client.cookies["sentops_backoffice"]
    await admin.log_in("admin", PASSWORD)
    assert admin.client.cookies["sentops_backoffice"] != old
    async with backoffice.client() as client:
        client.cookies.set("sentops_backoffice", old)
        assert (await client.get("/backoffice/index")).status_code == 303


async def test_a_cookie_planted_before_the_login_is_worth_nothing_after_it(
    backoffice: Backoffice,
) -> None:
    async with backoffice.client() as client:
        client.cookies.set("sentops_backoffice", "planted", domain="127.0.0.1", path="/backoffice")
        await Browser(client).log_in("admin", FIRST_PASSWORD)
        assert client.cookies.get("sentops_backoffice", domain="127.0.0.1") != "planted"


async def test_logging_out_ends_the_session(admin: Browser, backoffice: Backoffice) -> None:
    cookie = admin.client.cookies["sentops_backoffice"]
    assert (await admin.send("/backoffice/logout")).status_code == 303
    async with backoffice.client() as client:
        client.cookies.set("sentops_backoffice", cookie)
        assert (await client.get("/backoffice/index")).status_code == 303


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(backoffice: Backoffice) -> None:
    for base_url, secure in (("http://127.0.0.1:8001", False), ("https://sentops.example", True)):
        async with backoffice.client(base_url) as client:
            answer = await Browser(client).log_in("admin", FIRST_PASSWORD)
            cookie = next(
                value
                for value in answer.headers.get_list("set-cookie")
                if value.startswith("sentops_backoffice=")
            ).lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert "path=/backoffice" in cookie
            assert ("secure" in cookie) is secure


async def test_a_form_without_the_right_token_is_refused(
    admin: Browser, trainer: RecordingTrainer
) -> None:
    changing = [one for one in every_address() if one[0] not in {"GET", "HEAD"}]
    assert len(changing) > 20
    for method, path in changing:
        for fields in ({}, {"csrf": "guessed"}, {"csrf": "è"}):
            answer = await admin.client.request(method, path, data=fields)
            assert answer.status_code == 403, (method, path)
    assert trainer.asked == []


async def test_a_login_form_from_elsewhere_is_refused(anyone: httpx.AsyncClient) -> None:
    fields = {"name": "admin", "password": FIRST_PASSWORD, "csrf": "guessed"}
    assert (await anyone.post("/backoffice/login", data=fields)).status_code == 403


async def test_after_the_login_one_stays_here(anyone: httpx.AsyncClient) -> None:
    for wanted in (
        "https://evil.example/",
        "//evil.example",
        "/backoffice/../evil",
        "/backoffice\\evil",
        "javascript:x",
    ):
        page = await anyone.get("/backoffice/login", params={"next": wanted})
        assert field_of(page.text, "next") == "/backoffice/index", wanted


async def an_account(admin: Browser, backoffice: Backoffice, role: str) -> Browser:
    made = await admin.send("/backoffice/users", name=f"a-{role}", role=role)
    password = re.search("<code[^>]*>(.*)</code>", made.text)
    assert password, made.text
    browser = Browser(backoffice.client())
    await browser.log_in(f"a-{role}", password[1])
    await browser.choose_password(password[1], PASSWORD)
    return browser


async def test_a_viewer_looks_and_changes_nothing(
    admin: Browser, backoffice: Backoffice, trainer: RecordingTrainer
) -> None:
    viewer = await an_account(admin, backoffice, "viewer")
    index = await viewer.client.get("/backoffice/index")
    assert index.status_code == 200
    assert "Upload</button>" not in index.text
    for path in (
        "train",
        "datasets/uploads",
        "datasets/from-feedback",
        "versions/x/promote",
        "users",
    ):
        assert (await viewer.send(f"/backoffice/{path}")).status_code == 403, path
    assert (await viewer.client.get("/backoffice/users")).status_code == 403
    assert (await viewer.client.get("/backoffice/api/tokens")).status_code == 403
    assert trainer.asked == []
    await viewer.client.aclose()


async def test_an_annotator_makes_datasets_but_does_not_train(
    admin: Browser, backoffice: Backoffice, trainer: RecordingTrainer
) -> None:
    annotator = await an_account(admin, backoffice, "annotator")
    answer = await annotator.send("/backoffice/datasets/from-feedback")
    assert (answer.status_code, "no feedback" in answer.text) == (422, True)
    assert (await annotator.send("/backoffice/train")).status_code == 403
    assert trainer.asked == []
    await annotator.client.aclose()


async def test_a_disabled_account_is_out_at_once(admin: Browser, backoffice: Backoffice) -> None:
    viewer = await an_account(admin, backoffice, "viewer")
    assert (await admin.send("/backoffice/users/a-viewer/disable")).status_code == 303
    assert (await viewer.client.get("/backoffice/index")).status_code == 303
    assert (await viewer.log_in("a-viewer", PASSWORD)).status_code == 401
    await viewer.client.aclose()


async def test_admins_do_not_lock_themselves_out(admin: Browser) -> None:
    assert (await admin.send("/backoffice/users/admin/disable")).status_code == 409


async def test_a_bad_account_is_refused(admin: Browser) -> None:
    for name, role, sentence in (
        (XSS, "viewer", "A name has letters"),
        ("bob", "king", "Choose one of the roles"),
        ("admin", "viewer", "already"),
    ):
        answer = await admin.send("/backoffice/users", name=name, role=role)
        assert answer.status_code in {409, 422}
        assert sentence in answer.text


async def test_a_token_is_shown_once_works_and_can_be_revoked(
    api: httpx.AsyncClient, backoffice: Backoffice, pool: Pool
) -> None:
    made = (await api.post("/backoffice/api/tokens", json={"name": "ci", "scope": "viewer"})).json()
    async with backoffice.api(made["secret"]) as client:
        assert (await client.get("/backoffice/api/datasets")).status_code == 200
        assert (await client.post("/backoffice/api/train")).status_code == 403
        assert made["secret"] not in (await api.get("/backoffice/api/tokens")).text
        assert (await api.delete(f"/backoffice/api/tokens/{made['id']}")).status_code == 200
        assert (await client.get("/backoffice/api/datasets")).status_code == 401
    async with transaction(pool) as connection:
        kept = await connection.fetchval("SELECT encode(token_hash, 'hex') FROM api_tokens")
    assert made["secret"] not in kept


async def test_pages_run_only_our_own_scripts_and_are_not_kept(admin: Browser) -> None:
    page = await admin.client.get("/backoffice/index")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?! src=)|\son\w+=|style=", page.text)


async def test_pages_link_only_to_what_is_there(admin: Browser) -> None:
    page = (await admin.client.get("/backoffice/index")).text
    links = set(re.findall('(?:href|src)="(/[^"]*)"', page))
    assert "/backoffice/static/style.css" in links
    for link in links:
        assert (await admin.client.get(link)).status_code == 200, link
