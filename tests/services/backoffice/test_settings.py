"""People, tokens, retention and the audit log for programs; what pages and API say of what went wrong."""

import json
import re
from pathlib import Path

import httpx
import pytest

from sentops_backoffice.browsers import browser_of
from sentops_backoffice.limiter import LoginLimiter, slow_down
from sentops_backoffice.words import TABLES
from sentops_core.domain.errors import Overloaded
from sentops_core.domain.resources import ModelVersionPhase
from sentops_core.http.i18n import LANGUAGES, Words
from sentops_core.store.audit import Audit
from sentops_core.store.maintain import maintain
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import Predictions
from tests.services.backoffice.support import PASSWORD, XSS, Backoffice, Browser
from tests.support.rows import NOW, a_prediction

pytestmark = pytest.mark.pg

SERVICES = Path(__file__).parents[3] / "services"


async def test_an_account_is_made_changed_and_given_a_new_password(
    api: httpx.AsyncClient, backoffice: Backoffice
) -> None:
    made = await api.post("/backoffice/api/users", json={"name": "bruno", "role": "viewer"})
    assert made.status_code == 201
    first = made.json()["first_password"]
    listed = (await api.get("/backoffice/api/users")).json()["users"]
    assert [user["name"] for user in listed] == ["admin", "bruno"]
    assert "first_password" not in listed[1]
    assert "password_hash" not in str(listed)

    async with backoffice.client() as client:
        browser = Browser(client)
        await browser.log_in("bruno", first)
        await browser.choose_password(first, PASSWORD)
        changed = await api.patch("/backoffice/api/users/bruno", json={"role": "annotator"})
        assert changed.json()["role"] == "annotator"
        sessions = (await api.get("/backoffice/api/users/bruno/sessions")).json()["sessions"]
        assert len(sessions) == 1
        again = await api.post("/backoffice/api/users/bruno/password")
        assert again.json()["must_change_password"]
        assert (await client.get("/backoffice/index")).status_code == 303
        assert (await browser.log_in("bruno", PASSWORD)).status_code == 401
        answer = await browser.log_in("bruno", again.json()["first_password"])
        assert answer.headers["location"] == "/backoffice/password"
        ended = await api.delete("/backoffice/api/users/bruno/sessions")
        assert ended.json() == {"ended": 1}
    actions = [
        line["action"]
        for line in (await api.get("/backoffice/api/audit?subject=bruno")).json()["lines"]
    ]
    assert actions == [
        "user.sessions_ended",
        "user.logged_in",
        "user.password_reset",
        "user.role_changed",
        "user.password_changed",
        "user.logged_in",
        "user.created",
    ]


async def test_somebody_remains_who_is_an_admin(api: httpx.AsyncClient) -> None:
    for change in ({"disabled": True}, {"role": "viewer"}):
        refused = await api.patch("/backoffice/api/users/admin", json=change)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    still = (await api.get("/backoffice/api/users/admin")).json()
    assert (still["role"], still["disabled"]) == ("admin", False)


async def test_bad_accounts_and_tokens_are_refused_with_a_reason(api: httpx.AsyncClient) -> None:
    for path, body, status in (
        ("users", {"name": XSS, "role": "viewer"}, 422),
        ("users", {"name": "", "role": "viewer"}, 422),
        ("users", {"name": "bob", "role": "king"}, 422),
        ("users", {"name": "admin", "role": "viewer"}, 409),
        ("tokens", {"name": " ", "scope": "viewer"}, 422),
        ("tokens", {"name": "a\u202eb", "scope": "viewer"}, 422),
        ("tokens", {"name": "x", "scope": "king"}, 422),
    ):
        answer = await api.post(f"/backoffice/api/{path}", json=body)
        assert answer.status_code == status, (path, body)
        assert answer.headers["content-type"] == "application/problem+json"
    for method, path in (("GET", "users/nobody"), ("DELETE", "users/nobody/sessions")):
        assert (await api.request(method, f"/backoffice/api/{path}")).status_code == 404


async def test_settings_are_for_admins(api: httpx.AsyncClient, backoffice: Backoffice) -> None:
    made = await api.post("/backoffice/api/tokens", json={"name": "ci", "scope": "annotator"})
    async with backoffice.api(made.json()["secret"]) as annotator:
        for method, path in (
            ("GET", "users"),
            ("GET", "users/admin"),
            ("GET", "users/admin/sessions"),
            ("GET", "tokens"),
            ("GET", "retention"),
            ("PUT", "retention"),
            ("POST", "users"),
            ("PATCH", "users/admin"),
            ("POST", "users/admin/password"),
            ("DELETE", "users/admin/sessions"),
        ):
            answer = await annotator.request(method, f"/backoffice/api/{path}")
            assert answer.status_code == 403, (method, path)


