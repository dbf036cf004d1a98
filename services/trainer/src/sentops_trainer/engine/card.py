"""card.md: what a person wants to know about a version before trusting it."""

from dataclasses import dataclass

import numpy as np

from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.run import RunSpec
from sentops_core.inference import Scored
from sentops_trainer.base_models import BaseModel
from sentops_trainer.engine.packaging import Packed
from sentops_trainer.engine.parity import Parity
from sentops_trainer.hyperparameters import Settings, as_plain
from sentops_trainer.rows import Dataset, Rows

_WORST = 8
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class Facts:
    spec: RunSpec
    settings: Settings
    base: BaseModel
    dataset: Dataset
    packed: Packed
    seconds: float


def write(facts: Facts) -> str:
    """The card, in Markdown."""
    sections = [
        _head(facts),
        _data(facts),
        _scores(facts.packed.evaluation),
        _confusion(facts.packed.evaluation),
        _serving(facts.packed),
        _fast_path(facts.packed),
        _settings(facts),
        _failures(facts),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _head(facts: Facts) -> str:
    spec, base = facts.spec, facts.base
    return (
        f"# {spec.model_name}, from training job {spec.training_job}\n\n"
        f"Answers a text with one of {', '.join(spec.labels)}. Made by the method {spec.method} from "
        f"{base.source} ({base.uri}, licence {base.licence})."
    )


def _data(facts: Facts) -> str:
    about, dataset = facts.dataset.about, facts.dataset
    lines = [
        "## Data",
        "",
        f"- {about.get('name', 'dataset')} {about.get('version', '')}, `{facts.spec.dataset_hash}`",
        f"- origin: {about.get('origin') or 'not stated'}; licence: {about.get('licence') or 'not stated'}",
        "",
        f"| rows | {' | '.join(facts.spec.labels)} | languages |",
        "|---|" + "---|" * (len(facts.spec.labels) + 1),
        _mix("training", dataset.train, len(facts.spec.labels)),
        _mix("held out", dataset.holdout, len(facts.spec.labels)),
    ]
    return "\n".join(lines)


def _mix(name: str, rows: Rows, labels: int) -> str:
    counts = np.bincount(rows.labels, minlength=labels)
    languages = sorted(set(rows.languages) - {""}) or ["not stated"]
    return f"| {name} {len(rows)} | {' | '.join(map(str, counts))} | {', '.join(languages)} |"


def _scores(evaluation: Evaluation) -> str:
    lines = [
        "## On the held-out rows",
        "",
        (
            f"Accuracy {evaluation.accuracy:.3f}, macro-F1 {evaluation.macro_f1:.3f}, calibration error "
            f"{evaluation.calibration_error:.3f} (ten bins), {evaluation.rows} rows that were never trained on."
        ),
        "",
        "| label | precision | recall | F1 | rows |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {label} | {scores.precision:.3f} | {scores.recall:.3f} | {scores.f1:.3f} | {scores.support} |"
        for label, scores in evaluation.per_class.items()
    ]
    return "\n".join(lines)


def _confusion(evaluation: Evaluation) -> str:
    labels = list(evaluation.per_class)
    lines = [
        "## Confusion",
        "",
        f"| true \\ answered | {' | '.join(labels)} |",
        "|---|" + "---|" * len(labels),
    ]
    lines += [
        f"| {label} | {' | '.join(map(str, row))} |"
        for label, row in zip(labels, evaluation.confusion, strict=True)
    ]
    return "\n".join(lines)


def _serving(packed: Packed) -> str:
    parity, config = packed.parity, packed.config
    lines = [
        "## As it serves",
        "",
        (
            f"Precision {config.precision}; float32 is within {parity.fp32_max_difference:.1g} of torch. The last "
            f"layer computes {parity.last_layer.replace('first', 'the first')}. The graph is {_written(parity)}. Temperature {config.temperature:.2f}, "
            f"fitted on training rows. Texts are read up to {config.max_length} tokens."
        ),
        "",
        "| precision | activations | float32's labels | macro-F1 lost | ms of a core a text | MB | passes |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.precision} | {one.activations} | {one.agreement:.1%} | {one.macro_f1_drop:+.4f} | {one.milliseconds:.2f} | "
        f"{one.bytes / 1e6:.1f} | {'yes' if one.passed else 'no'} |"
        for one in parity.tried
    ]
    return "\n".join(lines)


def _fast_path(packed: Packed) -> str:
    figures = packed.fast_path
    if figures is None:
        return ""
    report, fitted = figures.report, figures.fitted
    lines = ["## Fast path", "", report.message]
    if report.used:
        lines += [
            "",
            (
                f"A small student reads every text first. Where it gives a label {fitted.fast_path.threshold:.0%} or "
                "more, its answer stands; the full model answers the rest. Together they give the full model's label "
                f"for {report.agreement:.1%} of the held-out rows. The figures above are those of the two together."
            ),
        ]
    if figures.milliseconds is not None:
        times = figures.milliseconds
        lines += [
            "",
            "| ms of a core a text | student alone | full model alone | together |",
            "|---|---|---|---|",
            f"| from text to answer | {times.student:.2f} | {times.full:.2f} | {times.cascade:.2f} |",
        ]
    lines += [
        "",
        (
            f"The threshold was fitted on training rows that neither has learnt from: there the student answers "
            f"{fitted.share:.0%}, at a loss of {fitted.expected_loss:+.4f} of macro-F1 in expectation and "
            f"{fitted.counted_loss:+.4f} as counted. The student took {figures.seconds:.0f} s and "
            f"{figures.bytes / 1e6:.1f} MB."
        ),
    ]
    return "\n".join(lines)


def _written(parity: Parity) -> str:
    if parity.layout == "traced":
        return "traced"
    return f"written layer by layer, and where it is int8 {parity.smoothed} products are smoothed"


def _settings(facts: Facts) -> str:
    lines = ["## Settings and cost", ""]
    lines += [f"- {name}: {value}" for name, value in as_plain(facts.settings).items()]
    lines.append(f"- time: {facts.seconds:.0f} s on this run's machine")
    return "\n".join(lines)


def _failures(facts: Facts) -> str:
    holdout, labels = facts.dataset.holdout, facts.spec.labels
    wrong = [
        (answer, int(truth), text)
        for answer, truth, text in zip(
            facts.packed.scored, holdout.labels, holdout.texts, strict=True
        )
        if answer.label != labels[int(truth)]
    ]
    wrong.sort(key=lambda row: -row[0].score)
    if not wrong:
        return "## Known failures\n\nNone among the held-out rows."
    lines = ["## Known failures", "", "The held-out rows it is most wrongly sure of:", ""]
    lines += [_failure(answer, labels[truth], text) for answer, truth, text in wrong[:_WORST]]
    return "\n".join(lines)


def _failure(answer: Scored, truth: str, text: str) -> str:
    shown = " ".join(text.split())
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[: _SHOWN_CHARACTERS - 1] + "…"
    escaped = shown.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    return f"- {truth}, answered {answer.label} ({answer.score:.2f}): {escaped}"
