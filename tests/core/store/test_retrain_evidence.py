"""What decides whether to train again: counted in the database, by the rules that datasets are built by."""

import random
from datetime import timedelta

import pytest

from sentops_core.datasets.votes import decide_votes
from sentops_core.domain.resources import QualityMetric, TimeWindow, TriggerName
from sentops_core.domain.text import content_hash
from sentops_core.store.datasets import DatasetRow, Datasets, NewMember, NewVersion
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.retrain_evidence import RetrainEvidence
from sentops_core.store.training_jobs import TrainingJobs
from tests.support.builders import a_digest, a_training_job
from tests.support.rows import NOW, a_prediction, a_vote

pytestmark = pytest.mark.pg

LABELS = ["negative", "neutral", "positive"]


async def a_version(connection: Connection, known: dict[str, str]) -> None:
    """v1, which holds these texts under these labels."""
    datasets = Datasets(connection)
    await datasets.create(
        DatasetRow(
            name="reviews",
            description="",
            licence="",
            origin="",
            labels=LABELS,
            split_salt="reviews",
            created_at=NOW,
        )
    )
    version = NewVersion(
        name="v1",
        number=1,
        dataset="reviews",
        parent=None,
        content_hash=a_digest("a"),
        holdout_hash=a_digest("b"),
        storage_uri="file:///x",
        rows_train=1,
        rows_holdout=1,
        label_counts={},
        report={},
        created_by="test",
    )
    members = [
        NewMember(
            content_hash=content_hash(text),
            label=label,
            split="train",
            source="upload",
            annotator=None,
            prediction_id=None,
        )
        for text, label in known.items()
    ]
    await datasets.create_version(version, members)
    # As if it had been built when these tests begin.
    await connection.execute("UPDATE dataset_versions SET created_at = $1", NOW)


async def said(connection: Connection, chance: random.Random) -> None:
    """Votes of a few clients on a few texts, some reviewed, some refused, some of before the version."""
    for number in range(120):
        text = f"Text {chance.randrange(25)}."
        at = NOW + timedelta(seconds=chance.choice((-600, 1, 1)) + number)
        answer = a_prediction(at, text, text_hash=content_hash(text))
        await Predictions(connection).copy_in([answer])
        client, label = chance.choice("abcd"), chance.choice([*LABELS, "joy"])
        await Feedback(connection).upsert_many([a_vote(answer, label, after=0, client=client)])
        review = chance.choice((None, None, None, "accepted", "refused", "corrected"))
        if review is not None:
            await connection.execute(
                "UPDATE feedback SET status = $2, corrected_label = $3, reviewed_by = 'anna' WHERE prediction_id = $1",
                answer.id,
                "refused" if review == "corrected" else review,
                chance.choice(LABELS) if review == "corrected" else None,
            )
    await connection.execute(
        "INSERT INTO quarantined_sources (kind, name, quarantined_by) VALUES ('client', 'd', 'anna')"
    )
    for number in range(4):
        text = f"Text {chance.randrange(30)}."
        await connection.execute(
            """
            INSERT INTO labelling_items (content_hash, text, reason, value, state, label, decided_at)
            VALUES ($1, $2, 'given', 1, 'done', $3, $4) ON CONFLICT DO NOTHING
            """,
            content_hash(text),
            text,
            chance.choice(LABELS),
            NOW + timedelta(seconds=number - 1),
        )


@pytest.mark.parametrize("seed", range(12))
async def test_new_labels_are_counted_as_a_dataset_would_take_them(
    connection: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    known = {f"Text {n}.": chance.choice(LABELS) for n in range(12)}
    if seed:  # else: no dataset yet
        await a_version(connection, known)
    await said(connection, chance)
    newest = await Datasets(connection).latest()
    votes = [vote async for vote in Feedback(connection).for_dataset(since=NOW if newest else None)]
    candidates, tied = decide_votes(votes)
    wanted = {content_hash(one.text): one.label for one in candidates}
    rows = await connection.fetch("SELECT content_hash, label, decided_at FROM labelling_items")
    wanted |= {row["content_hash"]: row["label"] for row in rows if not newest or row["decided_at"] > NOW}  # fmt: skip
    held = {content_hash(text): label for text, label in known.items()} if newest else {}
    new = [
        text
        for text, label in wanted.items()
        if held.get(text) != label and (not newest or label in LABELS)
    ]
    assert await RetrainEvidence(connection).new_labels(newest) == len(new)
    assert new
    assert tied


async def test_figures_of_drift_are_a_window_apart(connection: Connection) -> None:
    hour = NOW.replace(minute=0)
    for hours, drifted in ((0, True), (1, True), (24, False), (48, True), (72, True)):
        for feature in ("length", "words"):
            await connection.execute(
                """
                INSERT INTO drift_figures (model_version, time_window, feature, hour, taken_at, samples,
                                           reference_samples, distance, p_value, adjusted_p_value, drifted)
                VALUES ('v1', '24h', $1, $2, $3, 500, 500, 0.3, 0, 0, $4)
                """,
                feature,
                hour - timedelta(hours=hours),
                hour - timedelta(hours=hours) + timedelta(minutes=hours + 1),
                drifted and feature == "words",
            )
    evidence = RetrainEvidence(connection)
    found = await evidence.drift("v1", TimeWindow.DAY, 3)
    assert [(one.hour, one.drifted) for one in found] == [
        (hour, ("words",)),
        (hour - timedelta(hours=24), ()),
        (hour - timedelta(hours=48), ("words",)),
    ]
    assert found[0].taken_at == hour + timedelta(minutes=1)
    assert await evidence.drift("v2", TimeWindow.DAY, 3) == ()
    assert await evidence.drift("v1", TimeWindow.WEEK, 3) == ()


async def test_quality_is_of_the_newest_hour_and_of_all_languages(connection: Connection) -> None:
    for hours, language, votes in ((2, "all", 10), (1, "all", 20), (0, "it", 30)):
        await connection.execute(
            """
            INSERT INTO quality_figures (model_version, time_window, language, hour, taken_at, answers, votes,
                                         accuracy, accuracy_low)
            VALUES ('v1', '7d', $1, $2, $2, 100, $3, 0.9, 0.8)
            """,
            language,
            NOW - timedelta(hours=hours),
            votes,
        )
    evidence = RetrainEvidence(connection)
    found = await evidence.quality("v1", TimeWindow.WEEK, QualityMetric.ACCURACY)
    assert found is not None
    assert (found.votes, found.low) == (20, 0.8)
    f1 = await evidence.quality("v1", TimeWindow.WEEK, QualityMetric.MACRO_F1)
    assert f1 is not None
    assert f1.low is None
    assert await evidence.quality("v1", TimeWindow.DAY, QualityMetric.ACCURACY) is None


async def test_trainings_of_a_policy_are_known_by_their_label(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    for number, (policy, trigger) in enumerate((("a", "drift"), ("a", "odd"), ("b", "quality"))):
        job = a_training_job(f"job-{number}")
        fields = {
            "labels": {"sentops.dev/retrain-policy": policy},
            "annotations": {"sentops.dev/retrain-trigger": trigger},
        }
        job = job.model_copy(update={"metadata": job.metadata.model_copy(update=fields)})
        await jobs.create(job, created_by="test", dataset_version=None)
    await jobs.create(a_training_job("by-hand"), created_by="test", dataset_version=None)
    starts = await RetrainEvidence(connection).starts("a")
    found = {one.name: one.trigger for one in starts}
    assert found == {"job-0": TriggerName.DRIFT, "job-1": None}
