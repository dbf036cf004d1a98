"""Which graph serves: of those that answer as float32 does, the one that takes least time for a text."""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from sentops_core.domain.artifact import CONFIG, MODEL, TOKENIZER, WEIGHTS, InferenceConfig
from sentops_core.inference import Scored, Scorer
from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.encoding import Encoder
from sentops_trainer.engine.export import (
    export_float,
    export_int8,
    torch_logits,
    trace_float,
    trace_int8,
)
from sentops_trainer.engine.first_token import reading_first_token
from sentops_trainer.engine.lean_graph import OtherBuild, Smoothing
from sentops_trainer.engine.quantisation import Group, measure_groups, worth_keeping
from sentops_trainer.engine.smoothing import measure_smoothing
from sentops_trainer.evaluation import Numbers, macro_f1
from sentops_trainer.failures import RunFailure
from sentops_trainer.rows import Rows

Precision = Literal["fp32", "int8", "mixed"]
LastLayer = Literal["first token", "all tokens"]
Layout = Literal["layer by layer", "traced"]
Activations = Literal["float", "8 bits by text", "8 bits by token"]

MIN_AGREEMENT = 0.985
MAX_MACRO_F1_DROP = 0.005
BUDGETS = (1 / 8, 1 / 4, 1 / 2)  # of all work that a mixed graph may leave in float, tried in turn
_MAX_FLOAT_DIFFERENCE = 1e-2  # logits; measured are 1e-6 to 1e-5
_ROWS_COMPARED_WITH_TORCH = 200  # an unlike graph shows in the first ten
_TEXTS_TIMED, _ROUNDS = 40, 5
_SAME_MS, _SAME_SHARE = 0.1, 0.05  # less is no gain to pay for with four times the memory
_TOLERANCE: dict[Precision, float] = {
    "fp32": 0.01,
    "int8": 0.05,  # another CPU rounds int8 otherwise
    "mixed": 0.05,
}
_log = structlog.get_logger()


@dataclass(frozen=True)
class Tried:
    """A graph beside the float32 one on the held-out rows; `milliseconds` of one core, for one text."""

    precision: Precision
    activations: Activations
    in_float: tuple[str, ...]
    agreement: float
    macro_f1_drop: float
    bytes: int
    milliseconds: float
    passed: bool


@dataclass(frozen=True)
class Parity:
    """How the float32 graph compares with torch, the others with it, and what was chosen for that."""

    rows: int
    layout: Layout
    last_layer: LastLayer
    smoothed: int  # products whose input is divided before it is rounded
    fp32_max_difference: float
    fp32_agreement: float
    tried: tuple[Tried, ...]
    chosen: Precision

    def of(self, precision: Precision) -> Tried | None:
        """The last that was tried in this precision."""
        return next((one for one in reversed(self.tried) if one.precision == precision), None)


@dataclass(frozen=True)
class Choice:
    """The folder that holds the chosen graph is the scorer's; `scored` are its answers for the held-out rows."""

    parity: Parity
    scorer: Scorer
    scored: list[Scored]


@dataclass(frozen=True)
class Graph:
    """An exported graph as it would serve, and what it answers for the held-out rows."""

    precision: Precision
    activations: Activations
    in_float: tuple[str, ...]
    scorer: Scorer
    scored: list[Scored]


@dataclass(frozen=True)
class Candidates:
    """Makes a folder per graph, each beneath `folder`, with all that a server reads."""

    classifier: Classifier
    encoder: Encoder
    config: InferenceConfig
    folder: Path

    def built(
        self,
        name: str,
        precision: Precision,
        export: Callable[[Path], None],
        *,
        beside: Iterable[Scorer] = (),
    ) -> Scorer:
        part = self.folder / name
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        config = self.config.model_copy(
            update={"precision": precision, "golden_tolerance": _TOLERANCE[precision]}
        )
        (part / CONFIG).write_text(config.model_dump_json(indent=1))
        self.encoder.tokenizer.save(str(part / TOKENIZER), pretty=False)
        export(part / MODEL)
        return Scorer.load(part, beside=beside)


