"""Which matrices lose most by 8 bits: tried one group after the other in torch, on texts of the training side."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.lean_graph import Smoothing
from sentops_trainer.engine.smoothing import rounded_text, rounded_weight

_MOST_ROWS = 32
_FEWEST_ROWS = 4
_MOST_WORK = 1e12  # multiply-adds of the whole search: under a minute on two cores
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Group:
    """Matrices that stand side by side in a layer, such as query, key and value; names as in the classifier.

    `shift` is how far the logits move, on average, if only these are in 8 bits; `share` theirs of all
    multiply-adds.
    """

    name: str
    matrices: tuple[str, ...]
    shift: float
    share: float


def measure_groups(
    classifier: Classifier, rows: list[list[int]], smoothing: Smoothing | None = None
) -> list[Group]:
    """Every group of the encoder, with what it costs in exactness and what it costs to compute.

    Without `smoothing` as a traced graph rounds, by token; with it as the other, by text.
    Takes the first few of the rows: fewer of them, the larger the encoder.
    """
    groups = _grouped(classifier)
    _, work = _logits_and_work(classifier, rows[:1])
    affordable = _MOST_WORK / max(1, sum(work.values()) * len(groups))
    rows = rows[: max(_FEWEST_ROWS, min(_MOST_ROWS, int(affordable)))]
    exact, work = _logits_and_work(classifier, rows)
    total = sum(work.values()) or 1
    found = []
    for name, matrices in groups.items():
        with _in_8_bits(matrices, smoothing):
            moved, _ = _logits_and_work(classifier, rows)
        found.append(
            Group(
                name=name,
                matrices=tuple(matrices),
                shift=float(np.abs(moved - exact).mean()),
                share=sum(work[matrix] for matrix in matrices.values()) / total,
            )
        )
    return found


def worth_keeping(groups: list[Group], budget: float) -> list[Group]:
    """The groups to leave in float: most shift for their work first, up to this share of all work."""
    kept, spent = [], 0.0
    for group in sorted(groups, key=lambda one: (-one.shift / max(one.share, 1e-9), one.name)):
        if group.shift > 0 and spent + group.share <= budget:
            kept.append(group)
            spent += group.share
    return kept


def _grouped(classifier: Classifier) -> dict[str, dict[str, nn.Linear]]:
    groups: dict[str, dict[str, nn.Linear]] = {}
    for name, module in classifier.encoder.named_modules(prefix="encoder"):
        if isinstance(module, nn.Linear):
            groups.setdefault(name.rpartition(".")[0], {})[name] = module
    return groups


def _logits_and_work(
    classifier: Classifier, rows: list[list[int]]
) -> tuple[Logits, dict[nn.Module, int]]:
    """One text at a time, like the server; and the multiply-adds of each matrix."""
    work: dict[nn.Module, int] = {}

    def count(module: nn.Module, given: tuple[Tensor], _: Tensor) -> None:
        assert isinstance(module, nn.Linear)  # noqa: S101 - hooked on no other
        products = given[0].numel() * module.out_features
        work[module] = work.get(module, 0) + products

    linear = [module for module in classifier.encoder.modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_hook(count) for module in linear]
    classifier.eval()
    try:
        with torch.inference_mode():
            logits = [
                classifier(torch.tensor([row]), torch.ones(1, len(row)).long()) for row in rows
            ]
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(logits).numpy(), {module: work.get(module, 0) for module in linear}


@contextmanager
def _in_8_bits(matrices: Mapping[str, nn.Linear], smoothing: Smoothing | None) -> Iterator[None]:
    """These answer as the quantised graph does: weights signed by channel, activations by token or by text."""
    by = None
    if smoothing is not None:
        known = smoothing.get(next(iter(matrices)))  # of query, key and value, the query's
        by = torch.as_tensor(1.0 if known is None else known)
    hooks = [matrix.register_forward_hook(_Rounded(matrix, by)) for matrix in matrices.values()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Rounded:
    """A forward hook that answers in the matrix's place: by text and divided where `by` says by what."""

    def __init__(self, matrix: nn.Linear, by: Tensor | None) -> None:
        weight = matrix.weight.detach()
        self._by = by
        self._weight = _in_7_bits(weight) if by is None else rounded_weight(weight * by)

    def __call__(self, matrix: nn.Module, given: tuple[Tensor], _: Tensor) -> Tensor:
        assert isinstance(matrix, nn.Linear)  # noqa: S101 - hooked on no other
        values = _by_token(given[0]) if self._by is None else rounded_text(given[0] / self._by)
        return nn.functional.linear(values, self._weight, matrix.bias)


def _in_7_bits(weight: Tensor) -> Tensor:
    """As onnxruntime's quantiser rounds to its reduced range."""
    step = (weight.abs().amax(dim=1, keepdim=True) / 64).clamp_min(1e-12)
    return (weight / step).round() * step


def _by_token(values: Tensor) -> Tensor:
    """To 127 steps on either side of zero."""
    step = (values.abs().amax(dim=-1, keepdim=True) / 127).clamp_min(1e-12)
    return (values / step).round() * step
