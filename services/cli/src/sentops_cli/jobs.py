"""Training jobs as a person at a terminal follows them. The wording is pure; `watch` asks the trainer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.services import Service, parse
from sentops_core.domain.conditions import Condition
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.resources import (
    GateMetricResult,
    GateResult,
    TrainingJob,
    TrainingJobPhase,
    Verdict,
)

_EVERY = 1.0  # seconds
# What transformers reports too, and nobody at a terminal reads.
_FOR_MACHINES = frozenset(
    {"grad_norm", "learning_rate", "current_step", "total_steps", "current_epoch"}
)
_PATIENCE = timedelta(seconds=60)  # the trainer may be restarting


async def get_job(trainer: Service, name: str) -> TrainingJob:
    return parse_job(await trainer.get(f"/training-jobs/{name}"))


def parse_job(document: object) -> TrainingJob:
    return parse(TrainingJob, document)


async def watch(
    trainer: Service, name: str, *, every: float = _EVERY
) -> AsyncIterator[TrainingJob]:
    """The job at each change until it is final. A trainer that is away for a minute is waited for."""
    loop = asyncio.get_running_loop()
    last: TrainingJob | None = None
    answered = loop.time()
    while True:
        try:
            job = await get_job(trainer, name)
        except CommandError as error:
            away = loop.time() - answered
            if error.code is not ExitCode.NOT_RUNNING or away > _PATIENCE.total_seconds():
                raise
        else:
            answered = loop.time()
            if job != last:
                last = job
                yield job
            if job.status.phase.final:
                return
        await asyncio.sleep(every)


def percent(job: TrainingJob) -> int:
    if job.status.phase.final:
        return 100
    progress = job.status.trainer_status
    return (progress.progress_percentage or 0) if progress is not None else 0


def remaining(job: TrainingJob) -> str:
    """`1:05 left`, or nothing when the run has not said or is done."""
    progress = job.status.trainer_status
    if (
        progress is None
        or progress.estimated_remaining_seconds is None
        or job.status.phase is not TrainingJobPhase.RUNNING
    ):
        return ""
    return f"{clock(progress.estimated_remaining_seconds)} left"


def measured(job: TrainingJob) -> str:
    """What the run last reported, such as `loss 0.412, eval_macro_f1 0.71`."""
    progress = job.status.trainer_status
    if progress is None:
        return ""
    return ", ".join(
        f"{metric.name} {short(metric.value)}"
        for metric in progress.metrics
        if metric.name not in _FOR_MACHINES
    )


def reason(job: TrainingJob) -> str:
    """The sentence of the newest condition: why it waits, or why it failed."""
    conditions = job.status.conditions
    if not conditions:
        return ""
    return max(conditions, key=lambda one: (one.last_transition_time, _weight(one))).message


def _weight(condition: Condition) -> int:
    return {"Failed": 3, "GatePassed": 2, "Suspended": 1}.get(condition.type, 0)


def progress_line(job: TrainingJob) -> str:
    """One plain line: name, phase, percentage, time left, figures or the reason to wait."""
    running = job.status.phase is TrainingJobPhase.RUNNING
    parts = [job.metadata.name, job.status.phase.value]
    if running:
        parts.append(f"{percent(job)} %")
    parts += [remaining(job), measured(job) if running else reason(job)]
    return "  ".join(part for part in parts if part)


def verdict_lines(job: TrainingJob) -> Iterator[str]:
    """How it ended, with the numbers the gate stood on."""
    name, phase = job.metadata.name, job.status.phase
    evaluation = job.status.evaluation
    if evaluation is not None:
        yield (
            f"{name}: accuracy {evaluation.accuracy:.3f}, macro-F1 {evaluation.macro_f1:.3f} "
            f"on {evaluation.rows} held-out rows"
        )
    if job.status.fast_path is not None:
        yield fast_path_line(job.status.fast_path)
    gate = job.status.gate_result
    if gate is not None:
        yield from gate_lines(gate)
    version = job.status.model_version_ref
    match phase:
        case TrainingJobPhase.SUCCEEDED:
            yield f"{name} succeeded{f': {version.name}' if version is not None else ''}."
        case TrainingJobPhase.REJECTED:
            kept = f"; {version.name} is kept, but does not serve" if version is not None else ""
            yield f"{name} was rejected by the gate{kept}."
        case TrainingJobPhase.FAILED:
            yield f"{name} failed: {reason(job)}"
        case _:
            yield f"{name} is {phase.value}."


def fast_path_line(report: FastPathReport) -> str:
    """What the student is worth on the held-out rows, whether it serves or not."""
    figures = (
        f"{report.share:.0%} of the texts answered early, macro-F1 {report.macro_f1:.3f} with it and "
        f"{report.full_macro_f1:.3f} without, {report.agreement:.1%} the same label"
    )
    if report.used:
        return f"Fast path: {figures}"
    return f"Fast path not used: {report.message} ({figures})"


def gate_lines(gate: GateResult) -> Iterator[str]:
    against = f" against {gate.champion_version}" if gate.champion_version else ""
    chance = f", McNemar p = {short(gate.p_value)}" if gate.p_value is not None else ""
    yield f"Gate{against}: {gate.verdict.value} on {gate.samples} samples{chance}"
    for metric in gate.metrics:
        yield f"  {_metric(metric)}"
    for sentence in gate.reasons:
        yield f"  {sentence}"


def _metric(metric: GateMetricResult) -> str:
    line = f"{metric.name} {short(metric.value)}"
    if metric.champion is not None:
        line += f", champion {short(metric.champion)}"
    if metric.difference is not None:
        line += f", difference {float(metric.difference):+.3f}"
    if metric.low is not None and metric.high is not None:
        line += f" (90 % interval {float(metric.low):+.3f} to {float(metric.high):+.3f})"
    return line


def exit_code_of(job: TrainingJob) -> ExitCode:
    """0 passed, 1 failed, 5 rejected."""
    match job.status.phase:
        case TrainingJobPhase.REJECTED:
            return ExitCode.REJECTED
        case TrainingJobPhase.FAILED:
            return ExitCode.FAILED
        case _:
            return ExitCode.OK


def passed(job: TrainingJob) -> bool:
    gate = job.status.gate_result
    return gate is not None and gate.verdict is Verdict.PASS


def made(job: TrainingJob, version: str) -> bool:
    """Whether the version came of this job; names of jobs are used again."""
    reference = job.status.model_version_ref
    return reference is not None and reference.name == version


def clock(seconds: float) -> str:
    """`1:05`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short(value: str) -> str:
    """A number as text with at most four digits that matter; other text as it is."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
