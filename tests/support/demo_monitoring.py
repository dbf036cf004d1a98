"""Demo data: what the monitor says of the demo's traffic, and a retraining policy with decisions behind it.

The newest figures are the real monitor's, worked out from the rows; those of the hours before are the same, a little
higher or lower, since nobody watched then.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sentops_core.domain.quality import Accuracy
from sentops_core.domain.quality_figures import QualityFigures
from sentops_core.domain.reference import HeldOutAnswer, ReferenceText, profile_of
from sentops_core.domain.resources import (
    Metric,
    RetrainDecision,
    RetrainOutcome,
    RetrainPolicySpec,
    RetrainPolicyStatus,
    TriggerName,
)
from sentops_core.domain.retrain import POLICY_LABEL
from sentops_core.store.pool import Connection, Pool, transaction
from sentops_core.store.quality_figures import QualityTable
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_core.store.version_references import VersionReferences
from sentops_monitor.round import Figures, Round
from tests.support.demo_models import MODEL, Models
from tests.support.demo_texts import a_review

POLICY = "new-labels-and-quality"
DRY = "sunday-nights"
_PAST_HOURS = 28 * 24
_PAST_LINE = """
INSERT INTO audit_log (at, actor, action, subject, evidence) VALUES ($1, $2, $3, $4, $5)
"""
_GIVE_TO_POLICY = """
UPDATE training_jobs
   SET metadata = jsonb_set(metadata, '{labels}', jsonb_build_object($2::text, $3::text))
 WHERE name = ANY ($1::text[])
"""


async def measure(pool: Pool) -> Figures:
    """What the real monitor says now."""
    watch = Round()
    figures = await watch.take(pool)
    while figures.waiting:
        figures = await watch.take(pool)
    return figures


async def fill_monitoring(
    pool: Pool, models: Models, *, now: datetime, trained: Sequence[str]
) -> None:
    """`trained`: jobs that the policy is said to have started, oldest first."""
    async with transaction(pool) as connection:
        await _fill_references(connection, models)
    figures = await measure(pool)
    champions = [one for one in figures.qualities if one.model_version == models.champion]
    async with transaction(pool) as connection:
        await _fill_past(connection, champions, models, now)
        await _fill_policies(connection, models.champion, now, trained)


async def _fill_references(connection: Connection, models: Models) -> None:
    """The champion was trained on nothing but Italian texts, so languages and words have drifted since."""
    chance = random.Random(7)
    reviews = [
        one for one in (a_review(chance, number) for number in range(3000)) if one.language == "it"
    ]
    profile = profile_of(
        [ReferenceText(one.text, one.language) for one in reviews[:1000]],
        [HeldOutAnswer(one.text, one.label, chance.uniform(0.55, 0.99)) for one in reviews[1000:1300]],
    )  # fmt: skip
    await VersionReferences(connection).keep(
        models.champion, models.digests[models.champion], profile
    )


async def _fill_past(
    connection: Connection, champions: Sequence[QualityFigures], models: Models, now: datetime
) -> None:
    """Of whoever served in each hour."""
    table = QualityTable(connection)
    for hours in range(_PAST_HOURS, 0, -1):
        at = now - timedelta(hours=hours)
        drift = 0.02 * math.sin(hours / 9) + 0.01 * math.sin(hours / 2.3)
        served = [name for name, since in models.lived if since <= at]
        if served:
            await table.save([_shifted(one, drift, served[-1]) for one in champions], at)


def _shifted(figures: QualityFigures, by: float, version: str) -> QualityFigures:
    return replace(
        figures,
        model_version=version,
        accuracy=_moved(figures.accuracy, by),
        macro_f1=_moved(figures.macro_f1, by),
    )


def _moved(measured: Accuracy | None, by: float) -> Accuracy | None:
    if measured is None:
        return None
    low, value, high = (
        min(max(one + by, 0.0), 1.0) for one in (measured.low, measured.value, measured.high)
    )
    return Accuracy(value, low, high, measured.samples)


async def _fill_policies(
    connection: Connection, champion: str, now: datetime, trained: Sequence[str]
) -> None:
    policies = RetrainPolicies(connection)
    for name, spec, decisions in (
        (POLICY, _WATCHFUL, _decisions(champion, now)),
        (DRY, _SUNDAYS, _decisions(champion, now)[-1:]),
    ):
        policy = await policies.create(
            name, RetrainPolicySpec.model_validate(spec), created_by="anna"
        )
        job = trained[-1] if trained and name == POLICY else None
        status = RetrainPolicyStatus(
            observed_generation=1,
            last_decision=decisions[-1],
            last_training_job=job,
            last_training_time=now - timedelta(days=2) if job else None,
        )
        await policies.save_status(policy, status)
        spec_made = {"spec": spec}
        at = now - timedelta(days=20)
        await connection.execute(_PAST_LINE, at, "anna", "retrain_policy.created", name, spec_made)
        for one in decisions:
            evidence = {
                "outcome": one.outcome.value,
                "trigger": one.trigger.value if one.trigger else None,
                "reason": one.reason,
                "inputs": {each.name: each.value for each in one.inputs},
            }
            await connection.execute(
                _PAST_LINE, one.at, "control-plane", "retrain_policy.decided", name, evidence
            )
    await connection.execute(_GIVE_TO_POLICY, trained, POLICY_LABEL, POLICY)


_WATCHFUL = {
    "modelName": MODEL,
    "triggers": {
        "newLabels": {"min": 200},
        "quality": {"metric": "accuracy", "floor": "0.75", "window": "7d", "minVotes": 100},
        "drift": {"window": "24h", "windows": 3},
    },
    "guards": {"cooldownSeconds": 43200, "maxPerDay": 1, "minNewLabels": 50},
    "template": {"trainer": {"method": "Linear"}, "promotion": {"mode": "Manual"}},
}
_SUNDAYS = {
    "modelName": MODEL,
    "dryRun": True,
    "triggers": {"schedule": {"cron": "0 3 * * SUN", "timeZone": "Europe/Rome"}},
}


def _decisions(champion: str, now: datetime) -> list[RetrainDecision]:
    """As the trainer words them; oldest first."""

    def decision(
        days: float,
        outcome: RetrainOutcome,
        trigger: TriggerName | None,
        reason: str,
        **inputs: str,
    ) -> RetrainDecision:
        known = {"champion": champion, "dataset": "v3", **inputs}
        return RetrainDecision(
            at=now - timedelta(days=days),
            outcome=outcome,
            trigger=trigger,
            reason=reason,
            inputs=tuple(Metric(name=name, value=value) for name, value in known.items()),
        )

    low = f"The lower end of {champion}'s accuracy over 7d is 0.7312 (231 votes), under the floor 0.75."
    return [
        decision(6, RetrainOutcome.WAIT, None, "41 new labels since v2, of 200 wanted.", newLabels="41"),
        decision(2.1, RetrainOutcome.UNKNOWN, None, "Quality is not known: 61 votes over 7d, of 100 needed.", newLabels="97"),
        decision(2, RetrainOutcome.START, TriggerName.QUALITY, low, newLabels="120", accuracy="0.7871", accuracyLow="0.7312", votes="231", trainingsToday="0"),
        decision(0.01, RetrainOutcome.WAIT, None, "12 new labels since v3, of 200 wanted.", newLabels="12", accuracy="0.8571", accuracyLow="0.8212", votes="311", drifted="language, words", driftedWindows="1", trainingsToday="0"),
    ]  # fmt: skip