async def test_a_token_that_is_revoked_twice_is_revoked_once(api: httpx.AsyncClient) -> None:
    made = (await api.post("/backoffice/api/tokens", json={"name": "ci", "scope": "viewer"})).json()
    first = await api.delete(f"/backoffice/api/tokens/{made['id']}")
    second = await api.delete(f"/backoffice/api/tokens/{made['id']}")
    assert first.json()["revoked_at"] == second.json()["revoked_at"]
    lines = (await api.get(f"/backoffice/api/audit?subject={made['id']}")).json()["lines"]
    assert [line["action"] for line in lines] == ["api_token.revoked", "api_token.created"]


async def test_a_session_belongs_to_one_person(api: httpx.AsyncClient, admin: Browser) -> None:
    await api.post("/backoffice/api/users", json={"name": "bruno", "role": "viewer"})
    (session,) = (await api.get("/backoffice/api/users/admin/sessions")).json()["sessions"]
    wrong = await api.delete(f"/backoffice/api/users/bruno/sessions/{session['id']}")
    assert wrong.status_code == 404
    assert (await admin.client.get("/backoffice/index")).status_code == 200
    assert session["id"] not in admin.client.cookies["sentops_backoffice"]
    right = await api.delete(f"/backoffice/api/users/admin/sessions/{session['id']}")
    assert right.json() == {"ended": 1}
    assert (await admin.client.get("/backoffice/index")).status_code == 303


async def test_the_hash_of_a_session_does_not_open_it(
    api: httpx.AsyncClient, admin: Browser, backoffice: Backoffice
) -> None:
    (session,) = (await api.get("/backoffice/api/users/admin/sessions")).json()["sessions"]
    async with backoffice.client() as client:
        client.cookies.set("sentops_backoffice", session["id"])
        assert (await client.get("/backoffice/index")).status_code == 303


async def test_retention_is_looked_at_chosen_and_obeyed(api: httpx.AsyncClient, pool: Pool) -> None:
    old = a_prediction(NOW.replace(year=2020))
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in([old])
    assert (await api.get("/backoffice/api/retention")).json() == {}
    asked = (await api.get("/backoffice/api/retention?days=30")).json()
    assert asked["deletes_predictions"] == 1
    assert "chosen_days" not in asked
    for bad in ({"days": 0}, {"days": 1.5}, {}, {"days": 10**9}):
        assert (await api.put("/backoffice/api/retention", json=bad)).status_code == 422, bad
    chosen = (await api.put("/backoffice/api/retention", json={"days": 30})).json()
    assert (chosen["kept_days"], chosen["chosen_by"]) == (30, "api")
    async with pool.acquire() as connection:
        await maintain(connection, now=NOW, limit=None)
        assert await connection.fetchval("SELECT count(*) FROM predictions") == 0
    again = await api.put("/backoffice/api/retention", json={"days": 30})
    assert again.status_code == 200
    await api.put("/backoffice/api/retention", json={"days": None})
    lines = (await api.get("/backoffice/api/audit?action=retention.changed")).json()["lines"]
    assert [line["evidence"] for line in lines] == [
        {"before": 30, "after": None},
        {"before": None, "after": 30},
    ]


async def test_a_page_that_nobody_answered_does_not_change_retention(admin: Browser) -> None:
    page = await admin.client.get("/backoffice/retention/change?days=1")
    assert page.status_code == 200
    assert (await admin.client.get("/backoffice/api/retention")).json() == {}
    for bad in ("x", "0", "99999", "１"):
        assert (await admin.send("/backoffice/retention", days=bad)).status_code == 422
    assert (await admin.client.get("/backoffice/api/retention")).json() == {}


@pytest.mark.parametrize(
    ("language", "days", "said", "asked"),
    [
        ("en", 1, "1 day", "Keep predictions for 1 day?"),
        ("en", 30, "30 days", "Keep predictions for 30 days?"),
        ("it", 1, "1 giorno", "Conservare le previsioni per 1 giorno?"),
        ("it", 30, "30 giorni", "Conservare le previsioni per 30 giorni?"),
    ],
)
async def test_one_day_is_said_as_one_day(
    admin: Browser, api: httpx.AsyncClient, language: str, days: int, said: str, asked: str
) -> None:
    preview = f"/backoffice/retention/change?days={days}&lang={language}"
    assert f"<h1>{asked}</h1>" in (await admin.client.get(preview)).text
    await api.put("/backoffice/api/retention", json={"days": days})
    shown = (await admin.client.get(f"/backoffice/retention?lang={language}")).text
    assert f'<p class="big">{said}</p>' in shown


