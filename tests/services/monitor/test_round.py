"""Rounds of the monitor: figures equal to those of the rows themselves, whatever was there before and whoever else counts."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from sentops_core.domain.errors import PlatformError
from sentops_core.domain.quality import wilson_interval
from sentops_core.domain.quality_figures import WINDOWS, QualityFigures
from sentops_core.domain.reference import HeldOutAnswer, ReferenceText, profile_of
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Pool, open_pool, prepare, transaction
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.quality_figures import QualityTable
from sentops_core.store.tallies import Tallies
from sentops_core.store.version_references import VersionReferences
from sentops_monitor.history import DAY, HOUR, History, begin_of, floor
from sentops_monitor.round import Figures, Round
from tests.support.rows import a_prediction, a_vote

pytestmark = pytest.mark.pg

NOW = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)
LABELS = ("negative", "neutral", "positive")


class Clock:
    """Tells what it is set to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def some_answers(
    chance: random.Random, count: int, ages: Callable[[], timedelta]
) -> list[PredictionRow]:
    return [
        a_prediction(
            NOW - ages(),
            text=" ".join(chance.choices(["good", "bad", "blue", "table"], k=3)),
            client=f"client-{chance.randrange(9)}",
            label=chance.choice(LABELS),
            score=round(chance.uniform(0.34, 1), 2),
            model_version=chance.choice(["v1", "v2"]),
            language=chance.choice(["it", "en", None]),
            shadow=chance.random() < 0.1,
        )
        for _ in range(count)
    ]


async def write(
    pool: Pool, rows: list[PredictionRow], chance: random.Random, *, voted: float = 0.6
) -> dict[object, str]:
    """By prediction, what its client meant."""
    meant = {
        row.id: row.label if chance.random() < row.score - 0.1 else chance.choice(LABELS)
        for row in rows
        if chance.random() < voted
    }
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).record(
            [a_vote(row, meant[row.id], after=1) for row in rows if row.id in meant]
        )
    return meant


async def until_all_is_counted(rounds: Round, pool: Pool) -> Figures:
    while (figures := await rounds.take(pool)).waiting:
        pass
    return figures


def by_key(figures: Figures) -> dict[tuple[str, str, str], QualityFigures]:
    return {(one.model_version, one.window, one.language): one for one in figures.qualities}


async def test_the_figures_equal_scikit_learn_s_on_the_same_rows(pool: Pool, clock: Clock) -> None:
    chance = random.Random(1)
    rows = some_answers(chance, 1500, lambda: timedelta(days=28) * chance.random() ** 5)
    meant = await write(pool, rows, chance)
    found = by_key(await until_all_is_counted(Round(clock), pool))
    looked_at = 0
    for version in ("v1", "v2"):
        for window in WINDOWS:
            for language in ("all", "it", "en", "unknown"):
                asked = [
                    row
                    for row in rows
                    if row.model_version == version
                    and row.created_at >= begin_of(window, NOW)
                    and language in {"all", row.language or "unknown"}
                    and not row.shadow
                ]
                figures = found.pop((version, window, language))
                assert figures.answers == len(asked)
                compare([(meant[row.id], row.label) for row in asked if row.id in meant], figures)
                looked_at += figures.votes
    assert found == {}
    assert looked_at > 1000


def compare(votes: list[tuple[str, str]], figures: QualityFigures) -> None:
    truth, answered = [one for one, _ in votes], [one for _, one in votes]
    assert figures.votes == len(votes)
    assert figures.accuracy is not None
    assert figures.accuracy.value == pytest.approx(accuracy_score(truth, answered))
    right = sum(one == other for one, other in votes)
    assert (figures.accuracy.low, figures.accuracy.high) == wilson_interval(right, len(votes))
    present = sorted(set(truth))
    assert figures.macro_f1 is not None
    assert figures.macro_f1.value == pytest.approx(
        f1_score(truth, answered, labels=present, average="macro", zero_division=0)
    )
    for label, scores in figures.classes.items():
        only = {"labels": [label], "average": "micro", "zero_division": 0}
        if scores.precision is not None:
            expected = precision_score(truth, answered, **only)
            assert scores.precision.value == pytest.approx(expected)
        if scores.recall is not None:
            assert scores.recall.value == pytest.approx(recall_score(truth, answered, **only))


