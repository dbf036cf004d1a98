"""One attempt from spec to published artefact, in a folder that outlives it so that the next one goes on."""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from transformers import set_seed

from sentops_core.artifacts import (
    fetch_artifact,
    get_folder,
    publish_folder,
    verify_artifact,
    write_manifest,
)
from sentops_core.domain.errors import ArtifactError, PlatformError
from sentops_core.domain.evaluation import Evaluation, MustPass, PairedComparison
from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import ChampionRef, RunExit, RunResult, RunSpec
from sentops_core.inference import Scored, Scorer
from sentops_trainer import base_models
from sentops_trainer.base_models import BaseModel
from sentops_trainer.engine import card
from sentops_trainer.engine.cascade_packing import Training
from sentops_trainer.engine.classifier import load_classifier
from sentops_trainer.engine.encoding import Encoder
from sentops_trainer.engine.fine_tune import train_fine_tune
from sentops_trainer.engine.linear import train_linear
from sentops_trainer.engine.packaging import (
    measure,
    pack,
    read_fast_path,
    write_answers,
    write_card,
    write_metrics,
)
from sentops_trainer.engine.parity import predictions
from sentops_trainer.engine.reference import write_reference
from sentops_trainer.engine.team import Team, assembled, device
from sentops_trainer.engine.trained import Trained, Workbench
from sentops_trainer.evaluation import Champion, compare
from sentops_trainer.failures import BadData, BadSpec, RunFailure
from sentops_trainer.hyperparameters import (
    LinearSettings,
    Settings,
    as_plain,
    for_rows,
    settle,
)
from sentops_trainer.progress import Progress
from sentops_trainer.ranks import Ranks
from sentops_trainer.rows import Dataset, Rows, read_dataset
from sentops_trainer.stopping import Stop

_SHOWN_CHARACTERS = 80
_ARTIFACT = "artifact"
_TRAINED = "trained.json"
_ALONE = Ranks()
_log = structlog.get_logger()


@dataclass(frozen=True)
class Workshop:
    """The job's work folder and what every step needs. What another training left in it is cleared away."""

    spec: RunSpec
    folder: Path
    progress: Progress
    stop: Stop

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def artifact(self) -> Path:
        return self.folder / _ARTIFACT

    @property
    def training(self) -> Path:
        return self.folder / "training"

    def fingerprint(self) -> str:
        """What the training depends on: not the attempt, and not who the champion is."""
        asked = self.spec.model_dump(
            mode="json", exclude={"attempt", "champion", "must_pass", "output_uri", "dataset_uri"}
        )
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def run(
    spec: RunSpec, folder: Path, progress: Progress, stop: Stop, ranks: Ranks = _ALONE
) -> RunResult | None:
    """Train (or find it trained), compare with the champion, publish. RunFailure with a sentence otherwise.

    None from every process but the first: all train, and it does the rest.
    """
    started = time.monotonic()
    workshop = Workshop(spec, folder, progress, stop)
    settings = settle(spec.method, spec.hyperparameters)
    if ranks.several and isinstance(settings, LinearSettings):
        raise BadSpec(
            f"the method {spec.method} trains in one process, not in {ranks.total}: leave numNodes out"
        )
    progress.report(0, force=True, step="reading the dataset")
    dataset = read_dataset(_dataset_folder(workshop), spec)
    settings = for_rows(settings, spec.hyperparameters, len(dataset.train))
    with assembled(ranks) as team:
        trained = None
        if not team.from_first(lambda: _already_trained(workshop)):
            trained = _train(workshop, settings, dataset, team)
    if not ranks.first:
        return None
    scored = None if trained is None else _pack(workshop, settings, dataset, trained, started)
    progress.report(97, force=True, step="comparing with the champion")
    scorer = Scorer.load(workshop.artifact)
    scorer.verify_golden()
    scored = scored or scorer.score(dataset.holdout.texts)
    evaluation = measure(spec.labels, dataset.holdout, scored)
    result = RunResult(
        exit=RunExit.OK,
        reason=Reason.RUN_FINISHED,
        message=f"macro-F1 {evaluation.macro_f1:.3f} on {evaluation.rows} held-out rows",
        evaluation=evaluation,
        fast_path=read_fast_path(workshop.artifact),
        paired=_against_champion(workshop, dataset.holdout, scored),
        must_pass=_must_pass(spec, scorer),
        artifact=publish_folder(workshop.artifact, spec.output_uri),
        seconds=round(time.monotonic() - started, 1),
    )
    progress.report(100, force=True, **_headline(evaluation))
    return result


def _dataset_folder(workshop: Workshop) -> Path:
    try:
        return get_folder(workshop.spec.dataset_uri, workshop.cache)
    except ArtifactError as error:
        raise BadData(f"the dataset cannot be read: {error}") from error


