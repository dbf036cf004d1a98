"""One attempt of a TrainingJob: its Job, its work folder, and how the nodes of a large one find each other."""

from dataclasses import dataclass, field

from sentops_core.artifacts.places import PVC_ROOT
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import Method, Resources, TrainingJob
from sentops_core.domain.run import RunExit, RunSpec
from sentops_core.kube.agreed import RUN_CONTAINER
from sentops_operator.manifests import pods
from sentops_operator.manifests.metadata import (
    KUEUE_PRIORITY_LABEL,
    KUEUE_QUEUE_LABEL,
    RUN_SPEC_ANNOTATION,
    Manifest,
    attempt_labels,
    image_version,
    job_name,
    namespace_of,
    owned_by,
    rendezvous_name,
    run_labels,
    token_audience,
    work_claim_name,
)

CONTAINER = RUN_CONTAINER
_SPEC_FOLDER = "/run/sentops"
_SPEC_FILE = "spec.json"
_TOKEN_FOLDER = "/var/run/secrets/sentops.dev"  # noqa: S105 - a path
_WORK = "/work"
_RENDEZVOUS_PORT = 29500
_HOPELESS = (RunExit.BAD_DATA, RunExit.BAD_SPEC, RunExit.BASE_MODEL)
# SIGTERM lets a run finish its step and write a checkpoint.
_GRACE_SECONDS = 120
_TOKEN_SECONDS = 3600  # the kubelet renews it


