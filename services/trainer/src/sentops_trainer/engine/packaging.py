"""Choosing the graph by rule, measuring it as it will serve, and filling the artefact folder."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from sentops_core.domain.artifact import (
    ANSWERS,
    CARD,
    CONFIG,
    GOLDEN,
    METRICS,
    MODEL,
    MOST_ANSWERS,
    TOKENIZER,
    GoldenPrediction,
    InferenceConfig,
)
from sentops_core.domain.evaluation import Evaluation
from sentops_core.inference import Scored, Scorer, write_golden
from sentops_trainer.engine.calibration import fit_temperature
from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.encoding import Encoder
from sentops_trainer.engine.export import export_float, export_int8, torch_logits
from sentops_trainer.engine.trained import Trained
from sentops_trainer.evaluation import evaluation_of, macro_f1
from sentops_trainer.failures import RunFailure
from sentops_trainer.progress import Progress
from sentops_trainer.rows import Rows

Precision = Literal["fp32", "int8"]

MIN_AGREEMENT = 0.985
MAX_MACRO_F1_DROP = 0.005
_MAX_FLOAT_DIFFERENCE = 1e-2  # logits; measured are 1e-6 to 1e-5
_ROWS_COMPARED_WITH_TORCH = 200  # an unlike graph shows in the first ten
_GOLDEN_ROWS = 20
_TOLERANCE: dict[Precision, float] = {
    "fp32": 0.01,
    "int8": 0.05,
}  # another CPU rounds int8 otherwise
_EXPORTS: dict[Precision, Callable[[Classifier, Path], None]] = {
    "fp32": export_float,
    "int8": export_int8,
}
_log = structlog.get_logger()


@dataclass(frozen=True)
class Parity:
    """How the graphs compare with torch on the held-out rows, and what was chosen for that."""

    rows: int
    fp32_max_difference: float
    fp32_agreement: float
    int8_agreement: float
    int8_macro_f1_drop: float
    fp32_bytes: int
    int8_bytes: int
    chosen: Precision


@dataclass(frozen=True)
class Packed:
    """What a packed folder answers on the held-out rows, in their order."""

    config: InferenceConfig
    parity: Parity
    scored: list[Scored]
    evaluation: Evaluation


def pack(
    trained: Trained,
    holdout: Rows,
    labels: tuple[str, ...],
    folder: Path,
    progress: Progress,
) -> Packed:
    """Write config.json, model.onnx, tokenizer.json and golden.jsonl to `folder`."""
    classifier, encoder = trained.classifier.to("cpu"), trained.encoder
    temperature = fit_temperature(trained.calibration_logits, trained.calibration_labels)
    scorers: dict[Precision, Scorer] = {}
    for precision, export in _EXPORTS.items():
        progress.report(90, step=f"exporting {precision}")
        part = folder / precision
        part.mkdir(parents=True)
        config = InferenceConfig(
            labels=labels,
            max_length=encoder.max_length,
            prefix=encoder.prefix,
            pad_token_id=encoder.pad_token_id,
            temperature=temperature,
            precision=precision,
            golden_tolerance=_TOLERANCE[precision],
        )
        (part / CONFIG).write_text(config.model_dump_json(indent=1))
        _save_tokenizer(encoder, part)
        export(classifier, part / MODEL)
        scorers[precision] = Scorer.load(part)
    progress.report(94, force=True, step="measuring on the held-out rows")
    parity, scored = _choose(classifier, encoder, holdout, labels, scorers)
    chosen = scorers[parity.chosen]
    for name in (CONFIG, MODEL, TOKENIZER):
        (folder / parity.chosen / name).rename(folder / name)
    for precision in scorers:
        shutil.rmtree(folder / precision)
    write_golden(folder / GOLDEN, _golden(chosen, holdout, scored))
    evaluation = measure(labels, holdout, scored)
    _log.info("packed", precision=parity.chosen, macro_f1=evaluation.macro_f1)
    return Packed(config=chosen.config, parity=parity, scored=scored, evaluation=evaluation)


def measure(labels: tuple[str, ...], rows: Rows, scored: list[Scored]) -> Evaluation:
    """The figures of what a scorer answered for these rows."""
    return evaluation_of(
        labels,
        rows.labels,
        predictions(labels, scored),
        np.array([answer.score for answer in scored]),
    )


def predictions(labels: tuple[str, ...], scored: list[Scored]) -> npt.NDArray[np.int64]:
    """The answers' labels by their number; -1 for one that is not among the labels."""
    number_of = {label: number for number, label in enumerate(labels)}
    return np.array([number_of.get(answer.label, -1) for answer in scored], dtype=np.int64)


