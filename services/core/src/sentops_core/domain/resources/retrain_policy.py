"""RetrainPolicy: when to train a model again without being told, and how."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from sentops_core.domain.base import (
    INT32_MAX,
    DecimalString,
    Document,
    Flag,
    Integer,
    ModelName,
    Moment,
    ResourceName,
)
from sentops_core.domain.conditions import Condition
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.resources.common import API_VERSION, Deadline, Metadata, Metric, Seconds
from sentops_core.domain.resources.gate import Gate
from sentops_core.domain.resources.rollout import Promotion
from sentops_core.domain.resources.trainer import BaseModelRef, PodTemplate, Trainer

MOST_TRAININGS_PER_DAY = 24
# As the rules of the custom resource definition have them.
_FIVE_FIELDS = re.compile(r"[0-9A-Za-z*/,#-]+( +[0-9A-Za-z*/,#-]+){4}")
_ZONE_NAME = re.compile(r"UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}")
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class TimeWindow(StrEnum):
    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    FOUR_WEEKS = "28d"


class QualityMetric(StrEnum):
    ACCURACY = "accuracy"
    MACRO_F1 = "macro_f1"


def _known_zone(name: str) -> str:
    unknown = ValueError(f"'{name}' is no time zone; use a name such as Europe/Rome or Etc/UTC")
    if not _ZONE_NAME.fullmatch(name):
        raise unknown
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # the name becomes a path
        raise unknown from error
    return name


def _readable_cron(expression: str) -> str:
    # CronSim also takes a sixth field for seconds, which no Kubernetes CronJob has.
    if not _FIVE_FIELDS.fullmatch(expression):
        raise ValueError(
            "cron has five fields: minute, hour, day of month, month, day of week; try 0 3 * * SUN"
        )
    try:
        CronSim(expression, _SOME_TIME)
    except CronSimError as error:
        raise ValueError(f"'{expression}' is no cron expression: {error}") from error
    return expression


class NewLabelsTrigger(Document):
    """So many texts with a label that people agree on and that no dataset version holds yet."""

    min: Integer = Field(ge=1, le=INT32_MAX)


class QualityTrigger(Document):
    """The lower end of the champion's 95 % interval is under the floor; fewer votes tell nothing."""

    metric: QualityMetric = QualityMetric.ACCURACY
    floor: DecimalString
    window: TimeWindow = TimeWindow.WEEK
    min_votes: Integer = Field(default=100, ge=1, le=INT32_MAX)

    @model_validator(mode="after")
    def _is_a_share(self) -> "QualityTrigger":
        if not 0 < float(self.floor) <= 1:
            raise ValueError("quality.floor is a share over 0 and at most 1, such as 0.75")
        return self


class DriftTrigger(Document):
    """Something that is asked or answered has drifted in each of so many windows on end."""

    window: TimeWindow = TimeWindow.DAY
    windows: Integer = Field(default=2, ge=1, le=14)


class ScheduleTrigger(Document):
    """As cron has it. What could not start within the deadline is left to the next time."""

    cron: Annotated[str, StringConstraints(max_length=100), AfterValidator(_readable_cron)]
    time_zone: Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)] = (
        "Etc/UTC"
    )
    starting_deadline_seconds: Integer = Field(default=3600, ge=60, le=604_800)


class RetrainTriggers(Document):
    """Any one of them is enough."""

    new_labels: NewLabelsTrigger | None = None
    quality: QualityTrigger | None = None
    drift: DriftTrigger | None = None
    schedule: ScheduleTrigger | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> "RetrainTriggers":
        if not any((self.new_labels, self.quality, self.drift, self.schedule)):
            raise ValueError("triggers sets at least one of newLabels, quality, drift, schedule")
        return self


class RetrainGuards(Document):
    """What holds a training back, whatever triggers it; one in flight per model holds always."""

    cooldown_seconds: Seconds = Field(default=21_600, description="Since the last one began.")
    max_per_day: Integer = Field(
        default=2, ge=1, le=MOST_TRAININGS_PER_DAY, description="In any 24 hours."
    )
    min_new_labels: Integer = Field(
        default=20,
        ge=0,
        le=INT32_MAX,
        description="With 0 the newest dataset version is trained on again.",
    )


class TrainingTemplate(Document):
    """The TrainingJob's spec, but for what is known only then: model, dataset, output."""

    base_model: BaseModelRef = BaseModelRef(storage_uri="named://multilingual-small")
    trainer: Trainer = Trainer()
    pod_template: PodTemplate = PodTemplate()
    gate: Gate = Gate()
    promotion: Promotion = Promotion()
    fast_path: FastPathMode = FastPathMode.AUTO
    backoff_limit: Integer = Field(default=2, ge=0, le=20)
    active_deadline_seconds: Deadline | None = None
    ttl_seconds_after_finished: Seconds = 86_400


class RetrainPolicySpec(Document):
    model_name: ModelName
    suspend: Flag = False
    dry_run: Flag = Field(default=False, description="Say what would be started, start nothing.")
    triggers: RetrainTriggers
    guards: RetrainGuards = RetrainGuards()
    template: TrainingTemplate = TrainingTemplate()


class RetrainOutcome(StrEnum):
    START = "Start"
    WOULD_START = "WouldStart"
    WAIT = "Wait"
    UNKNOWN = "Unknown"


class TriggerName(StrEnum):
    NEW_LABELS = "newLabels"
    QUALITY = "quality"
    DRIFT = "drift"
    SCHEDULE = "schedule"


class RetrainDecision(Document):
    """`inputs` are the figures that it stands on."""

    at: Moment
    outcome: RetrainOutcome
    trigger: TriggerName | None = None
    reason: str = Field(max_length=2000)
    inputs: tuple[Metric, ...] = Field(default=(), max_length=64)


class RetrainStart(Document):
    """A training that was started, or with `dryRun` would have been."""

    at: Moment
    name: ResourceName
    trigger: TriggerName | None = None
    dry_run: Flag = False


class RetrainFailure(Document):
    """Why what was decided could not be carried out, and when it is tried again."""

    at: Moment
    retry_at: Moment
    message: str = Field(max_length=2000)


class RetrainPolicyStatus(Document):
    """Conditions: Ready, and Suspended while it holds."""

    observed_generation: Integer = 0
    last_decision: RetrainDecision | None = None
    last_training_job: str | None = None
    last_training_time: Moment | None = None
    last_schedule_time: Moment | None = Field(
        default=None, description="The time of the schedule that was answered last."
    )
    trainings_today: Integer = Field(default=0, description="Started in the last 24 hours.")
    recent_starts: tuple[RetrainStart, ...] = Field(
        default=(), max_length=2 * MOST_TRAININGS_PER_DAY
    )
    starting: RetrainStart | None = Field(
        default=None, description="Decided on, and not yet known to be there."
    )
    last_failure: RetrainFailure | None = None
    conditions: tuple[Condition, ...] = ()


class RetrainPolicy(Document):
    api_version: Literal["sentops.dev/v1alpha1"] = API_VERSION
    kind: Literal["RetrainPolicy"] = "RetrainPolicy"
    metadata: Metadata
    spec: RetrainPolicySpec
    status: RetrainPolicyStatus = RetrainPolicyStatus()