async def test_the_audit_log_is_exported_whole_filtered_and_harmless(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    async with transaction(pool) as connection:
        for number in range(1200):
            await Audit(connection).record("=1+1", "user.created", f"u{number}", {"note": XSS})
    csv = await api.get("/backoffice/api/audit/export", params={"actor": "=1+1"})
    assert csv.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(
        r'attachment; filename="audit-\d{4}-\d\d-\d\d.csv"', csv.headers["content-disposition"]
    )
    lines = csv.text.splitlines()
    assert len(lines) == 1201
    assert all(",'=1+1," in line for line in lines[1:])
    jsonl = await api.get(
        "/backoffice/api/audit/export", params={"actor": "=1+1", "format": "jsonl"}
    )
    rows = [json.loads(line) for line in jsonl.text.splitlines()]
    assert [row["subject"] for row in rows] == [f"u{number}" for number in range(1199, -1, -1)]
    assert rows[0]["actor"] == "=1+1"
    bad = await api.get("/backoffice/api/audit/export?format=xml")
    assert bad.status_code == 422


async def test_the_audit_page_takes_odd_filters_calmly(api: httpx.AsyncClient) -> None:
    for query in (
        "since=never&until=9999-12-31",
        "actor=%00",
        "actor=" + "x" * 200,
        "before=1",
        f"subject={XSS}",
    ):
        page = await api.get(f"/backoffice/audit?{query}")
        assert page.status_code in {200, 422}, query
        assert "<script>alert(1)" not in page.text


async def test_pages_say_what_went_wrong_in_the_readers_language(
    admin: Browser, api: httpx.AsyncClient
) -> None:
    admin.client.headers["accept-language"] = "it-IT"
    for path, status, sentence in (
        ("/backoffice/nowhere", 404, "Questa pagina non esiste."),
        ("/backoffice/audit?before=x", 422, "Una parte di questo indirizzo"),
        ("/backoffice/users/nobody", 404, "Non esiste un account nobody."),
    ):
        page = await admin.client.get(path)
        assert (page.status_code, sentence in page.text) == (status, True), page.text
    refused = await admin.send("/backoffice/users/admin/disable")
    assert "Qui nessuno modifica il proprio account" in refused.text
    assert (await api.get("/backoffice/api/users/nobody")).json()["detail"] == (
        "There is no user 'nobody'."
    )


def test_every_deed_has_words_in_both_languages() -> None:
    """Whatever is written into the audit log anywhere can be read by people."""
    sources = "\n".join(path.read_text() for path in SERVICES.rglob("src/**/*.py"))
    recorded = re.findall(r'record\(\s*[^,()]+(?:\([^()]*\))?,\s*"([a-z_]+\.[a-z_]+)"', sources)
    phases = [f"model_version.{to_snake(phase)}" for phase in ModelVersionPhase]
    assert {"user.created", "training_job.created", "model_version.approved"} <= set(recorded)
    for action in {*recorded, *phases}:
        for language in LANGUAGES:
            assert f"audit.{action}" in TABLES[language], (language, action)


def to_snake(text: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", text).lower()


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    english, italian = TABLES["en"], TABLES["it"]
    assert english.keys() == italian.keys()
    for key, sentence in english.items():
        gaps, others = (set(re.findall(r"{(\w+)}", one)) for one in (sentence, italian[key]))
        assert gaps == others, key
        assert sentence.strip(), key


def test_the_limiter_says_how_long_to_wait() -> None:
    limiter = LoginLimiter(failures=1, clock=lambda: 0)
    limiter.failed("a")
    with pytest.raises(Overloaded) as error:
        limiter.check("a")
    assert slow_down(error.value, Words("it", TABLES)).endswith("riprova tra 10 minuti.")


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox 145, Linux"),
        (("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 "
         "Safari/537.36 Edg/143.0.0.0"), "Edge 143, Windows"),
        (("Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/26.1 Mobile/15E148 Safari/604.1"), "Safari 26, iPhone"),
        ("curl/8.5.0", "curl 8"),
        ("", ""),
        ("x" * 500, "x" * 80),
    ],
)  # fmt: skip
def test_browsers_are_called_by_their_names(user_agent: str, name: str) -> None:
    assert browser_of(user_agent) == name
