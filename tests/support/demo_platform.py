"""A platform that has lived for four weeks, written through the real store: for pages, pictures and benches."""

import csv
import hashlib
import io
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher

from sentops_core.datasets.building import BuildRequest, build_from_feedback, build_from_file
from sentops_core.datasets.reading import ReadOptions, read_file
from sentops_core.datasets.report import BuildReport
from sentops_core.domain.text import content_hash
from sentops_core.language import language_detector
from sentops_core.store.datasets import Datasets, NewMember, NewVersion, VersionRow
from sentops_core.store.examples import ExampleRow, Examples
from sentops_core.store.pool import Connection, Pool, open_pool, transaction
from sentops_core.store.tokens import ApiTokens, Role
from sentops_core.store.users import Sessions, Users
from tests.support.demo_artefacts import held_out, two_artefacts
from tests.support.demo_models import Models, fill_models
from tests.support.demo_monitoring import fill_monitoring
from tests.support.demo_texts import HOSTILE_NAME, HOSTILE_TEXTS, a_review
from tests.support.demo_traffic import fill_traffic

# One for everybody; the hash is cheap to check, since nothing here is worth guessing.
PASSWORD = "la mia parola segreta"
_HASHER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
PEOPLE = {
    "anna": Role.ADMIN,
    "bruno": Role.ANNOTATOR,
    "chiara": Role.ANNOTATOR,
    "viola": Role.VIEWER,
}
PERSON_OF = {Role.ADMIN: "anna", Role.ANNOTATOR: "bruno", Role.VIEWER: "viola"}
NEWCOMER = "dario"  # still has the password that was chosen for him
_TABLE_ROWS = 240


@dataclass(frozen=True)
class DemoSize:
    """`examples`: of the newest dataset version; over 400 they are written without looking for near duplicates."""

    predictions: int = 2500
    examples: int = 300
    versions: int = 10
    datasets: int = 3
    audit_lines: int = 60
    vote_share: float = 0.12


USUAL = DemoSize()
BENCH = DemoSize(
    predictions=100_000,
    examples=20_000,
    versions=200,
    datasets=40,
    audit_lines=20_000,
    vote_share=0.1,
)


@dataclass(frozen=True)
class DemoPlatform:
    """What was made, by the names that tests ask for."""

    store_uri: str
    now: datetime
    champion: str
    previous: str  # the champion before
    candidate: str
    waiting: str  # a version that waits for somebody's approval
    running: str  # a training that runs
    dataset: str  # the newest version
    votes: int


async def fill_demo(
    database_url: str, store_uri: str, size: DemoSize = USUAL, *, now: datetime | None = None
) -> DemoPlatform:
    """Fill a migrated, empty database and the artefact store; about two seconds at the usual size."""
    moment = now or datetime.now(UTC)
    pool = await open_pool(database_url, max_size=2)
    try:
        async with transaction(pool) as connection:
            await _fill_people(connection, moment)
            await _fill_audit(
                connection, f"sentiment-v{size.versions - 2}", moment, size.audit_lines
            )
        datasets = await _fill_datasets(pool, store_uri, size)
        async with transaction(pool) as connection:
            models = await fill_models(
                connection,
                datasets,
                two_artefacts(store_uri, await held_out(connection, datasets[-1].name)),
                store_uri,
                now=moment,
                count=size.versions,
            )
            await _fill_serving(connection, models)
        async with pool.acquire() as connection:
            votes = await fill_traffic(
                connection,
                models,
                now=moment,
                predictions=size.predictions,
                vote_share=size.vote_share,
            )
        trained = [f"training-{size.versions - 2}", f"training-{size.versions + 1}"]
        await fill_monitoring(pool, models, now=moment, trained=trained)
        async with pool.acquire() as connection:
            await connection.execute("ANALYZE")
        if size.examples <= 400:
            detect = language_detector()
            request = BuildRequest(store_uri=store_uri, actor="bruno")
            built = await build_from_feedback(pool, request, detect_language=detect)
            datasets.append(built.version)
    finally:
        await pool.close()
    return DemoPlatform(
        store_uri=store_uri,
        now=moment,
        champion=models.champion,
        previous=models.previous,
        candidate=models.candidate,
        waiting=f"sentiment-v{size.versions}",
        running=f"training-{size.versions + 5}",
        dataset=datasets[-1].name,
        votes=votes,
    )


