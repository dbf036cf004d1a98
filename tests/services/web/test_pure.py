"""The parts of web that only compute: splitting, signing, tables, words, limits, languages."""

import csv
import io
import re
import string
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentops_core.domain.errors import NotFound, PlatformError
from sentops_core.domain.resources import Routing, Variant
from sentops_core.domain.text import content_hash
from sentops_core.http.i18n import LANGUAGES, pick_language
from sentops_core.language import language_detector
from sentops_core.store.predictions import PredictionRow, moment_of
from sentops_web.i18n import TABLES
from sentops_web.rates import Allowance, Rate, TooManyRequests
from sentops_web.records import prediction_of, prediction_record
from sentops_web.routing import NoModel, adds_up, bucket_of, choose
from sentops_web.signing import Signer, new_uuid
from sentops_web.tables import (
    TableColumns,
    TableEmpty,
    TableInvalid,
    TableTooLong,
    csv_line,
    decode,
    neutral,
    read_lines,
    read_table,
)
from sentops_web.view import percent, sureness
from tests.services.web.fakes import a_digest, a_variant

SIGNER = Signer("k" * 32)
SOURCE = Path(__file__).parents[3] / "services/web/src/sentops_web"


def a_routing(weight: int, *, digest: str = "b", shadow: bool = False) -> Routing:
    candidate = a_variant(
        "http://m/slots/candidate",
        name="candidate",
        weight=weight,
        digest=a_digest(digest),
        shadow=shadow,
    )
    champion_weight = 100 if shadow else 100 - weight
    return Routing(revision=1, variants=(a_variant("http://m", weight=champion_weight), candidate))


# Splitting


def test_a_weight_of_five_is_exactly_the_buckets_zero_to_four() -> None:
    routing = a_routing(5)
    for number in range(3000):
        client = f"client-{number}"
        expected = "candidate" if bucket_of(client, a_digest("b")) < 5 else "champion"
        assert choose(routing, client).first.name == expected


@given(st.text())
def test_a_client_always_meets_the_same_variant(client: str) -> None:
    assert choose(a_routing(30), client).first == choose(a_routing(30), client).first


@given(st.text(), st.integers(0, 100), st.integers(0, 100))
def test_raising_the_weight_takes_nobody_away_from_the_candidate(
    client: str, one: int, other: int
) -> None:
    low, high = sorted((one, other))
    if choose(a_routing(low), client).first.name == "candidate":
        assert choose(a_routing(high), client).first.name == "candidate"


@given(st.text())
def test_zero_is_nobody_and_a_hundred_everybody(client: str) -> None:
    assert choose(a_routing(0), client).first.name == "champion"
    assert choose(a_routing(100), client).first.name == "candidate"


def test_the_split_is_even_over_many_clients() -> None:
    met = sum(choose(a_routing(20), f"c{n}").first.name == "candidate" for n in range(20_000))
    assert abs(met / 20_000 - 0.20) < 0.01


def test_another_candidate_is_tried_on_other_people() -> None:
    people = [f"c{n}" for n in range(2000)]

    def who(letter: str) -> set[str]:
        routing = a_routing(10, digest=letter)
        return {one for one in people if choose(routing, one).first.name == "candidate"}

    assert len(who("b") & who("c")) < len(who("b")) / 2


def test_a_shadow_answers_nobody_and_sees_everything() -> None:
    choice = choose(a_routing(0, shadow=True), "anybody")
    assert choice.first.name == "champion"
    assert [one.name for one in choice.shadows] == ["candidate"]


def test_a_candidate_falls_back_to_the_champion_and_the_champion_to_nobody() -> None:
    fallback = choose(a_routing(100), "c").fallback
    assert fallback is not None
    assert fallback.name == "champion"
    assert choose(a_routing(0), "c").fallback is None


def test_nothing_live_is_no_model() -> None:
    with pytest.raises(NoModel):
        choose(Routing(revision=3), "c")


def test_weights_must_add_up() -> None:
    assert adds_up(a_routing(40))
    assert adds_up(Routing(revision=1))
    lonely: Variant = a_variant("http://m", weight=90)
    assert not adds_up(Routing(revision=1, variants=(lonely,)))


# Signing


@given(st.uuids())
def test_a_signed_id_opens_to_itself(identity: UUID) -> None:
    assert SIGNER.open_prediction_id(SIGNER.prediction_id(identity)) == identity