def _already_trained(workshop: Workshop) -> bool:
    """Whether the artefact in the folder is this training's, to the last byte; if not, make room for one."""
    note = workshop.folder / _TRAINED
    try:
        known = json.loads(note.read_bytes())
        if known["fingerprint"] == workshop.fingerprint() and known["digest"]:
            verify_artifact(workshop.artifact, known["digest"])
            _log.info("already_trained", digest=known["digest"])
            return True
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        known = {}
    if not isinstance(known, dict) or known.get("fingerprint") != workshop.fingerprint():
        for leftover in workshop.folder.glob("training*"):
            shutil.rmtree(leftover, ignore_errors=True)
        _write_atomically(note, {"fingerprint": workshop.fingerprint(), "digest": None})
    return False


@dataclass(frozen=True)
class _Model:
    base: BaseModel
    trained: Trained


def _train(workshop: Workshop, settings: Settings, dataset: Dataset, team: Team) -> _Model | None:
    """The trained classifier; None from every process but the first."""
    spec = workshop.spec
    workshop.progress.report(0, force=True, step="loading the base model")
    base = base_models.resolve(spec.base_model_uri)
    set_seed(settings.seed)  # the fresh head is random, too
    is_linear = isinstance(settings, LinearSettings)
    pooling = base.pooling if is_linear else base.fine_tuning_pooling
    classifier = load_classifier(base, labels=len(spec.labels), pooling=pooling)
    classifier.to(device())
    encoder = Encoder.load(
        base.folder,
        prefix=base.prefix,
        pad_token_id=base.pad_token_id,
        max_length=min(settings.max_length, classifier.longest_input),
    )
    workshop.training.mkdir(exist_ok=True)
    bench = Workbench(workshop.training, workshop.progress, workshop.stop, team)
    if isinstance(settings, LinearSettings):
        return _Model(base, train_linear(classifier, encoder, dataset.train, settings, bench))
    trained = train_fine_tune(classifier, encoder, dataset.train, settings, bench)
    return None if trained is None else _Model(base, trained)


def _pack(
    workshop: Workshop, settings: Settings, dataset: Dataset, model: _Model, started: float
) -> list[Scored]:
    """Fill the artefact folder; what the new model answers for the held-out rows."""
    spec = workshop.spec
    partial = workshop.folder / f".{_ARTIFACT}.partial"
    for leftover in (partial, workshop.artifact):
        shutil.rmtree(leftover, ignore_errors=True)
    packed = pack(
        Training(model.trained, dataset.train, settings.seed),
        dataset.holdout,
        spec.labels,
        partial,
        workshop.progress,
        fast_path=spec.fast_path,
    )
    write_metrics(partial, packed, model.trained.notes)
    write_answers(partial, spec.labels, dataset.holdout, packed.scored)
    write_reference(partial, dataset, packed.scored)
    seconds = time.monotonic() - started
    facts = card.Facts(spec, settings, model.base, dataset, packed, seconds)
    write_card(partial, card.write(facts))
    digest = write_manifest(
        partial,
        model_name=spec.model_name,
        training_job=spec.training_job,
        attempt=spec.attempt,
        created_at=datetime.now(UTC),
        base_model=spec.base_model_uri,
        method=spec.method.value,
        dataset_hash=spec.dataset_hash,
        seed=settings.seed,
        hyperparameters=as_plain(settings),
        evaluation=packed.evaluation,
    )
    partial.rename(workshop.artifact)
    _write_atomically(
        workshop.folder / _TRAINED, {"fingerprint": workshop.fingerprint(), "digest": digest}
    )
    shutil.rmtree(workshop.training, ignore_errors=True)  # the checkpoints have served
    return packed.scored


def _against_champion(
    workshop: Workshop, holdout: Rows, candidate: list[Scored]
) -> PairedComparison | None:
    champion, spec = workshop.spec.champion, workshop.spec
    if champion is None:
        return None
    scorer = _load_champion(champion, workshop.cache)
    scored = scorer.score(holdout.texts)
    return compare(
        holdout.labels,
        predictions(spec.labels, candidate),
        Champion(champion, predictions(spec.labels, scored), measure(spec.labels, holdout, scored)),
        seed=spec.hyperparameters.seed,
    )


def _load_champion(champion: ChampionRef, cache: Path) -> Scorer:
    try:
        return Scorer.load(fetch_artifact(champion.storage_uri, champion.digest, cache))
    except PlatformError as error:
        raise RunFailure(
            f"the champion {champion.model_version} cannot be loaded to compare with: {error}"
        ) from error


def _must_pass(spec: RunSpec, scorer: Scorer) -> MustPass:
    failed = [
        example.text if len(example.text) <= _SHOWN_CHARACTERS else example.text[:79] + "…"
        for example in spec.must_pass
        if scorer.score_one(example.text).label != example.label
    ]
    return MustPass(total=len(spec.must_pass), failed=tuple(failed))


def _headline(evaluation: Evaluation) -> dict[str, float]:
    return {"macro_f1": evaluation.macro_f1, "accuracy": evaluation.accuracy}


def _write_atomically(path: Path, content: dict[str, object]) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_text(json.dumps(content))
    partial.rename(path)
