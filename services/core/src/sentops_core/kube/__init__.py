"""The Kubernetes API as both the operator and the control plane use it."""

from sentops_core.kube.api import KubeApi, Manifest
from sentops_core.kube.connect import open_client

__all__ = ["KubeApi", "Manifest", "open_client"]
