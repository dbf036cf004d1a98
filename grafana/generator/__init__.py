"""Writes grafana/dashboards/*.json: `make dashboards`. One module per dashboard; the JSON is what Grafana reads."""

import json
from pathlib import Path

from grafana.generator import feedback, model_quality, overview, platform, serving, training
from grafana.generator.panels import Json

FOLDER = Path(__file__).parent.parent / "dashboards"


def dashboards() -> dict[str, Json]:
    """By the name of their file."""
    return {
        "overview": overview.DASHBOARD,
        "model-quality": model_quality.DASHBOARD,
        "feedback": feedback.DASHBOARD,
        "serving": serving.DASHBOARD,
        "training": training.DASHBOARD,
        "platform": platform.DASHBOARD,
    }


def as_text(dashboard: Json) -> str:
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
