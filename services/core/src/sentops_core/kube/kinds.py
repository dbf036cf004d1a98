"""The kinds of objects we read and write, and where the API server keeps them."""

from dataclasses import dataclass
from urllib.parse import quote

from sentops_core.domain.resources import API_VERSION


@dataclass(frozen=True)
class Kind:
    """One resource type; static, so that no discovery call is needed."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str | None = None, part: str | None = None) -> str:
        """The address of one object, of its subresource `part`, or of the list of all."""
        root = "/apis" if self.group else "/api"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        # A name may come from an address that somebody typed: a ? in it begins no query.
        tail = "".join(f"/{quote(piece, safe='')}" for piece in (name, part) if piece)
        return f"{root}/{self.api_version}{place}/{self.plural}{tail}"


TRAINING_JOB = Kind(API_VERSION, "TrainingJob", "trainingjobs")
MODEL_VERSION = Kind(API_VERSION, "ModelVersion", "modelversions")
RETRAIN_POLICY = Kind(API_VERSION, "RetrainPolicy", "retrainpolicies")
JOB = Kind("batch/v1", "Job", "jobs")
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
PERSISTENT_VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
HORIZONTAL_POD_AUTOSCALER = Kind(
    "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"
)
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
TOKEN_REVIEW = Kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False)

KINDS = (
    TRAINING_JOB,
    MODEL_VERSION,
    RETRAIN_POLICY,
    JOB,
    POD,
    SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    EVENT,
    TOKEN_REVIEW,
)
_BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}


def kind_of(manifest: dict[str, object]) -> Kind:
    """The kind a manifest names; KeyError for one we never write."""
    return _BY_NAME[str(manifest["apiVersion"]), str(manifest["kind"])]