@dataclass(frozen=True)
class RunSettings:
    """What the operator's settings say of runs; empty means none."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str = "default"
    storage_secret: str | None = None
    resources: Resources = field(default_factory=Resources)
    work_storage_size: str = "5Gi"
    work_storage_class: str = ""
    # Several nodes share a work folder only where the class can be mounted by many: ReadWriteMany.
    work_access_mode: str = "ReadWriteOnce"
    # Where base models are kept between runs: this claim, else a folder beside what the run writes, else nowhere.
    cache_claim: str | None = None
    cache_beside_output: bool = True
    status_url: str | None = None


def build_job(job: TrainingJob, run_spec: RunSpec, settings: RunSettings) -> Manifest:
    """The Job of this attempt. It is created once and never applied again: Kueue changes it meanwhile."""
    nodes = job.spec.trainer.num_nodes
    queued = {
        label: job.metadata.labels[label]
        for label in (KUEUE_QUEUE_LABEL, KUEUE_PRIORITY_LABEL)
        if label in job.metadata.labels
    }
    spec: Manifest = {
        # A retry is another Job, decided by the plan: it counts failures, and knows what cannot be retried.
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",  # two pods must not write to one work folder
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": _pod_template(job, run_spec, settings),
    }
    if job.spec.active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = job.spec.active_deadline_seconds
    if nodes > 1:
        spec |= {"completionMode": "Indexed", "completions": nodes, "parallelism": nodes}
    if KUEUE_QUEUE_LABEL in queued:
        spec["suspend"] = True  # Kueue lets it go when its turn has come
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(job, run_spec.attempt),
            "namespace": namespace_of(job.metadata),
            "labels": {
                **attempt_labels(job, run_spec.attempt),
                **image_version(_image(job, settings)),
                **queued,
            },
            "ownerReferences": [owned_by(job)],
        },
        "spec": spec,
    }


def build_work_claim(job: TrainingJob, settings: RunSettings) -> Manifest | None:
    """The work folder that outlives an attempt, so that the next one goes on; None where it is an emptyDir."""
    if not _keeps_work(job, settings):
        return None
    spec: Manifest = {
        "accessModes": [settings.work_access_mode],
        "resources": {"requests": {"storage": settings.work_storage_size}},
    }
    if settings.work_storage_class:
        spec["storageClassName"] = settings.work_storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": work_claim_name(job),
            "namespace": namespace_of(job.metadata),
            "labels": run_labels(job),
            "ownerReferences": [owned_by(job)],
        },
        "spec": spec,
    }


def build_rendezvous_service(job: TrainingJob, attempt: int) -> Manifest | None:
    """The headless Service that gives each node of the attempt a host name; None for one node."""
    if job.spec.trainer.num_nodes == 1:
        return None
    labels = attempt_labels(job, attempt)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": rendezvous_name(job, attempt),
            "namespace": namespace_of(job.metadata),
            "labels": labels,
            "ownerReferences": [owned_by(job)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # they must meet before they are ready
            "selector": {"batch.kubernetes.io/job-name": job_name(job, attempt)},
            "ports": [
                {
                    "name": "rendezvous",
                    "port": _RENDEZVOUS_PORT,
                    "targetPort": _RENDEZVOUS_PORT,
                    "protocol": "TCP",
                }
            ],
        },
    }


def _failure_rules() -> list[Manifest]:
    """In this order; what no rule matches counts as the failure of this attempt."""
    return [
        # Evicted, preempted, node gone: the Job replaces the pod, which goes on from the last checkpoint.
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        # Stopped by SIGTERM, or by another node of this run that was: no failure of the training either.
        {"action": "Ignore", "onExitCodes": _exits(RunExit.CANCELLED)},
        {"action": "FailJob", "onExitCodes": _exits(*_HOPELESS)},
    ]


def _exits(*codes: RunExit) -> Manifest:
    return {"containerName": CONTAINER, "operator": "In", "values": [int(code) for code in codes]}


def _pod_template(job: TrainingJob, run_spec: RunSpec, settings: RunSettings) -> Manifest:
    template = job.spec.pod_template
    spec = pods.pod_basics(
        template,
        service_account=settings.service_account,
        pull_secrets=settings.image_pull_secrets,
    )
    volumes, mounts = _volumes(job, run_spec, settings)
    spec |= {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "containers": [_container(job, run_spec, settings, mounts)],
        "volumes": volumes,
    }
    if job.spec.trainer.num_nodes > 1:
        spec["subdomain"] = rendezvous_name(job, run_spec.attempt)
    return {
        "metadata": {
            "labels": {
                **template.labels,
                **attempt_labels(job, run_spec.attempt),
                **image_version(_image(job, settings)),
            },
            "annotations": {RUN_SPEC_ANNOTATION: run_spec.model_dump_json(exclude_none=True)},
        },
        "spec": spec,
    }


def _container(
    job: TrainingJob, run_spec: RunSpec, settings: RunSettings, mounts: list[Manifest]
) -> Manifest:
    resources = pods.merged(job.spec.trainer.resources, settings.resources)
    container = pods.container_basics(CONTAINER, _image(job, settings), settings.image_pull_policy)
    container |= {
        "command": _command(job, run_spec, _gpus(resources)),
        "env": _env(job, run_spec, settings, resources),
        "resources": pods.resources_of(resources),
        "volumeMounts": mounts,
    }
    secrets = []
    if settings.storage_secret:
        secrets.append(pods.secret_env(settings.storage_secret, optional=True))
    if (hub := job.spec.base_model.secret_ref) is not None:
        secrets.append(pods.secret_env(hub.name, optional=False))
    if secrets:
        container["envFrom"] = secrets
    return container


def _image(job: TrainingJob, settings: RunSettings) -> str:
    return job.spec.trainer.image or settings.image


def _command(job: TrainingJob, run_spec: RunSpec, gpus: int) -> list[str]:
    """One process for each GPU, or one for each node; a single one needs no launcher."""
    nodes = job.spec.trainer.num_nodes
    each = gpus if gpus and job.spec.trainer.method is Method.FINE_TUNE else 1
    run = ["sentops_trainer.run", "--spec", f"{_SPEC_FOLDER}/{_SPEC_FILE}", "--out", _WORK]
    if nodes * each == 1:
        return ["python", "-m", *run]
    launcher = ["--nnodes", str(nodes), "--nproc-per-node", str(each)]
    if nodes == 1:
        launcher += ["--node-rank", "0", "--master-addr", "127.0.0.1"]
    else:
        name = job_name(job, run_spec.attempt)
        first = f"{name}-0.{rendezvous_name(job, run_spec.attempt)}"
        launcher += ["--node-rank", "$(JOB_COMPLETION_INDEX)", "--master-addr", first]
    launcher += ["--master-port", str(_RENDEZVOUS_PORT)]
    return ["python", "-m", "sentops_trainer.engine.launch", *launcher, "-m", *run]


def _gpus(resources: Resources) -> int:
    total = 0
    for name, amount in resources.limits.items():
        if name.endswith("/gpu"):
            if not amount.isdecimal():
                raise InvalidInput(f"The limit {name} is '{amount}'; write a whole number.")
            total += int(amount)
    return total


def _env(
    job: TrainingJob, run_spec: RunSpec, settings: RunSettings, resources: Resources
) -> list[Manifest]:
    cache = _cache_folder(run_spec, settings)
    values = {
        **pods.WRITABLE_FOLDERS,
        "MPLCONFIGDIR": f"{pods.SCRATCH}/matplotlib",
        "HF_HOME": f"{cache}/huggingface",
        "SENTOPS_CACHE": cache,
    }
    if settings.status_url:
        place = f"{namespace_of(job.metadata)}/{job.metadata.name}"
        url = settings.status_url.rstrip("/")
        values |= {
            "KUBEFLOW_TRAINER_SERVER_URL": f"{url}/training-jobs/{place}/progress",
            "KUBEFLOW_TRAINER_SERVER_TOKEN": f"{_TOKEN_FOLDER}/token",
        }
    return [*pods.plain_env(values), pods.cores_env("SENTOPS_RUN_THREADS", resources)]


def _cache_folder(run_spec: RunSpec, settings: RunSettings) -> str:
    beside = settings.cache_beside_output and settings.cache_claim is None
    claims = pods.claims_in(run_spec.output_uri) if beside else []
    return f"{PVC_ROOT}/{claims[0]}/base-models" if claims else pods.CACHE


def _keeps_work(job: TrainingJob, settings: RunSettings) -> bool:
    shared = settings.work_access_mode == "ReadWriteMany"
    return bool(settings.work_storage_size) and (job.spec.trainer.num_nodes == 1 or shared)


def _volumes(
    job: TrainingJob, run_spec: RunSpec, settings: RunSettings
) -> tuple[list[Manifest], list[Manifest]]:
    annotation = f"metadata.annotations['{RUN_SPEC_ANNOTATION}']"
    items = [{"path": _SPEC_FILE, "fieldRef": {"fieldPath": annotation}}]
    keeps_work = _keeps_work(job, settings)
    kept = settings.cache_claim
    cache = pods.claim("cache", kept) if kept else pods.empty_dir("cache")
    cached_apart = _cache_folder(run_spec, settings) == pods.CACHE
    volumes: list[Manifest] = [
        {"name": "spec", "downwardAPI": {"items": items}},
        pods.claim("work", work_claim_name(job)) if keeps_work else pods.empty_dir("work"),
        *([cache] if cached_apart else []),
        pods.empty_dir("scratch"),
        # The 64 MiB that a container has by itself end a torch data loader or NCCL with "Bus error".
        pods.empty_dir("shared-memory", medium="Memory"),
    ]
    mounts = [
        pods.mount("spec", _SPEC_FOLDER, read_only=True),
        pods.mount("work", _WORK),
        *([pods.mount("cache", pods.CACHE)] if cached_apart else []),
        pods.mount("scratch", pods.SCRATCH),
        pods.mount("shared-memory", "/dev/shm"),  # noqa: S108 - inside the pod
    ]
    if settings.status_url:
        volumes.append(_token_volume(job))
        mounts.append(pods.mount("token", _TOKEN_FOLDER, read_only=True))
    uris = [run_spec.base_model_uri, run_spec.dataset_uri, run_spec.output_uri]
    if run_spec.champion is not None:
        uris.append(run_spec.champion.storage_uri)
    more_volumes, more_mounts = pods.claim_volumes(
        pods.claims_in(*uris), writable=pods.claims_in(run_spec.output_uri)
    )
    return volumes + more_volumes, mounts + more_mounts


def _token_volume(job: TrainingJob) -> Manifest:
    token = {
        "path": "token",
        "audience": token_audience(namespace_of(job.metadata), job.metadata.name),
        "expirationSeconds": _TOKEN_SECONDS,
    }
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}
