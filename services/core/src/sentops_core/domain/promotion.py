"""The gate: may this candidate serve? Judged on the frozen rows, against the champion on the same rows."""

import math
from collections.abc import Iterator

from sentops_core.domain.evaluation import Evaluation, MustPass, PairedComparison
from sentops_core.domain.resources import Gate, GateMetric, GateMetricResult, GateResult, Verdict

SIGNIFICANT = 0.05


def judge(
    gate: Gate,
    candidate: Evaluation,
    paired: PairedComparison | None,
    must_pass: MustPass | None,
) -> GateResult:
    """The verdict and its sentences; without a champion only the absolute rules count.

    Fail: a rule is broken for certain. Inconclusive: too few rows, or the rows cannot show that the candidate
    is no worse. Pass: at least the champion's value on the same rows, and the interval stays above the
    allowed drop.
    """
    failures = [*_absolute_failures(gate, candidate, must_pass), *_worse(gate, candidate, paired)]
    doubts = [*_doubts(gate, candidate, paired)]
    if failures:
        verdict, reasons = Verdict.FAIL, failures
    elif doubts:
        verdict, reasons = Verdict.INCONCLUSIVE, doubts
    else:
        verdict, reasons = Verdict.PASS, [_praise(gate, candidate, paired)]
    return GateResult(
        verdict=verdict,
        reasons=tuple(reasons),
        samples=candidate.rows,
        champion_version=paired.champion_version if paired else None,
        champion_digest=paired.champion_digest if paired else None,
        p_value=_text(_mcnemar(paired)) if paired else None,
        metrics=tuple(_numbers(metric, candidate, paired) for metric in gate.metrics),
    )


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Exact (binomial) two-sided McNemar test: could the disagreements be the throws of a fair coin."""
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    smaller = min(only_first, only_second)
    tail = sum(math.comb(discordant, k) for k in range(smaller + 1))
    return min(1.0, float(2 * tail / 2**discordant))


def _mcnemar(paired: PairedComparison) -> float:
    return mcnemar_p_value(paired.only_candidate_right, paired.only_champion_right)


def _value(metric: GateMetric, evaluation: Evaluation) -> float:
    return evaluation.macro_f1 if metric.name == "macro_f1" else evaluation.accuracy


def _difference(metric: GateMetric, candidate: Evaluation, paired: PairedComparison) -> float:
    return _value(metric, candidate) - _value(metric, paired.champion)


def _interval(metric: GateMetric, paired: PairedComparison) -> tuple[float, float]:
    """90 % interval of candidate minus champion: its lower end is a one-sided 95 % bound."""
    if metric.name == "macro_f1":
        return paired.macro_f1_difference_low, paired.macro_f1_difference_high
    rows = max(1, paired.champion.rows)
    only, other = paired.only_candidate_right, paired.only_champion_right
    difference = (only - other) / rows
    spread = math.sqrt(max(0.0, (only + other) - (only - other) ** 2 / rows)) / rows
    return difference - 1.645 * spread, difference + 1.645 * spread


def _absolute_failures(
    gate: Gate, candidate: Evaluation, must_pass: MustPass | None
) -> Iterator[str]:
    for metric in gate.metrics:
        value = _value(metric, candidate)
        if value < float(metric.min):
            yield f"{metric.name} is {value:.3f}, under the minimum of {metric.min}."
    floor = float(gate.per_class_min.recall)
    for label, scores in candidate.per_class.items():
        if scores.support and scores.recall < floor:
            yield f"Recall of '{label}' is {scores.recall:.3f}, under the floor of {floor:g}."
    if must_pass and must_pass.failed:
        yield (
            f"{len(must_pass.failed)} of {must_pass.total} must-pass examples are wrong, "
            f"first: {must_pass.failed[0]!r}."
        )


def _worse(gate: Gate, candidate: Evaluation, paired: PairedComparison | None) -> Iterator[str]:
    if paired is None:
        return
    for metric in gate.metrics:
        difference = _difference(metric, candidate, paired)
        if difference < -float(metric.max_drop_vs_champion):
            yield (
                f"{metric.name} is {-difference:.3f} under {paired.champion_version}'s on the same rows; "
                f"at most {metric.max_drop_vs_champion} is allowed."
            )
    p_value = _mcnemar(paired)
    if paired.only_champion_right > paired.only_candidate_right and p_value < SIGNIFICANT:
        yield (
            f"{paired.champion_version} is right on {paired.only_champion_right} rows where the candidate is "
            f"wrong, the candidate on {paired.only_candidate_right} (McNemar p = {p_value:.3g})."
        )


def _doubts(gate: Gate, candidate: Evaluation, paired: PairedComparison | None) -> Iterator[str]:
    if candidate.rows < gate.min_samples:
        yield f"Only {candidate.rows} held-out rows; the gate wants {gate.min_samples}. Add labelled texts."
    missing = [label for label, scores in candidate.per_class.items() if scores.support == 0]
    if missing:
        yield f"No held-out row is labelled {', '.join(missing)}."
    if paired is None:
        return
    for metric in gate.metrics:
        difference = _difference(metric, candidate, paired)
        low, _ = _interval(metric, paired)
        if difference < 0:
            yield f"{metric.name} is {-difference:.3f} under {paired.champion_version}'s, within the noise of {candidate.rows} rows."
        elif low < -float(metric.max_drop_vs_champion):
            yield (
                f"{metric.name} could be as much as {-low:.3f} under {paired.champion_version}'s "
                f"({candidate.rows} rows cannot tell); at most {metric.max_drop_vs_champion} is allowed."
            )


def _praise(gate: Gate, candidate: Evaluation, paired: PairedComparison | None) -> str:
    values = ", ".join(f"{metric.name} {_value(metric, candidate):.3f}" for metric in gate.metrics)
    if paired is None:
        return f"{values} on {candidate.rows} held-out rows; there is no champion to compare with."
    return (
        f"{values} on {candidate.rows} held-out rows, {paired.macro_f1_difference:+.3f} macro-F1 against "
        f"{paired.champion_version} on the same rows."
    )


def _numbers(
    metric: GateMetric, candidate: Evaluation, paired: PairedComparison | None
) -> GateMetricResult:
    value = _value(metric, candidate)
    if paired is None:
        return GateMetricResult(name=metric.name, value=_text(value))
    low, high = _interval(metric, paired)
    return GateMetricResult(
        name=metric.name,
        value=_text(value),
        champion=_text(_value(metric, paired.champion)),
        difference=_text(_difference(metric, candidate, paired)),
        low=_text(low),
        high=_text(high),
    )


def _text(value: float) -> str:
    return f"{value:.4f}"
