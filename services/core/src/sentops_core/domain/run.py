"""The contract of one training attempt: what `python -m sentops_trainer.run` is given, and what it reports."""

from enum import IntEnum, StrEnum

from pydantic import Field

from sentops_core.domain.base import Body, Digest, Label, Moment
from sentops_core.domain.evaluation import Evaluation, MustPass, PairedComparison
from sentops_core.domain.fast_path import FastPathMode, FastPathReport
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import Hyperparameters, Method, MustPassExample, TrainerStatus


class RunExit(IntEnum):
    """Exit codes of a run; the Job's podFailurePolicy and the local substrate read the same ones."""

    OK = 0
    FAILED = 1
    BAD_DATA = 3  # trying again cannot help
    BAD_SPEC = 4
    BASE_MODEL = 5
    CANCELLED = 143


class ChampionRef(Body):
    """The version that serves while the run is started; the run scores it on the same held-out rows."""

    model_version: str
    storage_uri: str
    digest: Digest


class RunSpec(Body):
    """The file behind `--spec`. `dataset_uri` is a materialised dataset folder (see core.datasets)."""

    training_job: str
    attempt: int = Field(ge=1)
    model_name: str
    base_model_uri: str
    dataset_uri: str
    dataset_hash: str
    labels: tuple[Label, ...]
    method: Method
    hyperparameters: Hyperparameters
    fast_path: FastPathMode = FastPathMode.AUTO
    must_pass: tuple[MustPassExample, ...] = ()
    champion: ChampionRef | None = None
    output_uri: str = Field(
        description="Artefact store root; the artefact goes to <output_uri>/<digest hex>."
    )


class PublishedArtifact(Body):
    storage_uri: str
    digest: Digest
    size_bytes: int = Field(ge=0)


class RunResult(Body):
    """The run's last line of stdout, and the pod's termination message: 4 KiB at most."""

    exit: RunExit
    reason: Reason
    message: str = Field(max_length=1000)
    artifact: PublishedArtifact | None = None
    evaluation: Evaluation | None = Field(
        default=None, description="Of what serves: of the cascade, where there is a fast path."
    )
    fast_path: FastPathReport | None = Field(
        default=None, description="None where none was asked for."
    )
    paired: PairedComparison | None = None
    must_pass: MustPass | None = None
    seconds: float = Field(default=0, ge=0)


class RunState(StrEnum):
    STARTING = "Starting"  # asked for, nothing computes yet (a pod waits for a node, an image, ...)
    RUNNING = "Running"
    FINISHED = "Finished"  # ended and reported
    LOST = "Lost"  # ended without a report: killed, out of memory, node gone
    STOPPED = "Stopped"  # ended because we asked (suspend, cancel)


class Run(Body):
    """One attempt as a substrate sees it now."""

    attempt: int
    state: RunState
    reason: Reason | None = None
    message: str = ""
    started_at: Moment | None = None
    finished_at: Moment | None = None
    disrupted: bool = Field(
        default=False, description="Evicted or preempted: does not count against backoffLimit."
    )
    result: RunResult | None = None
    progress: TrainerStatus | None = None
    reference: str = Field(default="", description="Job name, or process id.")