def choose(
    candidates: Candidates, holdout: Rows, train: Rows, report: Callable[[str], None]
) -> Choice:
    """Export, compare and time: int8 first; where it answers otherwise, some in float.

    `train` tells what to smooth and which matrices: the held-out rows only say whether a graph passes.
    """
    report("exporting fp32")
    exact = _FloatGraph.of(candidates, holdout)
    graphs = [Graph("fp32", "float", (), exact.scorer, exact.scorer.score(holdout.texts))]
    rows = candidates.encoder.encode(_spread(train.texts))
    traced = exact.layout == "traced"
    smoothing: Smoothing | None = None
    if not traced:
        report("measuring what to smooth")
        smoothing = measure_smoothing(exact.classifier, rows)

    def add(kept: Sequence[Group], precision: Precision, *, by_token: bool) -> bool:
        report(f"exporting {precision}")
        in_float = [matrix for group in kept for matrix in group.matrices]

        def export(path: Path) -> None:
            if traced:
                trace_int8(exact.classifier, path, in_float=in_float, by_token=by_token)
            else:
                export_int8(exact.classifier, path, in_float=in_float, smoothing=smoothing)

        name = f"{precision}-{len(graphs)}"
        scorer = candidates.built(name, precision, export, beside=[exact.scorer])
        groups = tuple(sorted(group.name for group in kept))
        activations: Activations = "8 bits by token" if by_token else "8 bits by text"
        graph = Graph(precision, activations, groups, scorer, scorer.score(holdout.texts))
        graphs.append(graph)
        return _passes(*_beside(graphs[0], graph, holdout))

    if not (add((), "int8", by_token=False) or (traced and add((), "int8", by_token=True))):
        report("measuring which products 8 bits move most")
        groups = measure_groups(exact.classifier, rows, smoothing)
        for kept in _mixtures(groups):
            if add(kept, "mixed", by_token=traced):
                break  # the next would compute more of it in float
    report("measuring on the held-out rows")
    tried = _tried(graphs, holdout)
    number = cheapest(tried)
    parity = Parity(
        rows=len(holdout),
        layout=exact.layout,
        smoothed=len(smoothing or {}),
        last_layer=exact.last_layer,
        fp32_max_difference=round(exact.difference, 8),
        fp32_agreement=exact.agreement,
        tried=tuple(tried),
        chosen=tried[number].precision,
    )
    return Choice(parity, graphs[number].scorer, graphs[number].scored)


def cheapest(tried: Sequence[Tried]) -> int:
    """Which one serves: of those that pass, the smallest whose time is the shortest or as good as that."""
    passing = [number for number, one in enumerate(tried) if one.passed]
    shortest = min(tried[number].milliseconds for number in passing)
    enough = shortest * (1 + _SAME_SHARE) + _SAME_MS
    return min(
        (number for number in passing if tried[number].milliseconds <= enough),
        key=lambda number: (tried[number].bytes, number),
    )


def predictions(labels: tuple[str, ...], scored: list[Scored]) -> Numbers:
    """The answers' labels by their number; -1 for one that is not among the labels."""
    number_of = {label: number for number, label in enumerate(labels)}
    return np.array([number_of.get(answer.label, -1) for answer in scored], dtype=np.int64)


