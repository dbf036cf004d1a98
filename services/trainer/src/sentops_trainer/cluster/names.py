"""What the control plane is called where it writes, and where a model's servers answer."""

from sentops_core.kube.agreed import MODEL_PORT, Slot, servers_name

FIELD_MANAGER = "sentops-trainer"  # how the API server notes what we write
REQUESTED_BY_ANNOTATION = "sentops.dev/requested-by"


def servers_url(model_name: str, namespace: str, slot: Slot) -> str:
    return f"http://{servers_name(model_name, slot)}.{namespace}.svc:{MODEL_PORT}"
