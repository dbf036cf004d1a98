"""Which channels of a product's input are divided before it is rounded to 8 bits, and its weights multiplied instead.

After SmoothQuant (Xiao et al., 2023): a few channels of an encoder's activations are many times as large as the others
and take the 8 bits from them, while the weights have bits to spare. In exact numbers it changes nothing.
"""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn

from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.lean_graph import Smoothing, weight_steps

# How far a channel's size moves to the weights. Which is best differs by product: it is tried.
EXPONENTS = (0.4, 0.5, 0.6, 0.75)
_WORTH_IT = 0.9  # of the squared error without: a division takes its time
_LEAST = 1e-5


def measure_smoothing(classifier: Classifier, rows: list[list[int]]) -> Smoothing:
    """By the name of each product (of query, key and value: the query's), where it helps on these rows."""
    found = {}
    matrices = dict(classifier.named_modules())
    for name, inputs in _inputs(classifier, rows).items():
        beside = [name, name.replace("query", "key"), name.replace("query", "value")]
        parts = [matrices[one] for one in dict.fromkeys(beside)]
        weight = torch.cat([part.weight.detach() for part in parts])
        if (best := _best(weight, inputs)) is not None:
            found[name] = best.numpy().astype(np.float32)
    return found


def _inputs(classifier: Classifier, rows: list[list[int]]) -> dict[str, list[Tensor]]:
    seen: dict[str, list[Tensor]] = defaultdict(list)
    hooks = []
    for name, module in classifier.encoder.named_modules(prefix="encoder"):
        if isinstance(module, nn.Linear) and not name.endswith((".key", ".value")):

            def keep(_: nn.Module, given: tuple[Tensor], __: Tensor, name: str = name) -> None:
                seen[name].append(given[0][0])

            hooks.append(module.register_forward_hook(keep))
    classifier.eval()
    try:
        with torch.inference_mode():
            for row in rows:
                classifier(torch.tensor([row]), torch.ones(1, len(row)).long())
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _best(weight: Tensor, inputs: list[Tensor]) -> Tensor | None:
    """Of the exponents, the one whose rounded product is nearest to the exact one."""
    size = torch.cat(inputs).square().mean(dim=0).sqrt().clamp_min(_LEAST)
    against = weight.abs().amax(dim=0).clamp_min(_LEAST)
    least = _WORTH_IT * _error(weight, inputs, torch.ones_like(size))
    best = None
    for exponent in EXPONENTS:
        by = size**exponent / against ** (1 - exponent)
        by = by / by.median()
        error = _error(weight, inputs, by)
        if error < least:
            least, best = error, by
    return best


def _error(weight: Tensor, inputs: list[Tensor], by: Tensor) -> float:
    smoothed = rounded_weight(weight * by)
    return sum(
        float((rounded_text(one / by) @ smoothed.T - one @ weight.T).square().sum())
        for one in inputs
    )


def rounded_weight(weight: Tensor) -> Tensor:
    """As the graph's: a scale for each channel that comes out."""
    step = torch.as_tensor(weight_steps(weight.numpy()))[:, None]
    return (weight / step).round() * step


def rounded_text(values: Tensor) -> Tensor:
    """To 255 steps between the smallest and the largest of the whole text, 0 among them."""
    low, high = values.amin().clamp_max(0), values.amax().clamp_min(0)
    step = ((high - low) / 255).clamp_min(1e-12)
    zero = (-low / step).round()
    return ((values / step).round() + zero).clamp(0, 255).sub(zero) * step