@given(st.uuids(), st.integers(0, 48), st.sampled_from(string.printable))
def test_a_changed_id_does_not_open(identity: UUID, at: int, sign: str) -> None:
    real = SIGNER.prediction_id(identity)
    changed = real[:at] + sign + real[at + 1 :]
    if changed != real:
        with pytest.raises(NotFound):
            SIGNER.open_prediction_id(changed)


@given(st.text(max_size=80))
def test_a_guessed_id_does_not_open(text: str) -> None:
    with pytest.raises(NotFound):
        SIGNER.open_prediction_id(text)


def test_the_signature_is_the_one_of_the_contract() -> None:
    import hashlib
    import hmac

    identity = new_uuid()
    mac = hmac.new(b"k" * 32, identity.bytes, hashlib.sha256).hexdigest()[:16]
    assert SIGNER.prediction_id(identity) == f"{identity.hex}-{mac}"


def test_a_cookie_opens_only_with_our_key_and_unchanged() -> None:
    cookie = SIGNER.new_cookie()
    assert SIGNER.open_cookie(cookie) == cookie.split(".")[0]
    assert Signer("o" * 32).open_cookie(cookie) is None
    assert SIGNER.open_cookie("0" * 32 + cookie[32:]) is None
    assert SIGNER.open_cookie("") is None


def test_ids_sort_by_time_and_tell_it() -> None:
    ids = [new_uuid() for _ in range(50)]
    assert ids == sorted(ids)
    assert moment_of(ids[0]) <= moment_of(ids[-1])


# The spool's JSON


@given(st.text(min_size=1).filter(lambda text: text.isprintable()), st.floats(0, 1, width=32))
def test_a_prediction_survives_its_way_through_the_spool(text: str, score: float) -> None:
    identity = new_uuid()
    row = PredictionRow(
        id=identity,
        created_at=moment_of(identity),
        client="web-1",
        text=text,
        text_hash=content_hash(text),
        label="positive",
        score=score,
        scores={"positive": score},
        language=None,
        truncated=False,
        variant="champion",
        model_version="reviews-1",
        digest=a_digest(),
    )
    assert prediction_of(prediction_record(row)) == row


# Tables


@given(st.lists(st.text(), min_size=1))
def test_no_cell_given_back_starts_as_a_formula(cells: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(csv_line(cells), newline=""))
    assert len(row) == len(cells)
    for before, after in zip(cells, row, strict=True):
        assert not after.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert after in {before, f"'{before}"}