def write_metrics(folder: Path, packed: Packed, notes: dict[str, object]) -> None:
    """metrics.json: all that was measured, for people and for later comparisons."""
    content = {
        "evaluation": packed.evaluation.model_dump(),
        "parity": asdict(packed.parity),
        "temperature": packed.config.temperature,
        "training": notes,
    }
    (folder / METRICS).write_text(json.dumps(content, indent=1))


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


def _save_tokenizer(encoder: Encoder, folder: Path) -> None:
    encoder.tokenizer.save(str(folder / TOKENIZER), pretty=False)


def _choose(
    classifier: Classifier,
    encoder: Encoder,
    holdout: Rows,
    labels: tuple[str, ...],
    scorers: dict[Precision, Scorer],
) -> tuple[Parity, list[Scored]]:
    """int8 if it answers as float32 does and is no worse; a float graph unlike torch is an error of ours."""
    compared = holdout.texts[:_ROWS_COMPARED_WITH_TORCH]
    reference = torch_logits(classifier, encoder.encode(compared))
    exact = scorers["fp32"].logits(compared)
    difference = float(np.abs(exact - reference).max())
    if difference > _MAX_FLOAT_DIFFERENCE:
        raise RunFailure(
            f"the exported graph differs from torch by up to {difference:.3g} on the held-out rows: it is not published"
        )
    scored = {precision: scorer.score(holdout.texts) for precision, scorer in scorers.items()}
    found = {precision: predictions(labels, answers) for precision, answers in scored.items()}
    agreement = float((found["int8"] == found["fp32"]).mean())
    drop = macro_f1(holdout.labels, found["fp32"], len(labels)) - macro_f1(
        holdout.labels, found["int8"], len(labels)
    )
    chosen: Precision = (
        "int8" if agreement >= MIN_AGREEMENT and drop <= MAX_MACRO_F1_DROP else "fp32"
    )
    parity = Parity(
        rows=len(holdout),
        fp32_max_difference=round(difference, 8),
        fp32_agreement=float((exact.argmax(axis=1) == reference.argmax(axis=1)).mean()),
        int8_agreement=round(agreement, 6),
        int8_macro_f1_drop=round(drop, 6),
        fp32_bytes=(scorers["fp32"].folder / MODEL).stat().st_size,
        int8_bytes=(scorers["int8"].folder / MODEL).stat().st_size,
        chosen=chosen,
    )
    return parity, scored[chosen]


def _golden(scorer: Scorer, holdout: Rows, scored: list[Scored]) -> list[GoldenPrediction]:
    """Some twenty texts over all labels, languages and lengths, a truncated one among them.

    Only clear answers: a near tie could turn on another CPU's rounding and refuse a sound artefact.
    """
    margin = 2 * scorer.config.golden_tolerance
    clear = [index for index, answer in enumerate(scored) if _lead(answer) > margin]
    if not clear:
        clear = sorted(range(len(scored)), key=lambda index: -_lead(scored[index]))[:1]
    texts = [holdout.texts[index] for index in _spread(clear, holdout, scored)]
    golden = [(text, scorer.score_one(text)) for text in texts]
    long_text = _long_text(scorer, [holdout.texts[index] for index in clear])
    if not any(answer.truncated for _, answer in golden):
        golden.append((long_text, scorer.score_one(long_text)))
    return [
        GoldenPrediction(text=text, label=answer.label, scores=answer.scores)
        for text, answer in golden
        if _lead(answer) > margin or len(golden) <= 2
    ]


def _spread(clear: list[int], holdout: Rows, scored: list[Scored]) -> list[int]:
    """Round and round through the groups of (language, answer), within each from the longest and the shortest."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index in sorted(clear, key=lambda index: (len(holdout.texts[index]), index)):
        groups.setdefault((holdout.languages[index], scored[index].label), []).append(index)
    picked: list[int] = []
    from_the_long_end = True
    while len(picked) < _GOLDEN_ROWS and any(groups.values()):
        for members in groups.values():
            if members and len(picked) < _GOLDEN_ROWS:
                picked.append(members.pop(-1 if from_the_long_end else 0))
        from_the_long_end = not from_the_long_end
    return picked


def _long_text(scorer: Scorer, texts: list[str]) -> str:
    """Texts joined until the server has to cut."""
    joined = texts[0]
    number = 0
    while not scorer.score_one(joined).truncated:
        number += 1
        joined += " " + texts[number % len(texts)]
    return joined


def _lead(answer: Scored) -> float:
    first, second = sorted(answer.scores.values(), reverse=True)[:2]
    return first - second
