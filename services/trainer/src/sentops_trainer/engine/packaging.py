"""Filling the artefact folder, and measuring what it holds as it will serve."""

import itertools
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from scipy.special import logit

from sentops_core.domain.artifact import (
    ANSWERS,
    CARD,
    CONFIG,
    GOLDEN,
    METRICS,
    MODEL,
    MOST_ANSWERS,
    TOKENIZER,
    WEIGHTS,
    GoldenPrediction,
    InferenceConfig,
)
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPath, FastPathMode, FastPathReport
from sentops_core.inference import Scored, Scorer, write_golden
from sentops_trainer.engine.calibration import fit_temperature
from sentops_trainer.engine.cascade_packing import (
    FastPathFigures,
    Serving,
    Training,
    add_fast_path,
)
from sentops_trainer.engine.parity import Candidates, Parity, choose, predictions
from sentops_trainer.evaluation import evaluation_of
from sentops_trainer.progress import Progress
from sentops_trainer.rows import Rows

_GOLDEN_ROWS = 20
_LONG_TEXTS_TRIED = 10
_SETTLED = 0.05  # of log odds between a student's confidence and the threshold
_log = structlog.get_logger()


@dataclass(frozen=True)
class Packed:
    """What a packed folder answers on the held-out rows, in their order."""

    config: InferenceConfig
    parity: Parity
    scored: list[Scored]
    evaluation: Evaluation
    fast_path: FastPathFigures | None


def pack(
    training: Training,
    holdout: Rows,
    labels: tuple[str, ...],
    folder: Path,
    progress: Progress,
    *,
    fast_path: FastPathMode,
) -> Packed:
    """Write config.json, model.onnx, tokenizer.json, golden.jsonl and perhaps student.onnx to `folder`."""
    trained = training.trained
    encoder = trained.encoder
    config = InferenceConfig(
        labels=labels,
        max_length=encoder.max_length,
        prefix=encoder.prefix,
        pad_token_id=encoder.pad_token_id,
        temperature=fit_temperature(trained.calibration_logits, trained.calibration_labels),
        precision="fp32",
        golden_tolerance=0.01,
    )
    graphs = folder / "graphs"
    candidates = Candidates(trained.classifier.to("cpu"), encoder, config, graphs)
    choice = choose(
        candidates, holdout, training.rows, lambda step: progress.report(90, force=True, step=step)
    )
    for name in (CONFIG, MODEL, WEIGHTS, TOKENIZER):
        if (choice.scorer.folder / name).exists():  # small models and traced ones have no WEIGHTS
            (choice.scorer.folder / name).rename(folder / name)
    full = Serving(Scorer.load(folder, beside=[choice.scorer]), choice.scored)
    shutil.rmtree(graphs)
    serving = add_fast_path(
        full,
        training,
        holdout,
        fast_path,
        lambda step: progress.report(93, force=True, step=step),
    )
    write_golden(folder / GOLDEN, _golden(serving.scorer, holdout, serving.scored))
    evaluation = measure(labels, holdout, serving.scored)
    _log.info("packed", precision=choice.parity.chosen, macro_f1=evaluation.macro_f1)
    return Packed(
        config=serving.scorer.config,
        parity=choice.parity,
        scored=serving.scored,
        evaluation=evaluation,
        fast_path=serving.figures,
    )


def measure(labels: tuple[str, ...], rows: Rows, scored: list[Scored]) -> Evaluation:
    """The figures of what a scorer answered for these rows."""
    return evaluation_of(
        labels,
        rows.labels,
        predictions(labels, scored),
        np.array([answer.score for answer in scored]),
    )


def write_metrics(folder: Path, packed: Packed, notes: dict[str, object]) -> None:
    """metrics.json: all that was measured, for people and for later comparisons."""
    content = {
        "evaluation": packed.evaluation.model_dump(),
        "parity": asdict(packed.parity),
        "temperature": packed.config.temperature,
        "fast_path": packed.fast_path.to_document() if packed.fast_path else None,
        "training": notes,
    }
    (folder / METRICS).write_text(json.dumps(content, indent=1))