async def test_a_round_remembers_just_what_is_stored(pool: Pool, clock: Clock) -> None:
    """Old and new answers, late votes, time going on: memory is never other than reading everything anew."""
    chance = random.Random(2)
    rounds = Round(clock)
    rows: list[PredictionRow] = []
    ages = [timedelta(minutes=5), timedelta(hours=30), timedelta(days=20), timedelta(days=35)]
    for _ in range(8):
        new = some_answers(
            chance, 20, lambda: chance.choice(ages) * chance.random() - (clock.now - NOW)
        )
        await write(pool, new, chance)
        rows += new
        async with transaction(pool) as connection:
            late = [
                a_vote(row, "neutral", after=99, client="late") for row in chance.sample(rows, 5)
            ]
            await Feedback(connection).record(late)
        await rounds.take(pool)
        async with transaction(pool) as connection:
            anew = History()
            oldest, end = begin_of("28d", clock.now), floor(clock.now, DAY) + 2 * DAY
            await anew.load(connection, oldest, end, clock.now)
        remembered = rounds._history
        assert remembered is not None
        assert remembered.windows(clock.now) == anew.windows(clock.now)
        for version in ("v1", "v2"):
            assert remembered.votes_in_order(version, clock.now) == anew.votes_in_order(
                version, clock.now
            )
        clock.now += chance.choice([timedelta(minutes=9), timedelta(hours=7), timedelta(days=2)])


async def test_a_version_leaves_the_windows_one_after_the_other(pool: Pool, clock: Clock) -> None:
    chance = random.Random(3)
    await write(pool, [a_prediction(NOW, model_version="v1")], chance)
    rounds = Round(clock)

    async def seen_in() -> list[str]:
        figures = await rounds.take(pool)
        async with transaction(pool) as connection:
            stored = await QualityTable(connection).latest(clock.now)
        windows = {one.window for one in figures.qualities}
        assert windows == {one.figures.window for one in stored}
        return sorted(windows)

    assert await seen_in() == ["1h", "24h", "28d", "7d"]
    for age, windows in (
        (timedelta(minutes=59), ["1h", "24h", "28d", "7d"]),
        (timedelta(minutes=71), ["24h", "28d", "7d"]),
        (timedelta(hours=25), ["28d", "7d"]),
        (timedelta(days=7, hours=2), ["28d"]),
        (timedelta(days=28, hours=2), []),
    ):
        clock.now = NOW + age
        assert await seen_in() == windows


async def test_a_first_fill_shows_the_newest_first_and_goes_on(pool: Pool, clock: Clock) -> None:
    chance = random.Random(4)
    rows = [
        a_prediction(NOW - timedelta(minutes=20 * number), model_version="v1")
        for number in range(2000)  # just under 28 days
    ]
    await write(pool, rows, chance, voted=0.3)
    rounds = Round(clock)
    first = await rounds.take(pool)
    assert first.waiting > 0
    inside = sum(row.created_at >= begin_of("24h", NOW) for row in rows)
    assert by_key(first)["v1", "24h", "all"].answers == inside
    assert by_key(first)["v1", "28d", "all"].answers < 2000
    whole = await until_all_is_counted(rounds, pool)
    assert by_key(whole)["v1", "28d", "all"].answers == 2000


async def test_two_monitors_at_once_say_the_same_and_lose_nothing(pool: Pool, clock: Clock) -> None:
    """As while one is replaced by another."""
    chance = random.Random(5)
    one, other = Round(clock), Round(clock)
    written = 0
    for _ in range(4):
        rows = some_answers(chance, 15, lambda: timedelta(hours=50) * chance.random())
        await write(pool, rows, chance)
        written += sum(not row.shadow for row in rows)
        await asyncio.gather(one.take(pool), other.take(pool))
    ends = [await one.take(pool), await other.take(pool), await one.take(pool)]
    assert ends[0].qualities == ends[1].qualities == ends[2].qualities
    whole = [each for each in ends[0].qualities if (each.window, each.language) == ("28d", "all")]
    assert sum(each.answers for each in whole) == written