@dataclass(frozen=True)
class _FloatGraph:
    classifier: Classifier
    layout: Layout
    last_layer: LastLayer
    scorer: Scorer
    difference: float
    agreement: float

    @classmethod
    def of(cls, candidates: Candidates, holdout: Rows) -> "_FloatGraph":
        """The leanest graph that answers as torch does; RunFailure if even the full and traced one does not."""
        compared = holdout.texts[:_ROWS_COMPARED_WITH_TORCH]
        expected = torch_logits(candidates.classifier, candidates.encoder.encode(compared))

        def tried(classifier: Classifier, last_layer: LastLayer, layout: Layout) -> _FloatGraph:
            export = trace_float if layout == "traced" else export_float
            scorer = candidates.built("fp32", "fp32", lambda path: export(classifier, path))
            found = scorer.logits(compared)
            return cls(
                classifier,
                layout,
                last_layer,
                scorer,
                difference=float(np.abs(found - expected).max()),
                agreement=float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
            )

        full = candidates.classifier
        leaner = reading_first_token(full)
        kinds: list[tuple[Classifier, LastLayer, Layout]] = [
            (leaner or full, "first token" if leaner else "all tokens", "layer by layer")
        ]
        if leaner:
            kinds.append((leaner, "first token", "traced"))
        for classifier, last_layer, layout in kinds:
            try:
                graph = tried(classifier, last_layer, layout)
            except OtherBuild as error:
                _log.info("graph_not_used", layout=layout, why=str(error))
            except Exception as error:  # noqa: BLE001 - the exporter and the runtime raise what they like
                _log.warning("graph_not_used", layout=layout, why=str(error))
            else:
                if graph.difference <= _MAX_FLOAT_DIFFERENCE:
                    return graph
                _log.warning("graph_not_used", layout=layout, difference=graph.difference)
        graph = tried(full, "all tokens", "traced")
        if graph.difference > _MAX_FLOAT_DIFFERENCE:
            raise RunFailure(
                f"the exported graph differs from torch by up to {graph.difference:.3g} on the held-out rows: "
                "it is not published"
            )
        return graph


def _mixtures(groups: list[Group]) -> list[list[Group]]:
    """What to leave in float, by growing budget; a set that is no other than the one before is left out."""
    found: list[list[Group]] = []
    for budget in BUDGETS:
        kept = worth_keeping(groups, budget)
        if kept and kept not in found:
            found.append(kept)
    return found


def _spread(texts: list[str]) -> list[str]:
    """Texts of all lengths, always the same ones; in an order whose beginning is spread as well."""
    by_length = sorted(set(texts), key=lambda text: (len(text), text))
    chosen = [by_length[len(by_length) * part // 32] for part in range(32)]
    return list(dict.fromkeys(chosen[start] for step in range(8) for start in range(step, 32, 8)))


def _beside(exact: Graph, graph: Graph, holdout: Rows) -> tuple[float, float]:
    """(share of float32's labels, loss of macro-F1)."""
    labels = exact.scorer.config.labels
    expected, found = predictions(labels, exact.scored), predictions(labels, graph.scored)
    drop = macro_f1(holdout.labels, expected, len(labels)) - macro_f1(
        holdout.labels, found, len(labels)
    )
    return float((found == expected).mean()), float(drop)


def _passes(agreement: float, drop: float) -> bool:
    return agreement >= MIN_AGREEMENT and drop <= MAX_MACRO_F1_DROP


def _tried(graphs: list[Graph], holdout: Rows) -> list[Tried]:
    times = _milliseconds([graph.scorer for graph in graphs], holdout.texts[:_TEXTS_TIMED])
    found = []
    for graph, milliseconds in zip(graphs, times, strict=True):
        agreement, drop = _beside(graphs[0], graph, holdout)
        found.append(
            Tried(
                precision=graph.precision,
                activations=graph.activations,
                in_float=graph.in_float,
                agreement=round(agreement, 6),
                macro_f1_drop=round(drop, 6),
                bytes=_bytes(graph.scorer.folder),
                milliseconds=round(milliseconds, 4),
                passed=_passes(agreement, drop),
            )
        )
    return found


def _bytes(folder: Path) -> int:
    files = (folder / name for name in (MODEL, WEIGHTS))
    return sum(file.stat().st_size for file in files if file.exists())


def _milliseconds(scorers: list[Scorer], texts: list[str]) -> list[float]:
    """Of this thread's CPU, in turns, the best round of each: other work on the machine hardly shows."""
    best = [float("inf")] * len(scorers)
    for _ in range(_ROUNDS):
        for number, scorer in enumerate(scorers):
            started = time.thread_time()
            scorer.score(texts)
            best[number] = min(best[number], 1000 * (time.thread_time() - started) / len(texts))
    return best
