"""Serving a ModelVersion: the Deployment of a slot, and what stands around the champion's."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentops_core.domain.resources import ModelVersion, PodTemplate, Resources
from sentops_core.kube.agreed import MODEL_PORT
from sentops_operator.manifests import pods
from sentops_operator.manifests.metadata import (
    DIGEST_ANNOTATION,
    MODEL_VERSION_LABEL,
    VERSION_LABEL,
    Manifest,
    Slot,
    deployment_name,
    namespace_of,
    server_labels,
    server_selector,
)

CONTAINER = "model"
PORT = MODEL_PORT
# After a pod is told to end, some clients still send to it: endpoints take a moment to be known everywhere.
_LINGER_SECONDS = 5
# Requests in flight get 20 seconds, models that are being unloaded a little more.
_GRACE_SECONDS = 45
_NO_ANNOTATIONS: Mapping[str, str] = {}


@dataclass(frozen=True)
class ServingSettings:
    """What the operator's settings say of model servers; empty means none."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str = "default"
    storage_secret: str | None = None
    resources: Resources = field(default_factory=Resources)
    replicas: int = 2
    max_replicas: int = 2
    cpu_target_percent: int = 70
    pod: PodTemplate = field(default_factory=PodTemplate)
    fast_path: bool = True
    traces_endpoint: str = ""

    def __post_init__(self) -> None:
        if self.scales and "cpu" not in {**self.resources.requests, **self.resources.limits}:
            raise ValueError(
                f"to scale from {self.replicas} to {self.max_replicas} replicas, the model's resources must "
                "request cpu: the target is a share of that"
            )

    @property
    def scales(self) -> bool:
        return self.max_replicas > self.replicas


def build_deployment(
    version: ModelVersion,
    slot: Slot,
    settings: ServingSettings,
    *,
    annotations: Mapping[str, str] = _NO_ANNOTATIONS,
) -> Manifest:
    """Serves this version's digest: another digest is another pod template, so it rolls."""
    model_name = version.spec.model_name
    labels = {
        **server_labels(model_name, slot),
        MODEL_VERSION_LABEL: version.metadata.name,
        VERSION_LABEL: f"v{version.spec.version}",
    }
    metadata: Manifest = {
        "name": deployment_name(model_name, slot),
        "namespace": namespace_of(version.metadata),
        "labels": labels,
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    spec: Manifest = {
        "selector": {"matchLabels": server_selector(model_name, slot)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "progressDeadlineSeconds": version.spec.rollout.progress_deadline_seconds,
        "revisionHistoryLimit": 3,
        "template": _pod_template(version, slot, settings, labels),
    }
    if slot == "candidate":
        spec["replicas"] = 1
    elif not settings.scales:  # with an autoscaler, two would set it in turn
        spec["replicas"] = settings.replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def build_service(model_name: str, namespace: str, slot: Slot) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(model_name, namespace, slot),
        "spec": {
            "selector": server_selector(model_name, slot),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def build_autoscaler(model_name: str, namespace: str, settings: ServingSettings) -> Manifest | None:
    """For the champion alone; None where the number of replicas is fixed."""
    if not settings.scales:
        return None
    target = {"type": "Utilization", "averageUtilization": settings.cpu_target_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(model_name, namespace, "champion"),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": deployment_name(model_name, "champion"),
            },
            "minReplicas": settings.replicas,
            "maxReplicas": settings.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def build_disruption_budget(
    model_name: str, namespace: str, settings: ServingSettings
) -> Manifest | None:
    """None for a single replica: a budget could only block the draining of its node."""
    if settings.replicas < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(model_name, namespace, "champion"),
        "spec": {
            "selector": {"matchLabels": server_selector(model_name, "champion")},
            "maxUnavailable": 1,
            # A pod that never became ready must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _metadata(model_name: str, namespace: str, slot: Slot) -> Manifest:
    return {
        "name": deployment_name(model_name, slot),
        "namespace": namespace,
        "labels": server_labels(model_name, slot),
    }


def _pod_template(
    version: ModelVersion, slot: Slot, settings: ServingSettings, labels: dict[str, str]
) -> Manifest:
    spec = pods.pod_basics(
        settings.pod,
        service_account=settings.service_account,
        pull_secrets=settings.image_pull_secrets,
    )
    claimed, claim_mounts = pods.claim_volumes(pods.claims_in(version.spec.artifact.storage_uri))
    mounts = [pods.mount("cache", pods.CACHE), pods.mount("scratch", pods.SCRATCH), *claim_mounts]
    spec |= {
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "topologySpreadConstraints": _spread(version.spec.model_name, slot),
        "containers": [_container(version, settings, mounts)],
        "volumes": [pods.empty_dir("cache"), pods.empty_dir("scratch"), *claimed],
    }
    return {
        "metadata": {
            "labels": {**settings.pod.labels, **labels},
            "annotations": {DIGEST_ANNOTATION: version.spec.artifact.digest},
        },
        "spec": spec,
    }


def _container(
    version: ModelVersion, settings: ServingSettings, mounts: list[Manifest]
) -> Manifest:
    container = pods.container_basics(CONTAINER, settings.image, settings.image_pull_policy)
    container |= {
        "command": ["python", "-m", "sentops_model_server"],
        "env": _env(version, settings),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": pods.resources_of(settings.resources),
        "volumeMounts": mounts,
        # The server answers before its model is loaded: starting is a matter of imports, being ready of the model.
        "startupProbe": _probe("/health/live", periodSeconds=2, failureThreshold=60),
        "readinessProbe": _probe("/health/ready", periodSeconds=5, failureThreshold=2),
        "livenessProbe": _probe("/health/live", periodSeconds=10, failureThreshold=6),
        "lifecycle": {"preStop": {"sleep": {"seconds": _LINGER_SECONDS}}},
    }
    if settings.storage_secret:
        container["envFrom"] = [pods.secret_env(settings.storage_secret, optional=True)]
    return container


def _env(version: ModelVersion, settings: ServingSettings) -> list[Manifest]:
    artifact = version.spec.artifact
    values = {
        **pods.WRITABLE_FOLDERS,
        "SENTOPS_MODEL_HOST": "0.0.0.0",  # noqa: S104 - inside the pod
        "SENTOPS_MODEL_PORT": str(PORT),
        "SENTOPS_MODEL_MODEL_NAME": version.spec.model_name,
        "SENTOPS_MODEL_CACHE_DIR": pods.CACHE,
        "SENTOPS_MODEL_ARTIFACT_URI": artifact.storage_uri,
        "SENTOPS_MODEL_ARTIFACT_DIGEST": artifact.digest,
        "SENTOPS_MODEL_VERSION": version.metadata.name,
    }
    if not settings.fast_path:
        values["SENTOPS_MODEL_FAST_PATH"] = "false"
    if settings.traces_endpoint:
        values["OTEL_EXPORTER_OTLP_ENDPOINT"] = settings.traces_endpoint
    return [*pods.plain_env(values), pods.cores_env("SENTOPS_MODEL_WORKERS", settings.resources)]


def _probe(path: str, **fields: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5, **fields}


def _spread(model_name: str, slot: Slot) -> list[Manifest]:
    """Over zones and nodes as far as possible, counting only the pods of the same roll-out."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": server_selector(model_name, slot)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
