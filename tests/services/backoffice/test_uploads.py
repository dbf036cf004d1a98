"""Uploads in two steps, on the page and for programs, and what people send who mean harm."""

import io
import zipfile
from datetime import timedelta
from pathlib import Path

import httpx
import openpyxl
import pytest
from structlog.testing import capture_logs

from sentops_backoffice import staging
from sentops_backoffice.uploads import shown_name
from sentops_core.store.pool import Pool, transaction
from tests.services.backoffice.support import (
    XSS,
    Backoffice,
    Browser,
    RecordingTrainer,
    a_backoffice,
    labelled_csv,
)
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg

API = "/backoffice/api/datasets/uploads"
PAGES = "/backoffice/datasets/uploads"


async def staged(
    client: httpx.AsyncClient, content: bytes, filename: str = "texts.csv", **fields: str
) -> httpx.Response:
    return await client.post(API, files={"file": (filename, content)}, data=fields)


async def sent(browser: Browser, content: bytes, filename: str = "texts.csv") -> httpx.Response:
    return await browser.client.post(
        PAGES, files={"file": (filename, content)}, data={"csrf": await browser.csrf()}
    )


def in_stars(count: int = 100) -> bytes:
    """Labels as 1, 3 and 5, in columns that nobody could guess."""
    stars = {"negative": "1", "neutral": "3", "positive": "5"}
    lines = labelled_csv(count).decode().splitlines()[1:]
    rows = [line.rsplit(",", 1) for line in lines]
    return ("a;b\n" + "".join(f"{text};{stars[label]}\n" for text, label in rows)).encode()


async def test_programs_look_choose_and_confirm(api: httpx.AsyncClient) -> None:
    answer = await staged(api, in_stars(), "recensioni.csv")
    assert answer.status_code == 201, answer.text
    upload = answer.json()
    assert upload["preview"]["problem_saying"] == "label_column_unknown"
    assert upload["preview"]["columns"] == ["a", "b"]
    assert upload["choices"]["label_map"] == {}
    chosen = {"text_column": "a", "label_column": "b", "origin": "negozio"}
    looked = (await api.put(f"{API}/{upload['id']}/choices", json=chosen)).json()
    assert looked["preview"]["report"]["kept"] == 100
    assert {one["raw"]: one["meaning"] for one in looked["preview"]["labels"]} == {
        "1": "negative",
        "3": "neutral",
        "5": "positive",
    }
    assert (await api.get(f"{API}/{upload['id']}")).json() == looked
    (listed,) = (await api.get(API)).json()["uploads"]
    assert (listed["id"], listed["filename"]) == (upload["id"], "recensioni.csv")
    made = await api.post(f"{API}/{upload['id']}/version")
    assert (made.status_code, made.json()["version"], made.json()["origin"]) == (
        201,
        "v1",
        "negozio",
    )
    assert (await api.get(API)).json() == {"uploads": []}
    assert (await api.post(f"{API}/{upload['id']}/version")).status_code == 404


async def test_what_is_wrong_with_choices_is_said_and_loses_nothing(api: httpx.AsyncClient) -> None:
    upload = (await staged(api, in_stars())).json()["id"]
    for wrong in ({"label_column": "z"}, {"label_column": "a", "text_column": "a"}):
        looked = await api.put(f"{API}/{upload}/choices", json=wrong)
        assert (looked.status_code, bool(looked.json()["preview"]["problem"])) == (200, True)
    for wrong, status in (
        ({"label_column": "b", "text_column": "a", "label_map": {"1": "furious"}}, 422),
        ({"parent": "v9"}, 404),
        ({"colour": "red"}, 422),
        ({"name": "Not A Name"}, 422),
    ):
        assert (await api.put(f"{API}/{upload}/choices", json=wrong)).status_code == status, wrong
    assert (await api.get(f"{API}/{upload}")).status_code == 200


