"""Labels, annotations and addresses that the operator gives or reads (see operator's manifests/metadata.py)."""

FIELD_MANAGER = "sentops-trainer"  # how the API server notes what we write

REQUESTED_BY = "sentops.dev/requested-by"
CANCEL = "sentops.dev/cancel"
ANALYSIS = "sentops.dev/analysis"

TRAINING_JOB_LABEL = "sentops.dev/training-job"
ATTEMPT_LABEL = "sentops.dev/attempt"
NODE_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"  # of a run on several nodes
RUN_CONTAINER = "run"

MODEL_PORT = 8501


def champion_url(model_name: str, namespace: str) -> str:
    return f"http://{model_name}-model.{namespace}.svc:{MODEL_PORT}"


def candidate_url(model_name: str, namespace: str) -> str:
    return f"http://{model_name}-candidate.{namespace}.svc:{MODEL_PORT}"
