"""Where the API server is and who we are: the pod's service account, else the user's kubeconfig."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from sentops_core.domain.errors import InvalidInput


@asynccontextmanager
async def open_client(*, connections: int = 32) -> AsyncIterator[ApiClient]:
    """A client for as long as it is needed; InvalidInput when nothing says where the cluster is."""
    settings = Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            # Named here, since the library looks at the environment once, when it is imported.
            file = os.environ.get("KUBECONFIG")
            await config.load_kube_config(config_file=file, client_configuration=settings)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise InvalidInput(
            f"No cluster to talk to ({error}). Run inside a pod, or set KUBECONFIG."
        ) from error
    settings.connection_pool_maxsize = connections
    async with ApiClient(configuration=settings) as client:
        yield client
