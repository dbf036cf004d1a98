"""Version pages and their API: evidence, what an action will do, doing it, and where things come from."""

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentops_backoffice.card import render_card
from sentops_core.domain.resources import DesiredState, ModelVersionPhase
from sentops_core.store.audit import Audit
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import Predictions
from tests.services.backoffice.model_pages import NOW, add_texts, add_trained
from tests.services.backoffice.support import XSS, Browser, RecordingTrainer
from tests.support.builders import a_fast_path_report, a_model_version
from tests.support.rows import a_prediction

pg = pytest.mark.pg
Phase = ModelVersionPhase


# The card


def test_a_card_becomes_headings_lists_and_tables_below_the_pages_own() -> None:
    found = render_card("# Model\n\n## Data\n\n- one\n\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n")
    assert "<h3>Model</h3>" in found
    assert "<h4>Data</h4>" in found
    assert "<td>1</td>" in found
    assert "style=" not in found


@pytest.mark.parametrize(
    "hostile",
    [
        XSS,
        "[click](javascript:alert(1))",
        "[click](https://evil.example)",
        "![x](https://evil.example/x.png)",
        "<https://evil.example>",
        "[a]: https://evil.example 'x'\n\n[a]",
        '<div style="x" onclick="y">',
        "`<img src=x>`",
        "# <svg onload=alert(1)>",
        "| <b>a</b> |\n|---|\n| <script>1</script> |",
    ],
)
def test_nothing_in_a_card_becomes_markup_address_or_picture(hostile: str) -> None:
    found = render_card(hostile)
    names = set(re.findall(r"<\s*/?\s*([a-z0-9]+)", found.lower()))
    assert names <= {"p", "h3", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert not re.search(r"<[^>]*\s(href|src|style|on\w+)=", found)


class _Parts(HTMLParser):
    """Elements and attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(f"{tag} {name}" for name, _ in attrs)}

    def handle_decl(self, decl: str) -> None:
        self.seen.add(decl)

    handle_comment = handle_pi = unknown_decl = handle_decl


_OF_A_CARD = {
    *("p", "br", "hr", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
    *("ol start", "code class"),  # where a list begins, and what a block of code is written in
}
_MARKDOWN = st.lists(
    st.sampled_from(
        (
            *("<script>", "</p>", "<a href=x>", "<!--", "-->", "<!DOCTYPE", "<?", "javascript:", '"', "'", "&lt;"),
            *("&#60;img src=x&#62;", "[x](y)", "![x](y)", "<https://x>", "[x]: y", "[x]", "```", "~~~", "`", "    "),
            *("# ", "> ", "- ", "99. ", "| a ", "|\n|:-:|\n", "===\n", "---\n", "*", "_", "\\", "\t", "a", " ", "\n"),
        )
    )
    | st.characters(codec="utf-8"),
    max_size=40,
).map("".join)  # fmt: skip


@given(_MARKDOWN)
@example('```"><script>alert(1)</script>\nx\n```')
@example("``` x onload=alert(1)\nx\n```")
def test_whatever_a_card_says_only_harmless_elements_come_of_it(markdown: str) -> None:
    parts = _Parts()
    parts.feed(render_card(markdown))
    parts.close()
    assert parts.seen <= _OF_A_CARD


# One version


async def fill(pool: Pool, folder: Path) -> None:
    """v1 served, v2 serves, v3 failed the gate, v4 waits for a person."""
    async with transaction(pool) as connection:
        await add_texts(connection)
        await add_trained(connection, folder, 1, wrong=(1, 2, 3), phase=Phase.ARCHIVED)
        await add_trained(
            connection,
            folder,
            2,
            wrong=(1, 2),
            phase=Phase.LIVE,
            card=f"# C\n\n{XSS}",
            fast_path=a_fast_path_report(),
        )
        slow = a_fast_path_report(used=False, message=f"It costs 0.012 {XSS}")
        await add_trained(connection, folder, 3, wrong=range(25), fast_path=slow)
        await add_trained(connection, folder, 4, wrong=(1,))


@pg
async def test_the_list_shows_state_verdict_and_who_served_when(
    admin: Browser, pool: Pool, tmp_path: Path, api: httpx.AsyncClient
) -> None:
    assert "None yet." in (await admin.client.get("/backoffice/versions")).text
    await fill(pool, tmp_path)
    page = (await admin.client.get("/backoffice/versions")).text
    names = re.findall(r'<th scope="row"><a href="/backoffice/versions/([^"]+)">', page)
    assert names == ["sentiment-v2", "sentiment-v1"] + [f"sentiment-v{n}" for n in (4, 3, 2, 1)]
    assert "Not passed" in page
    assert "serves now" in page
    assert page.count('<rect class="fill') == 2
    spells = (await api.get("/backoffice/api/serving-history")).json()["spells"]
    assert [one["version"] for one in spells] == ["sentiment-v1", "sentiment-v2"]
    assert spells[0]["until"] == spells[1]["since"]
    first = (await api.get("/backoffice/api/versions?limit=3")).json()
    assert (len(first["versions"]), first["next"]) == (3, 2)
    rest = (await api.get(f"/backoffice/api/versions?before={first['next']}")).json()
    assert [one["metadata"]["name"] for one in rest["versions"]] == ["sentiment-v1"]


@pg
async def test_a_version_shows_its_evidence(
    admin: Browser, pool: Pool, tmp_path: Path, api: httpx.AsyncClient
) -> None:
    await fill(pool, tmp_path)
    page = (await admin.client.get("/backoffice/versions/sentiment-v3")).text
    assert "A rule is broken for certain" in page
    assert "Macro-F1 is 0.167; at least 0.500 is asked for." in page
    assert "Of the rows labelled" in page
    assert 'class="confusion"' in page
    assert "training-3" in page
    assert "Fast path" in page
    assert "not used" in page
    assert "It costs 0.012 &lt;script" in page
    page = (await admin.client.get("/backoffice/versions/sentiment-v2?lang=it")).text
    assert XSS not in page
    assert "Risponde a tutti" in page
    assert "Il verdetto del controllo" in page
    assert "0,933" in page
    assert "Via rapida" in page
    assert "62,5\N{NO-BREAK SPACE}%" in page
    assert "Via rapida" not in (await admin.client.get("/backoffice/versions/sentiment-v1")).text
    found = (await api.get("/backoffice/api/versions/sentiment-v2")).json()
    assert (found["champion"], found["traffic_percent"]) == (True, 100)
    assert found["actions"] == ["rollback"]
    assert found["evaluation"]["rows"] == 30
    assert found["fast_path"]["fullMacroF1"] == 0.75
    card = await api.get("/backoffice/api/versions/sentiment-v2/card")
    assert card.text.startswith("# C")
    lineage = (await api.get("/backoffice/api/versions/sentiment-v2/lineage")).json()
    assert lineage["training_job"]["name"] == "training-2"


@pg
async def test_a_damaged_or_missing_artefact_costs_only_the_card(
    admin: Browser, pool: Pool, tmp_path: Path, api: httpx.AsyncClient
) -> None:
    async with transaction(pool) as connection:
        trained = await add_trained(connection, tmp_path, 1)
        await ModelVersions(connection).create(a_model_version(2), created_by="ada")
    folder = Path(trained.artifact.storage_uri.removeprefix("file://"))
    (folder / "card.md").write_text("# Other\n")
    for name in ("sentiment-v1", "sentiment-v2"):
        page = await admin.client.get(f"/backoffice/versions/{name}")
        assert (page.status_code, "artefact cannot be read" in page.text) == (200, True)
        answer = await api.get(f"/backoffice/api/versions/{name}/card")
        assert (answer.status_code, answer.json()["code"]) == (422, "artifact_invalid")
    for path in ("versions/sentiment-v9", "training/nothing"):
        page = await admin.client.get(f"/backoffice/{path}?lang=it")
        assert (page.status_code, "Non c’è ness" in page.text) == (404, True)


@pg
async def test_the_buttons_of_a_version_are_what_the_control_plane_would_grant(
    admin: Browser, pool: Pool, tmp_path: Path
) -> None:
    await fill(pool, tmp_path)

    async def buttons(number: int) -> list[str]:
        page = (await admin.client.get(f"/backoffice/versions/sentiment-v{number}")).text
        return re.findall(rf'href="/backoffice/versions/sentiment-v{number}/(\w+)"', page)

    assert await buttons(1) == ["promote"]
    assert await buttons(2) == ["rollback"]
    assert await buttons(3) == ["promote", "archive"]
    assert await buttons(4) == ["approve", "promote", "archive"]
    async with transaction(pool) as connection:
        versions = ModelVersions(connection)
        await versions.set_desired_state("sentiment-v4", DesiredState.ARCHIVED)
        await versions.set_desired_state("sentiment-v1", DesiredState.ARCHIVED)
    assert await buttons(4) == ["promote"]
    assert await buttons(2) == []  # nothing to return to


@pg
async def test_before_anything_changes_it_is_said_what_will_happen_and_to_whom(
    admin: Browser, pool: Pool, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    await fill(pool, tmp_path)
    async with transaction(pool) as connection:
        recent = [a_prediction(NOW, f"text {n}", model_version="sentiment-v2") for n in range(7)]
        await Predictions(connection).copy_in(recent)

    async def question(number: int, action: str) -> str:
        page = await admin.client.get(f"/backoffice/versions/sentiment-v{number}/{action}")
        assert page.status_code == 200
        return page.text

    page = await question(4, "promote")
    assert "Then everybody is answered by sentiment-v4" in page
    assert "sentiment-v2, which answered 7 texts in the last 24 hours" in page
    page = await question(2, "rollback")
    assert "Everybody is answered by sentiment-v1 again" in page
    assert "Nobody is answered by it now" in await question(4, "archive")
    assert "Your name and your reason" in await question(4, "approve")
    page = await question(3, "promote")
    assert 'name="force"' in page
    assert "Promote it all the same" in page
    page = await question(1, "rollback")
    assert "This is not possible now" in page
    assert trainer.asked == []


@pg
async def test_what_was_confirmed_is_asked_for_with_its_reason(
    admin: Browser, api: httpx.AsyncClient, pool: Pool, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    await fill(pool, tmp_path)
    address = "/backoffice/versions/sentiment-v3/promote"
    answer = await admin.send(address, force="yes", reason="The rows are old.")
    assert answer.headers["location"] == ("/backoffice/versions/sentiment-v3?done=versions.promote")
    await admin.send("/backoffice/versions/sentiment-v2/rollback", force="yes")
    wish = {"reason": "Too bold.", "force": True}
    await api.post("/backoffice/api/versions/sentiment-v3/promote", json=wish)
    for action in ("approve", "archive", "rollback"):
        await api.post(f"/backoffice/api/versions/sentiment-v4/{action}")
    refused = await api.post("/backoffice/api/versions/sentiment-v4/archive", json={"force": True})
    assert refused.status_code == 422
    assert trainer.asked == [
        (
            "/model-versions/sentiment-v3/promote",
            {"reason": "The rows are old.", "force": True},
            "admin",
        ),
        ("/model-versions/sentiment-v2/rollback", None, "admin"),
        ("/model-versions/sentiment-v3/promote", wish, "api"),
        ("/model-versions/sentiment-v4/approve", None, "api"),
        ("/model-versions/sentiment-v4/archive", None, "api"),
        ("/model-versions/sentiment-v4/rollback", None, "api"),
    ]


@pg
async def test_a_refused_wish_keeps_the_reason_that_was_typed(
    admin: Browser, pool: Pool, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    await fill(pool, tmp_path)
    trainer.refuse = (409, "sentiment-v4 is being rolled out.")
    answer = await admin.send("/backoffice/versions/sentiment-v3/promote", reason="Look: " + XSS)
    assert answer.status_code == 409
    assert "sentiment-v4 is being rolled out." in answer.text
    assert "Look: &lt;script&gt;" in answer.text
    assert XSS not in answer.text
    trainer.asked.clear()
    address = "/backoffice/versions/sentiment-v3/promote?lang=it"
    answer = await admin.send(address, force="yes", reason="x" * 501)
    assert (answer.status_code, "al massimo 500 caratteri" in answer.text) == (422, True)
    assert trainer.asked == []


@pg
async def test_a_rollback_waits_for_what_is_being_rolled_out(
    admin: Browser, pool: Pool, tmp_path: Path
) -> None:
    await fill(pool, tmp_path)
    async with transaction(pool) as connection:
        await add_trained(connection, tmp_path, 5, phase=Phase.CANARY)
    page = (await admin.client.get("/backoffice/versions/sentiment-v2/rollback")).text
    assert "sentiment-v5 is being rolled out" in page


@pg
async def test_a_version_that_was_taken_back_says_why(
    admin: Browser, pool: Pool, tmp_path: Path
) -> None:
    await fill(pool, tmp_path)
    async with transaction(pool) as connection:
        audit = Audit(connection)
        evidence = {"to": "sentiment-v1", "why": f"Worse. {XSS}", "reason": "RolledBack"}
        await audit.record("ada", "model_version.rolled_back", "sentiment-v2", evidence)
        await audit.record("sentops", "model_version.live", "sentiment-v1")
    for path in ("versions", "versions/sentiment-v2"):
        page = (await admin.client.get(f"/backoffice/{path}")).text
        assert "Worse. &lt;script&gt;" in page
        assert XSS not in page


# Where an answer comes from


@pg
async def test_an_answer_leads_to_its_version_training_and_rows(
    admin: Browser, pool: Pool, tmp_path: Path
) -> None:
    await fill(pool, tmp_path)
    one = a_prediction(NOW, f"Great {XSS}", model_version="sentiment-v2", path="fast")
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in([one])
    link = f"https://example.org/predictions/{one.id.hex}-{'0' * 16}"
    answer = await admin.client.get("/backoffice/lineage", params={"prediction": link})
    assert answer.headers["location"] == f"/backoffice/lineage/{one.id}"
    page = (await admin.client.get(answer.headers["location"])).text
    for expected in ("sentiment-v2", "training-2", "Great &lt;script&gt;", "by its fast path"):
        assert expected in page
    assert XSS not in page


@pg
async def test_an_unknown_answer_is_said_to_be_unknown(admin: Browser) -> None:
    for path in ("lineage?prediction=hello", f"lineage/{'0' * 32}", "lineage/x"):
        page = await admin.client.get(f"/backoffice/{path}")
        assert (page.status_code, "There is no such answer here" in page.text) == (404, True)
    assert (await admin.client.get("/backoffice/lineage")).status_code == 200
