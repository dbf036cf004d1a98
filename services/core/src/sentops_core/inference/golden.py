"""golden.jsonl: predictions that a server must reproduce before it answers anybody."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from sentops_core.domain.artifact import GOLDEN, GoldenPrediction
from sentops_core.domain.errors import ArtifactError
from sentops_core.inference.words import explain, first_line


def read_golden(path: Path) -> Iterator[GoldenPrediction]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{GOLDEN} cannot be read: {first_line(error)}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield GoldenPrediction.model_validate_json(line)
        except ValidationError as error:
            raise ArtifactError(f"{GOLDEN} line {number} is not valid: {explain(error)}") from error


def write_golden(path: Path, predictions: list[GoldenPrediction]) -> None:
    """golden.jsonl, one prediction a line."""
    lines = [
        json.dumps(prediction.model_dump(mode="json"), ensure_ascii=False)
        for prediction in predictions
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
