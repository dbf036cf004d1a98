"""Two or more trainings side by side: what was asked, what was measured, where two of them disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

from sentops_backoffice.deps import Parts
from sentops_backoffice.measures import Measures
from sentops_backoffice.trainings import job_measures
from sentops_core.domain.disagreement import Disagreement, Pairing, WhoIsRight, pair
from sentops_core.domain.errors import InvalidInput, NotFound, PlatformError
from sentops_core.domain.resources import settled_hyperparameters
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.model_versions import ModelVersionRow, ModelVersions
from sentops_core.store.pool import Connection, transaction
from sentops_core.store.serving_history import texts_of
from sentops_core.store.training_jobs import TrainingJobRow, TrainingJobs

MOST = 6
SHOWN = 50


@dataclass(frozen=True)
class Compared:
    """`letter` names it on the page: A, B, ..."""

    letter: str
    row: TrainingJobRow
    version: ModelVersionRow | None
    dataset: VersionRow | None
    measures: Measures | None

    @property
    def name(self) -> str:
        return self.row.job.metadata.name


@dataclass(frozen=True)
class Parameter:
    """One value per run, "" where it has none."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class Comparison:
    runs: tuple[Compared, ...]
    parameters: tuple[Parameter, ...]

    @property
    def same_rows(self) -> bool:
        """Whether all were measured on the same held-out rows, as far as is known."""
        known = {run.dataset.holdout_hash if run.dataset else run.name for run in self.runs}
        return len(known) == 1

    @property
    def labels(self) -> tuple[str, ...]:
        found = [label for run in self.runs if run.measures for label in run.measures.labels]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Example:
    """`text` is None once it was erased."""

    text: str | None
    row: Disagreement


@dataclass(frozen=True)
class Disagreements:
    """`pairing` is None where answers are missing: `trouble` says of which run and why ("" for: never kept)."""

    first: Compared
    second: Compared
    pairing: Pairing | None = None
    examples: tuple[Example, ...] = ()
    next: str = ""
    missing: str = ""
    trouble: str = ""


async def compare_runs(parts: Parts, names: Sequence[str]) -> Comparison:
    """In the order asked for."""
    wanted = list(dict.fromkeys(names))
    if not 2 <= len(wanted) <= MOST:
        raise InvalidInput(
            f"Choose from two to {MOST} trainings to compare; {len(wanted)} are chosen."
        )
    async with transaction(parts.pool) as connection:
        runs = await _read(connection, wanted)
    compared = [
        Compared(letter, row, version, dataset, await job_measures(parts, row, version))
        for letter, (row, version, dataset) in zip("ABCDEF", runs, strict=False)
    ]
    return Comparison(tuple(compared), _parameters(compared))


Found = tuple[TrainingJobRow, ModelVersionRow | None, VersionRow | None]


async def _read(connection: Connection, names: Sequence[str]) -> list[Found]:
    jobs, datasets = TrainingJobs(connection), Datasets(connection)
    versions = await ModelVersions(connection).of_training_jobs(names)
    found = []
    for name in names:
        row = await jobs.get(name)
        dataset = await datasets.with_content(row.job.spec.dataset.content_hash)
        found.append((row, versions.get(name), dataset))
    return found


def _parameters(runs: Sequence[Compared]) -> tuple[Parameter, ...]:
    each = [_settings(run) for run in runs]
    names = dict.fromkeys(name for one in each for name in one)
    return tuple(Parameter(name, tuple(one.get(name, "") for one in each)) for name in names)


def _settings(run: Compared) -> dict[str, str]:
    spec = run.row.job.spec
    gate, rollout = spec.gate, spec.promotion.rollout
    found = {
        "dataset": run.row.dataset_version or spec.dataset.content_hash[:19],
        "rows_train": str(run.dataset.rows_train) if run.dataset else "",
        "rows_holdout": str(run.dataset.rows_holdout) if run.dataset else "",
        "labels": ", ".join(spec.dataset.labels),
        "method": spec.trainer.method.value,
        "base": spec.base_model.storage_uri,
        **settled_hyperparameters(spec.trainer.method, spec.trainer.hyperparameters),
        "nodes": str(spec.trainer.num_nodes),
        "fast_path": spec.fast_path.value,
        "gate_rows": str(gate.min_samples),
    }
    for metric in gate.metrics:
        found[f"gate_{metric.name}"] = metric.min
        found[f"gate_{metric.name}_drop"] = metric.max_drop_vs_champion
    return found | {
        "gate_recall": gate.per_class_min.recall,
        "gate_must_pass": str(len(gate.must_pass)),
        "promotion": spec.promotion.mode.value,
        "rollout_steps": str(len(rollout.steps)),
    }


async def disagreements(
    parts: Parts,
    first: Compared,
    second: Compared,
    *,
    who: WhoIsRight | None = None,
    after: str = "",
    limit: int = SHOWN,
) -> Disagreements:
    """One page of them, by content hash."""
    each = []
    for run in (first, second):
        if run.version is None:
            return Disagreements(first, second, missing=run.letter)
        try:
            answers = await parts.artefacts.answers(run.version.version.spec.artifact)
        except PlatformError as error:
            return Disagreements(first, second, missing=run.letter, trouble=str(error))
        if answers is None:
            return Disagreements(first, second, missing=run.letter)
        each.append(answers)
    found = pair(each[0], each[1])
    wanted = [
        one
        for one in found.disagreements
        if one.content_hash > after and (who is None or one.who is who)
    ]
    shown = wanted[:limit]
    async with transaction(parts.pool) as connection:
        texts = await texts_of(connection, [one.content_hash for one in shown])
    return Disagreements(
        first=first,
        second=second,
        pairing=found,
        examples=tuple(Example(texts.get(one.content_hash), one) for one in shown),
        next=shown[-1].content_hash if len(wanted) > limit else "",
    )


def chosen_pair(comparison: Comparison, letters: str) -> tuple[Compared, Compared]:
    """`letters` such as AC; the first two when empty."""
    by_letter = {run.letter: run for run in comparison.runs}
    letters = letters or "AB"
    if len(letters) != 2 or letters[0] == letters[1] or not set(letters) <= by_letter.keys():
        raise NotFound(
            f"There is no pair {letters[:10]!r} of the {len(by_letter)} trainings.",
            saying="no_pair",
            facts={"pair": letters[:10]},
        )
    return by_letter[letters[0]], by_letter[letters[1]]
