"""The dashboards as they are committed."""

import json
from pathlib import Path
from typing import Any

from tests.support.grafana_models import Dashboard

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana/dashboards"
NAMES = ("overview", "model-quality", "feedback", "serving", "training", "platform")


def content_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def dashboard(name: str) -> Dashboard:
    return Dashboard.model_validate(content_of(name))
