"""TrainingJobs whose runs do not simply go well."""

import pytest

from sentops_core.domain.resources import ModelVersionPhase as _  # noqa: F401
from sentops_core.domain.run import RunExit
from sentops_core.kube.kinds import (
    EVENT,
    JOB,
    MODEL_VERSION,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
    TRAINING_JOB,
)
from tests.operator.actors import NAMESPACE, Cluster, condition
from tests.operator.conftest import Clock, RunningOperator
from tests.operator.unit.things import DISRUPTED, not_scheduled, waits
from tests.support.builders import a_result
from tests.support.eventually import eventually