def read_fast_path(folder: Path) -> FastPathReport | None:
    """What write_metrics wrote of it."""
    known = json.loads((folder / METRICS).read_bytes())["fast_path"]
    return None if known is None else FastPathReport.model_validate(known["report"])


def write_answers(
    folder: Path, labels: tuple[str, ...], holdout: Rows, scored: list[Scored]
) -> None:
    """answers.parquet: what two versions are later compared by. Of very many rows always the same are kept."""
    chosen = sorted(range(len(holdout)), key=holdout.hashes.__getitem__)[:MOST_ANSWERS]
    columns = {
        "content_hash": pa.array([holdout.hashes[row] for row in chosen], pa.string()),
        "truth": pa.array([labels[holdout.labels[row]] for row in chosen]).dictionary_encode(),
        "answer": pa.array([scored[row].label for row in chosen]).dictionary_encode(),
        "score": pa.array([scored[row].score for row in chosen], pa.float32()),
    }
    pq.write_table(pa.table(columns), folder / ANSWERS, compression="zstd")


def write_card(folder: Path, card: str) -> None:
    (folder / CARD).write_text(card, encoding="utf-8")


def _golden(scorer: Scorer, holdout: Rows, scored: list[Scored]) -> list[GoldenPrediction]:
    """Some twenty texts over all labels, languages, lengths and paths, a truncated one among them.

    Only clear answers: a near tie could turn on another CPU's rounding and refuse a sound artefact.
    """
    margin = 2 * scorer.config.golden_tolerance
    settled = _settled(scorer, holdout.texts)
    clear = [index for index in settled if _lead(scored[index]) > margin]
    if not clear:
        clear = sorted(range(len(scored)), key=lambda index: -_lead(scored[index]))[:1]
    texts = [holdout.texts[index] for index in _spread(clear, holdout, scored)]
    golden = [(text, scorer.score_one(text)) for text in texts]
    if not any(answer.truncated for _, answer in golden):
        clearest = sorted(clear, key=lambda index: -_lead(scored[index]))[:_LONG_TEXTS_TRIED]
        long_texts = (_long_text(scorer, holdout.texts[index]) for index in clearest)
        answers = (
            (text, scorer.score_one(text)) for text in long_texts if _settled(scorer, [text])
        )
        golden += itertools.islice((one for one in answers if _lead(one[1]) > margin), 1)
    return [
        GoldenPrediction(text=text, label=answer.label, scores=answer.scores)
        for text, answer in golden
        if _lead(answer) > margin or len(golden) <= 2
    ]


def _settled(scorer: Scorer, texts: list[str]) -> list[int]:
    """The texts that rounding cannot send another way: the student is clearly surer than it must be, or less sure."""
    fast_path = scorer.config.fast_path
    if fast_path is None:
        return list(range(len(texts)))
    always = scorer.with_fast_path(FastPath(temperature=fast_path.temperature, threshold=1e-9))
    return [
        index
        for index, answer in enumerate(always.score(texts))
        if abs(logit(answer.score) - logit(fast_path.threshold)) > _SETTLED
    ]


def _spread(clear: list[int], holdout: Rows, scored: list[Scored]) -> list[int]:
    """Round and round through the groups of (language, answer, path), in each from the longest and the shortest."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for index in sorted(clear, key=lambda index: (len(holdout.texts[index]), index)):
        answer = scored[index]
        groups.setdefault((holdout.languages[index], answer.label, answer.path), []).append(index)
    picked: list[int] = []
    from_the_long_end = True
    while len(picked) < _GOLDEN_ROWS and any(groups.values()):
        for members in groups.values():
            if members and len(picked) < _GOLDEN_ROWS:
                picked.append(members.pop(-1 if from_the_long_end else 0))
        from_the_long_end = not from_the_long_end
    return picked


def _long_text(scorer: Scorer, text: str) -> str:
    """The text doubled until the server has to cut."""
    while not scorer.score_one(text).truncated:
        text = f"{text} {text}"
    return text


def _lead(answer: Scored) -> float:
    first, second = sorted(answer.scores.values(), reverse=True)[:2]
    return first - second