async def test_a_version_that_cannot_be_made_keeps_the_upload(api: httpx.AsyncClient) -> None:
    upload = (await staged(api, labelled_csv(5))).json()["id"]
    answer = await api.post(f"{API}/{upload}/version")
    assert (answer.status_code, "at least 20" in answer.json()["detail"]) == (422, True)
    assert (await api.get(f"{API}/{upload}")).status_code == 200
    assert (await api.delete(f"{API}/{upload}")).status_code == 204
    assert (await api.delete(f"{API}/{upload}")).status_code == 404


async def test_an_upload_is_seen_by_its_owner_alone(api: httpx.AsyncClient, admin: Browser) -> None:
    upload = (await staged(api, labelled_csv())).json()["id"]
    for path in (f"{PAGES}/{upload}", f"{API}/{upload}", f"{PAGES}/{upload}/refused.csv"):
        assert (await admin.client.get(path)).status_code == 404, path
    for action in ("look", "confirm"):
        assert (await admin.send(f"{PAGES}/{upload}/{action}")).status_code == 404
    await admin.send(f"{PAGES}/{upload}/discard")
    assert (await api.get(f"{API}/{upload}")).status_code == 200
    assert "texts.csv" not in (await admin.client.get("/backoffice/datasets/new")).text


async def test_choices_on_the_page_go_by_the_place_of_columns_and_labels(admin: Browser) -> None:
    content = in_stars().decode().replace(";5\n", ";ottimo!\n").replace(";1\n", ";<b>\n")
    upload = (await sent(admin, f"{content}x;boh\n".encode())).headers["location"]
    page = (await admin.client.get(upload)).text
    assert "No column looks like the label: choose one." in page
    looked = await admin.send(f"{upload}/look", text_column="0", label_column="1")
    assert looked.headers["location"].endswith("?done=upload_read")
    page = (await admin.client.get(upload)).text
    assert "What “&lt;b&gt;” means" in page
    labels = [one.split("”")[0] for one in page.split('aria-label="What “')[1:]]
    meanings = {"&lt;b&gt;": "negative", "3": "neutral", "ottimo!": "positive", "boh": "-"}
    fields = {f"meaning-{place}": meanings[label] for place, label in enumerate(labels)}
    wrong = await admin.send(
        f"{upload}/look", text_column="0", label_column="1", **(fields | {"meaning-0": XSS})
    )
    assert (wrong.status_code, "<script>alert" in wrong.text) == (422, False)
    made = await admin.send(
        f"{upload}/confirm", text_column="0", label_column="1", name="stelle", **fields
    )
    assert made.headers["location"] == "/backoffice/datasets/v1?done=dataset_made", made.text
    page = (await admin.client.get("/backoffice/datasets/v1")).text
    assert "label left out on purpose: 1" in page
    table = (await admin.client.get("/backoffice/datasets/v1/refused.csv")).text
    assert 'label_left_out,"rows labelled ""boh"" are left out, as chosen"' in table


async def test_a_reload_finds_file_and_choices(admin: Browser) -> None:
    upload = (await sent(admin, in_stars())).headers["location"]
    await admin.send(f"{upload}/look", text_column="0", label_column="1", origin="dal negozio")
    page = (await admin.client.get(upload)).text
    assert "100 of 100 rows can be used" in page
    assert 'value="dal negozio"' in page
    new = (await admin.client.get("/backoffice/datasets/new")).text
    assert upload in new
    assert upload in (await admin.client.get("/backoffice/datasets")).text


async def test_all_numbers_can_be_called_stars_at_once(admin: Browser) -> None:
    content = in_stars().replace(b";5\n", b";2\n").replace(b"a;b", b"text;class")
    upload = (await sent(admin, content)).headers["location"]
    assert "are not clearly 1 to 5 stars" in (await admin.client.get(upload)).text
    await admin.send(f"{upload}/look", text_column="0", label_column="1", stars="1")
    page = (await admin.client.get(upload)).text
    assert "100 of 100 rows can be used" in page


async def test_a_failed_confirmation_stays_on_the_page_with_the_choices(admin: Browser) -> None:
    upload = (await sent(admin, labelled_csv(5))).headers["location"]
    answer = await admin.send(f"{upload}/confirm", text_column="0", label_column="1", origin="qui")
    assert (answer.status_code, "at least 20 are needed" in answer.text) == (422, True)
    assert 'value="qui"' in answer.text
    assert 'value="qui"' in (await admin.client.get(upload)).text


