"""What the chart's post-delete hook runs: model servers belong to nobody, so nothing else would remove them."""

from collections.abc import Sequence

import structlog

from sentops_core.kube.api import KubeApi
from sentops_core.kube.connect import open_client
from sentops_core.kube.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from sentops_operator.manifests.metadata import COMPONENT_LABEL, FIELD_MANAGER, MANAGED_BY_LABEL

log = structlog.get_logger()

KINDS = (HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET, SERVICE, DEPLOYMENT)
_OURS = {MANAGED_BY_LABEL: FIELD_MANAGER, COMPONENT_LABEL: "serving"}


async def clean_up(namespaces: Sequence[str] | None) -> None:
    """In these namespaces, or in all of them (None). Custom resources, artefacts and runs stay."""
    async with open_client() as client:
        api = KubeApi(client, field_manager=FIELD_MANAGER)
        for namespace in [None] if namespaces is None else namespaces:
            for kind in KINDS:
                for found in await api.list(kind, namespace, labels=_OURS):
                    name, place = found["metadata"]["name"], found["metadata"]["namespace"]
                    await api.delete(kind, place, name)
                    log.info("deleted", kind=kind.name, namespace=place, name=name)
