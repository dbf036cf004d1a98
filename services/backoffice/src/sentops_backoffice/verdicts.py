"""The gate's verdict rule by rule, so that pages can say each in the reader's language."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.promotion import SIGNIFICANT
from sentops_core.domain.resources import Gate, GateMetricResult, GateResult, Verdict


class Holds(StrEnum):
    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Check:
    """`word` is the sentence `gate.<word>`, said with `values`."""

    word: str
    holds: Holds
    values: Mapping[str, object]


def checks(gate: Gate | None, result: GateResult, evaluation: Evaluation | None) -> list[Check]:
    """What is known of the rules; `gate` is None where the training job is not."""
    found: list[Check] = []
    for measured in result.metrics:
        found += _of_metric(gate, measured, result)
    if gate is not None:
        found += _of_rows(gate, result, evaluation)
    if result.p_value is not None and result.champion_version is not None:
        by_chance = float(result.p_value) >= SIGNIFICANT
        worse = any((one.difference or "0").startswith("-") for one in result.metrics)
        holds = Holds.YES if by_chance or not worse else Holds.NO
        word = "chance" if by_chance else "not_chance"
        values = {"champion": result.champion_version, "p": float(result.p_value)}
        found.append(Check(word, holds, values))
    return found


def _of_metric(gate: Gate | None, measured: GateMetricResult, result: GateResult) -> list[Check]:
    value = float(measured.value)
    rule = next((one for one in gate.metrics if one.name == measured.name), None) if gate else None
    found = []
    if rule is not None:
        holds = Holds.YES if value >= float(rule.min) else Holds.NO
        values = {"metric": measured.name, "value": value, "least": float(rule.min)}
        found.append(Check("minimum", holds, values))
    if measured.difference is not None and result.champion_version is not None:
        difference = float(measured.difference)
        most = float(rule.max_drop_vs_champion) if rule else 0.0
        low = float(measured.low or measured.difference)
        if difference < -most:
            holds = Holds.NO
        elif difference < 0 or low < -most:
            holds = Holds.UNSURE
        else:
            holds = Holds.YES
        values = {
            "metric": measured.name,
            "champion": result.champion_version,
            "difference": difference,
            "low": low,
            "high": float(measured.high or measured.difference),
            "most": most,
        }
        found.append(Check("against", holds, values))
    return found


def _of_rows(gate: Gate, result: GateResult, evaluation: Evaluation | None) -> list[Check]:
    enough = result.samples >= gate.min_samples
    found = [
        Check(
            "rows",
            Holds.YES if enough else Holds.UNSURE,
            {"rows": result.samples, "least": gate.min_samples},
        )
    ]
    floor = float(gate.per_class_min.recall)
    for label, scores in evaluation.per_class.items() if evaluation else ():
        if not scores.support:
            found.append(Check("no_rows", Holds.UNSURE, {"label": label}))
        elif floor > 0:
            holds = Holds.YES if scores.recall >= floor else Holds.NO
            values = {"label": label, "value": scores.recall, "least": floor}
            found.append(Check("recall", holds, values))
    if gate.must_pass:
        # Which ones failed stands in the gate's own sentences.
        wrong = result.verdict is Verdict.FAIL and any("must-pass" in one for one in result.reasons)
        holds = Holds.NO if wrong else Holds.YES
        found.append(Check("must_pass", holds, {"total": len(gate.must_pass)}))
    return found