@pytest.mark.parametrize("cell", ["=1+1", "+39 06", "-5", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_is_made_text(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_usual_delimiter_is_read(delimiter: str) -> None:
    content = f"id{delimiter}Testo\n1{delimiter}buono\n".encode()
    table = read_table(content, column=None, max_rows=10)
    assert (table.header, list(table.texts())) == (("id", "Testo"), ["buono"])


def test_quotes_newlines_and_empty_rows_are_read() -> None:
    content = b'id,text\r\n1,"a ""b"",\nc"\r\n\r\n2,d\r\n'
    table = read_table(content, column=None, max_rows=10)
    assert list(table.texts()) == ['a "b",\nc', "d"]


def test_a_plain_list_needs_no_header() -> None:
    table = read_table(b"it broke, sadly\ngreat\n", column=None, max_rows=10)
    assert (table.header, list(table.texts())) == ((), ["it broke, sadly", "great"])


def test_short_rows_have_an_empty_text() -> None:
    assert list(read_table(b"id,text\n1\n", column=None, max_rows=9).texts()) == [""]


def test_a_table_without_a_telling_name_asks_for_the_column() -> None:
    with pytest.raises(TableColumns) as refused:
        read_table(b"a;b\n1;2\n", column=None, max_rows=10)
    assert refused.value.details == {"columns": ["a", "b"]}
    assert list(read_table(b"a;b\n1;2\n", column="B", max_rows=10).texts()) == ["2"]
    with pytest.raises(TableColumns, match="no column 'c'"):
        read_table(b"a;b\n1;2\n", column="c", max_rows=10)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(TableTooLong):
        read_table(b"text\n" + b"a\n" * 11, column=None, max_rows=10)
    with pytest.raises(TableTooLong):
        read_lines("a\n" * 11, max_rows=10)
    assert len(read_table(b"text\n" + b"a\n" * 10, column=None, max_rows=10).rows) == 10


def test_a_first_line_without_end_is_one_long_text() -> None:
    # In a process of its own: the csv module keeps the highest limit that anybody has set.
    code = (
        "from sentops_web.tables import read_table; "
        "print(len(next(read_table(b'a' * 200_000, column=None, max_rows=9).texts())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("200000", "")
    with pytest.raises(TableInvalid, match="field larger"):
        read_table(b"a" * 1_000_001, column=None, max_rows=9)


@pytest.mark.parametrize("content", [b"", b" \n \n", b"text\n"])
def test_a_file_without_texts_is_refused(content: bytes) -> None:
    with pytest.raises(TableEmpty):
        read_table(content, column=None, max_rows=10)


@pytest.mark.parametrize("content", [b"PK\x03\x04rest", b"\x00\x01\x02\x03"])
def test_a_file_that_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(PlatformError):
        read_table(content, column=None, max_rows=10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_usual_encodings_are_read(encoding: str) -> None:
    assert decode("però è così".encode(encoding)) == "però è così"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_clear_refusal(content: bytes) -> None:
    with suppress(PlatformError):
        table = read_table(content, column=None, max_rows=10)
        assert len(list(table.texts())) == len(table.rows) <= 10


# Words


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, italian = TABLES["en"], TABLES["it"]
    assert set(english) == set(italian)
    for key, sentence in english.items():
        assert placeholders(sentence) == placeholders(italian[key]), key


def placeholders(sentence: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", sentence))


def test_every_word_is_used_and_every_used_word_exists() -> None:
    sources = "".join(
        path.read_text()
        for path in SOURCE.rglob("*")
        if path.suffix in {".py", ".html", ".js"} and path.name != "i18n.py"
    )
    keys = set(TABLES["en"])
    used = set(re.findall(r"words\(\s*['\"]([\w.]+[\w])['\"]", sources))
    used |= set(re.findall(r"(?:words\[|say\()\"([\w.]+)\"", sources))
    assert used <= keys, used - keys
    built = ("label.", "language.", "problem.", "ask.example.", "answer.sure.", "training.", "why.")
    built += ("card.method.",)
    unused = {key for key in keys - used if not key.startswith(built)}
    assert not unused


@pytest.mark.parametrize(
    ("asked", "remembered", "accept", "language"),
    [
        (None, None, "", "en"),
        (None, None, "it-IT,it;q=0.9,en;q=0.8", "it"),
        (None, None, "de,it;q=0.3,en;q=0.7", "en"),
        (None, None, "fr;q=x, ;;, it;q=0", "en"),
        (None, "it", "en", "it"),
        ("en", "it", "it", "en"),
        ("xx", None, "it", "it"),
    ],
)
def test_the_language_is_the_chosen_the_remembered_or_the_browsers(
    asked: str | None, remembered: str | None, accept: str, language: str
) -> None:
    assert pick_language(asked, remembered, accept) == language


@given(st.text(max_size=100))
def test_any_accept_language_gives_a_language(header: str) -> None:
    assert pick_language(None, None, header) in LANGUAGES


def test_certainty_is_said_in_words_and_never_overstated() -> None:
    assert [sureness(score) for score in (0.34, 0.55, 0.8, 0.95)] == [1, 2, 3, 4]
    assert percent(0.999) == 99
    assert percent(0.29) == 29


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pessimo, si è rotto subito", "it"),
        ("ottimo prodotto", "it"),
        ("it broke after a week", "en"),
        ("😀😀", None),
        ("ok", None),
    ],
)
def test_the_language_of_a_text_is_told_or_left_open(text: str, code: str | None) -> None:
    assert language_detector()(text) == code


# Limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    clock = Clock()
    allowance = Allowance(Rate(10, 2), clients_per_address=100, clock=clock)
    allowance.spend("c", "a", 10)
    with pytest.raises(TooManyRequests) as refused:
        allowance.spend("c", "a", 4)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after.total_seconds() == 2
    clock.now = 2.0
    allowance.spend("c", "a", 4)


def test_more_than_a_burst_waits_for_a_full_bucket_instead_of_forever() -> None:
    clock = Clock()
    allowance = Allowance(Rate(10, 1), clients_per_address=100, clock=clock)
    allowance.spend("c", "a", 1000)
    with pytest.raises(TooManyRequests):
        allowance.spend("c", "a", 1)
    clock.now = 10.0
    allowance.spend("c", "a", 1000)


def test_fresh_cookies_do_not_widen_an_address() -> None:
    allowance = Allowance(Rate(10, 1), clients_per_address=3, clock=Clock())
    for number in range(3):
        allowance.spend(f"c{number}", "one address", 10)
    with pytest.raises(TooManyRequests):
        allowance.spend("c4", "one address", 10)
    allowance.spend("c4", "another", 10)