async def test_what_goes_wrong_is_said_in_the_reader_s_language(admin: Browser) -> None:
    admin.client.headers["accept-language"] = "it"
    empty = await sent(admin, b"")
    assert (empty.status_code, "Il file è vuoto" in empty.text) == (422, True)
    upload = (await sent(admin, labelled_csv(5, extra="x,boh\n"))).headers["location"]
    page = (await admin.client.get(upload)).text
    assert "«boh» non è un’etichetta conosciuta" in page
    answer = await admin.send(f"{upload}/confirm", text_column="0", label_column="1")
    assert "Solo 5 testi diversi" in answer.text


async def test_uploads_are_bounded_in_number(
    admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(staging.MOST_PER_PERSON):
        assert (await sent(admin, labelled_csv(), f"{number}.csv")).status_code == 303
    one_more = await sent(admin, labelled_csv())
    assert (one_more.status_code, "5 uploads of yours wait already" in one_more.text) == (409, True)
    assert "4.csv" in one_more.text  # what could be discarded


async def test_uploads_are_bounded_in_bytes(
    admin: Browser, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_MOST_BYTES", len(labelled_csv()) + 10)
    assert (await sent(admin, labelled_csv())).status_code == 303
    assert (await staged(api, labelled_csv())).status_code == 409


async def test_uploads_are_bounded_in_time(
    admin: Browser, pool: Pool, backoffice: Backoffice
) -> None:
    upload = (await sent(admin, labelled_csv())).headers["location"]
    async with transaction(pool) as connection:
        await connection.execute("UPDATE staged_uploads SET expires_at = now() - interval '1 s'")
    gone = await admin.client.get(upload)
    assert (gone.status_code, "Send the file again" in gone.text) == (404, True)
    assert (await sent(admin, labelled_csv())).status_code == 303  # makes room as well
    async with transaction(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM staged_uploads") == 1


async def test_old_uploads_go_by_themselves_also_after_a_database_in_trouble(
    admin: Browser, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(admin, labelled_csv())
    async with transaction(pool) as connection:
        await connection.execute("UPDATE staged_uploads SET expires_at = now() - interval '1 s'")
        await connection.execute("ALTER TABLE staged_uploads RENAME TO elsewhere")
    monkeypatch.setattr(staging, "_TIDIED_EVERY", timedelta(milliseconds=20))
    with capture_logs() as told:
        async with staging.tidied(pool):
            await eventually(lambda: any(one["event"] == "uploads_not_tidied" for one in told))
            async with transaction(pool) as connection:
                await connection.execute("ALTER TABLE elsewhere RENAME TO staged_uploads")
            await eventually(lambda: {"uploads_expired"} <= {one["event"] for one in told})


async def test_an_upload_survives_a_restart(
    database_url: str, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    async with a_backoffice(database_url, tmp_path, trainer.url) as first, first.api() as api:
        upload = (await staged(api, labelled_csv())).json()["id"]
    async with a_backoffice(database_url, tmp_path, trainer.url) as second, second.api() as api:
        assert (await api.post(f"{API}/{upload}/version")).status_code == 201


def a_bomb() -> bytes:
    """A workbook that says to unpack to a gigabyte."""
    book = openpyxl.Workbook()
    content = io.BytesIO()
    book.save(content)
    with (
        zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet9.xml", "w", force_zip64=True) as sheet,
    ):
        for _ in range(600):
            sheet.write(bytes(1 << 20))
    return content.getvalue()


BAD = [
    (b"", "x.csv", 422, "is empty"),
    (b"\x7fELF" + bytes(500), "x.csv", 415, "a program"),
    (bytes(range(256)) * 20, "x.csv", 415, "binary"),
    (b"MZ\x90\x00" + bytes(900), "harmless.csv", 415, "binary"),
    (b"PK\x03\x04" + bytes(50), "x.xlsx", 422, "workbook"),
    (b"text,label\nx,pos\n", "x.csv.exe", 415, "no known kind"),
    (b"text\nonly one column\n", "x.csv", 422, "one column"),
]


@pytest.mark.parametrize(("content", "name", "status", "sentence"), BAD)
async def test_what_is_no_table_is_refused_by_both_and_not_kept(
    admin: Browser,
    api: httpx.AsyncClient,
    content: bytes,
    name: str,
    status: int,
    sentence: str,
) -> None:
    page = await sent(admin, content, name)
    assert (page.status_code, sentence in page.text) == (status, True), page.text
    answer = await staged(api, content, name)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await api.get(API)).json() == {"uploads": []}


async def test_a_workbook_that_unpacks_to_too_much_is_refused(
    database_url: str, tmp_path: Path, trainer: RecordingTrainer
) -> None:
    async with (
        a_backoffice(database_url, tmp_path, trainer.url) as backoffice,
        backoffice.api() as api,
    ):
        answer = await staged(api, a_bomb(), "bomb.xlsx")
        assert (answer.status_code, "unpacks to more than" in answer.json()["detail"]) == (
            413,
            True,
        )


@pytest.mark.parametrize(
    ("sent_as", "shown"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\Users\\x\\dati.csv", "dati.csv"),
        ("a\u202evsc.exe", "avsc.exe"),
        ("a\x00b\n.csv", "ab .csv"),
        ("/", "?"),
        (XSS + ".csv", "script><img src=x onerror=alert(2)>.csv"),
    ],
)
def test_file_names_are_shown_without_what_misleads(sent_as: str, shown: str) -> None:
    assert shown_name(sent_as) == shown


def test_a_long_file_name_keeps_its_end() -> None:
    shown = shown_name("x" * 5000 + ".csv")
    assert len(shown) == 120
    assert shown.endswith("x.csv")


async def test_a_hostile_file_name_is_only_text(admin: Browser) -> None:
    upload = (await sent(admin, labelled_csv(), '"><svg onload=alert(1)>.csv')).headers["location"]
    for path in (upload, "/backoffice/datasets/new", "/backoffice/datasets"):
        page = (await admin.client.get(path)).text
        assert "<svg onload" not in page
        assert "&lt;svg onload=alert(1)&gt;.csv" in page


def a_scope(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    """A POST to the page's uploads, below the level of any client."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": PAGES,
        "raw_path": PAGES.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 8001),
        "client": ("127.0.0.1", 1),
        "headers": [(b"content-type", b"multipart/form-data; boundary=x"), *headers],
        "state": {},
    }


async def test_an_upload_that_is_cut_off_is_no_error_of_ours(
    admin: Browser, backoffice: Backoffice, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = [
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="x.csv"\r\n\r\ntext,la',
        None,
    ]
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        piece = pieces.pop(0) if pieces else None
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    cookie = "; ".join(f"{name}={value}" for name, value in admin.client.cookies.items())
    await backoffice.app(a_scope((b"cookie", cookie.encode())), receive, send)  # type: ignore[operator]
    assert sent[0]["status"] == 400
    assert "request_failed" not in capsys.readouterr().out
    async with transaction(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM staged_uploads") == 0


async def test_a_page_s_upload_that_is_too_large_gets_a_page_before_it_is_read(
    admin: Browser, backoffice: Backoffice
) -> None:
    read = 0

    async def receive() -> dict[str, object]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": read < 50}

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            assert read == 0  # the sentence leaves first
        sent.append(message)

    scope = a_scope((b"content-length", b"209715200"), (b"accept-language", b"it"))
    await backoffice.app(scope, receive, send)  # type: ignore[operator]
    assert sent[0]["status"] == 413
    body = b"".join(message.get("body", b"") for message in sent[1:])  # type: ignore[misc]
    assert "troppo grande" in body.decode()
    headers = dict(sent[0]["headers"])  # type: ignore[call-overload]
    assert headers[b"content-length"] == str(len(body)).encode()
    api = await admin.client.post(API, content=b"x" * 500_000)
    assert (api.status_code, api.json()["code"]) == (413, "too_large")
