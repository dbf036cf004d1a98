"""How a run can end early, each with the exit code and the reason that the substrates read."""

from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import RunExit


class RunFailure(Exception):
    """The run cannot go on; the message is the sentence a person gets to see."""

    exit = RunExit.FAILED
    reason = Reason.RUN_FAILED


class BadData(RunFailure):
    """The dataset cannot be trained on; trying again cannot help."""

    exit = RunExit.BAD_DATA
    reason = Reason.BAD_DATA


class BadSpec(RunFailure):
    """The spec asks for what the method cannot do."""

    exit = RunExit.BAD_SPEC
    reason = Reason.INVALID_SPEC


class BaseModelUnavailable(RunFailure):
    """The base model does not exist, is no encoder, or cannot be fetched."""

    exit = RunExit.BASE_MODEL
    reason = Reason.BASE_MODEL_UNAVAILABLE


class Cancelled(BaseException):
    """SIGTERM arrived. No Exception: no library that catches those may swallow it."""

    exit = RunExit.CANCELLED
    reason = Reason.CANCELLED


class PeerLost(Cancelled):
    """Another process of this run is gone, so this one ends too; why is the other's to say."""