async def test_an_outage_in_the_middle_loses_nothing(
    database_url: str, pool: Pool, clock: Clock
) -> None:
    chance = random.Random(6)
    own = await open_pool(database_url, max_size=2, application_name="the monitor")
    rounds = Round(clock)
    written = failed = 0
    for _ in range(6):
        rows = some_answers(chance, 30, lambda: timedelta(days=3) * chance.random())
        await write(pool, rows, chance)
        written += sum(not row.shadow for row in rows)
        taking = asyncio.create_task(rounds.take(own))
        await asyncio.sleep(0.02 * chance.random())
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'the monitor' AND datname = current_database()"
        )
        try:
            await taking
        except (PlatformError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            failed += 1
    await own.close()  # its last connection may have been cut after its last round
    figures = by_key(await until_all_is_counted(rounds, pool))
    assert failed > 0
    assert figures["v1", "28d", "all"].answers + figures["v2", "28d", "all"].answers == written


async def test_words_are_compared_once_it_is_known_what_a_version_was_trained_on(
    pool: Pool, clock: Clock
) -> None:
    chance = random.Random(7)
    await write(pool, [a_prediction(NOW, text="good blue table", model_version="v1")], chance)
    rounds = Round(clock)

    async def unseen() -> list[int | None]:
        async with transaction(pool) as connection:
            tallies = Tallies(connection).answers(NOW - HOUR, NOW + HOUR)
            return [tally.unseen_words async for _, tally in tallies]

    await rounds.take(pool)
    assert await unseen() == [None]
    profile = profile_of(
        [ReferenceText("good table", "en")] * 2, [HeldOutAnswer("good", "positive", 0.9)]
    )
    async with transaction(pool) as connection:
        await connection.execute(
            """
            INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, created_by)
            VALUES ('v1', 'sentiment', 1, 'sha256:x', '{}', '{}', '{}', 'Live', 'test')
            """
        )
        await VersionReferences(connection).keep("v1", "sha256:x", profile)
    await rounds.take(pool)
    assert await unseen() == [1]
    assert (await rounds.take(pool)).waiting == 0


async def test_the_estimate_says_why_it_is_not_there_and_comes_with_enough_votes(
    pool: Pool, clock: Clock
) -> None:
    chance = random.Random(8)
    few = some_answers(chance, 50, lambda: timedelta(hours=20) * chance.random())
    await write(pool, few, chance)
    rounds = Round(clock)
    refused = by_key(await rounds.take(pool))["v1", "24h", "all"]
    assert refused.estimated_accuracy is None
    assert refused.estimate_refused is not None
    assert "Too few votes" in refused.estimate_refused
    many = some_answers(chance, 1500, lambda: timedelta(hours=90) * chance.random())
    await write(pool, many, chance, voted=0.8)
    clock.now += timedelta(minutes=6)  # the sources are looked at again
    found = by_key(await until_all_is_counted(rounds, pool))["v1", "24h", "all"]
    assert found.estimate_refused is None
    assert found.estimated_accuracy is not None
    assert found.accuracy is not None
    assert abs(found.estimated_accuracy.value - found.accuracy.value) < 0.05
    assert found.largest_source_share is not None
    assert 1 / 9 <= found.largest_source_share < 0.3


async def test_sources_that_take_too_long_to_look_at_cost_no_other_figure(
    database_url: str, pool: Pool, clock: Clock
) -> None:
    """Very many votes are beyond the time that a statement has; what people vote is known all the same."""
    await write(pool, [a_prediction(NOW, model_version="v1")], random.Random(10), voted=1.1)
    rounds = Round(clock)
    impatient = await asyncpg.create_pool(
        database_url, min_size=0, init=prepare, server_settings={"statement_timeout": "500ms"}
    )
    async with impatient:
        known = by_key(await rounds.take(impatient))["v1", "1h", "all"]
        clock.now += timedelta(minutes=6)
        async with transaction(pool) as connection:
            await connection.execute("LOCK TABLE quarantined_sources IN ACCESS EXCLUSIVE MODE")
            unknown = by_key(await rounds.take(impatient))["v1", "1h", "all"]
    assert (known.votes, known.largest_source_share) == (1, 1.0)
    assert (unknown.votes, unknown.largest_source_share) == (1, None)
    assert unknown.accuracy == known.accuracy


async def test_an_empty_database_has_no_figures_at_all(pool: Pool, clock: Clock) -> None:
    figures = await Round(clock).take(pool)
    assert (figures.qualities, figures.waiting) == ((), 0)
    assert await pool.fetchval("SELECT count(*) FROM quality_figures") == 0


async def test_only_the_commonest_languages_have_figures_of_their_own(
    pool: Pool, clock: Clock
) -> None:
    """A metric's labels must not grow with whatever a recogniser makes of short texts."""
    rows = [
        a_prediction(NOW, language=f"l{number:02}", model_version="v1")
        for number in range(15)
        for _ in range(20 - number)
    ]
    await write(pool, rows, random.Random(9))
    figures = await Round(clock).take(pool)
    languages = Counter(one.language for one in figures.qualities)
    assert sorted(languages) == ["all", *(f"l{number:02}" for number in range(10))]
    assert by_key(figures)["v1", "1h", "all"].answers == len(rows)