async def _fill_datasets(pool: Pool, store_uri: str, size: DemoSize) -> list[VersionRow]:
    """Built from files, as a person would; what is above the usual size is written straight."""
    built = []
    detect = language_detector()
    rows = min(size.examples, _TABLE_ROWS)
    for number in range(min(size.datasets, 2)):
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            file.write(_a_table(rows // 2, start=number * rows, seed=number))
            file.flush()
            reading = read_file(Path(file.name), "recensioni <b>2026</b>.csv", ReadOptions())
        request = BuildRequest(
            store_uri=store_uri,
            actor="anna" if number == 0 else HOSTILE_NAME,
            dataset="reviews",
            description="Recensioni del negozio, lette da due persone. <b>Non pubblicare.</b>",
            origin="Esportazione del negozio, ottobre 2026",
            licence="Solo per uso interno",
        )
        made = await build_from_file(pool, reading, request, detect_language=detect)
        built.append(made.version)
    if size.examples > 400:
        async with transaction(pool) as connection:
            for number in range(size.datasets - len(built)):
                last = number == size.datasets - 3
                built.append(
                    await _write_version(connection, store_uri, size.examples if last else 50)
                )
    return built


def _a_table(count: int, *, start: int, seed: int) -> bytes:
    """A CSV as people send it: texts of all kinds, some rows that must be refused."""
    chance = random.Random(seed)
    content = io.StringIO()
    table = csv.writer(content)
    table.writerow(("text", "label"))
    for number in range(start, start + count):
        review = a_review(chance, number)
        table.writerow((review.text, review.label))
    if seed == 0:
        table.writerows((text, "neutral") for text in HOSTILE_TEXTS)
    table.writerows((("Senza etichetta", ""), ("", "positive"), ("Chi lo sa", "<b>boh</b>")))
    return content.getvalue().encode()


async def _write_version(connection: Connection, store_uri: str, count: int) -> VersionRow:
    datasets = Datasets(connection)
    number = await datasets.next_number()
    chance = random.Random(number)
    reviews = [a_review(chance, number * 1_000_000 + at) for at in range(count)]
    digest = hashlib.sha256(f"dataset {number}".encode()).hexdigest()
    hashes = [content_hash(review.text) for review in reviews]
    held_out = count // 5
    version = NewVersion(
        name=f"v{number}",
        number=number,
        dataset="reviews",
        parent=f"v{number - 1}",
        content_hash=f"sha256:{digest}",
        holdout_hash=f"sha256:{digest}",
        storage_uri=f"{store_uri}/datasets/{digest}",
        rows_train=count - held_out,
        rows_holdout=held_out,
        label_counts={
            label: sum(review.label == label for review in reviews)
            for label in ("negative", "neutral", "positive")
        },
        report=BuildReport(added=count).model_dump(mode="json"),
        created_by="anna",
    )
    await Examples(connection).keep(
        [
            ExampleRow(key, one.text, one.label, one.language, None, "upload:reviews", None, None)
            for key, one in zip(hashes, reviews, strict=True)
        ]
    )
    members = [
        NewMember(key, one.label, "holdout" if at < held_out else "train", "upload:reviews", None, None)
        for at, (key, one) in enumerate(zip(hashes, reviews, strict=True))
    ]  # fmt: skip
    await datasets.create_version(version, members)
    return await datasets.version(version.name)


async def _fill_people(connection: Connection, now: datetime) -> None:
    users, sessions = Users(connection), Sessions(connection)
    password_hash = _HASHER.hash(PASSWORD)
    for name, role in PEOPLE.items():
        await users.create(name, password_hash, role, must_change_password=False)
    await users.create(NEWCOMER, password_hash, Role.ANNOTATOR)
    await users.create(HOSTILE_NAME, password_hash, Role.VIEWER)
    await users.set_disabled(HOSTILE_NAME, disabled=True)
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    phone = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/143.0 Mobile Safari/537.36"
    for agent in (firefox, phone, "<script>alert('agent')</script>"):
        await sessions.start("anna", expires_at=now + timedelta(hours=9), user_agent=agent)
    tokens = ApiTokens(connection)
    await tokens.create("ci", Role.ANNOTATOR, created_by="anna")
    await tokens.create("<b>cruscotto</b>", Role.VIEWER, created_by="anna")
    old = await tokens.create("vecchio script", Role.ADMIN, created_by="anna")
    await tokens.revoke(old.token.id)


# The store dates a line itself and never changes it: a past has to be written past it.
_PAST_LINE = """
INSERT INTO audit_log (at, actor, action, subject, evidence) VALUES ($1, $2, $3, $4, $5)
"""


async def _fill_audit(connection: Connection, champion: str, now: datetime, count: int) -> None:
    told: list[tuple[str, str, str, dict[str, object]]] = [
        ("anna", "user.created", "bruno", {"role": "annotator"}),
        ("anna", "user.disabled", HOSTILE_NAME, {}),
        ("anna", "api_token.created", "0190a7e2-1c1b-7c3a-9d4e-000000000001", {"name": "ci", "scope": "annotator"}),
        ("bruno", "user.logged_in", "bruno", {}),
        (HOSTILE_NAME, "user.password_changed", HOSTILE_NAME, {}),
        ("anna", "training_job.created", "training-8", {"spec": {"modelName": "sentiment", "trainer": {"method": "FineTune"}}}),
        ("control-plane", "training_job.finished", "training-8", {"phase": "Succeeded", "gateResult": {"verdict": "Pass", "samples": 412}}),
        ("control-plane", "model_version.registered", champion, {"digest": "sha256:" + "ab" * 32, "desiredState": "Champion"}),
        ("anna", "model_version.promotion_requested", champion, {"reason": "Meglio sui neutri", "force": False}),
        ("anna", "retention.changed", "predictions", {"days": 365}),
        ("bruno", "example.relabelled", "ab" * 32, {"before": "neutral", "after": "negative", "source": "feedback"}),
        ("backup", "backup.created", "sentops-2026-11-20", {"place": "s3://backups"}),
        ("web", "something.nobody_has_a_word_for", "=1+1", {"note": "<script>alert('evidence')</script>"}),
    ]  # fmt: skip
    lines = []
    for number in range(count):
        actor, action, subject, evidence = told[number % len(told)]
        at = now - timedelta(days=28) * (1 - number / count)
        lines.append((at, actor, action, subject, evidence))
    await connection.executemany(_PAST_LINE, lines)


async def _fill_serving(connection: Connection, models: Models) -> None:
    """Each version that lived took over from the one before a few minutes after it was trained."""
    moved = {"from": "Canary", "to": "Live", "why": ["Promoted: It serves."]}
    later = timedelta(minutes=4)
    lines = [
        (at + later, "control-plane", "model_version.live", name, moved)
        for name, at in models.lived
    ]
    await connection.executemany(_PAST_LINE, lines)
