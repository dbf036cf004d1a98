"""Names that the operator gives and the control plane reads, or the other way round: one program's typo must not part them."""

from typing import Literal

TRAINING_JOB_LABEL = "sentops.dev/training-job"
ATTEMPT_LABEL = "sentops.dev/attempt"
CANCEL_ANNOTATION = "sentops.dev/cancel"  # on a TrainingJob; its value says who
ANALYSIS_ANNOTATION = "sentops.dev/analysis"  # on a ModelVersion in a canary: the votes' verdict

RUN_CONTAINER = "run"
MODEL_PORT = 8501

Slot = Literal["champion", "candidate"]


def servers_name(model_name: str, slot: Slot) -> str:
    """Of the Deployment with a model's servers, and of the Service in front of it."""
    return f"{model_name}-model" if slot == "champion" else f"{model_name}-candidate"
