"""`python -m sentops_trainer.engine.launch`: torchrun with its own options, and the exit code of whoever failed.

torchrun itself ends with 1 whatever happened; the Job's podFailurePolicy and the operator read our codes.
"""

import sys

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from sentops_core.domain.run import RunExit

# Of the two minutes that a pod has to end: a checkpoint is being written.
_SHUTDOWN_SECONDS = 110


def main(arguments: list[str]) -> int:
    try:
        torchrun.main(["--shutdown-timeout", str(_SHUTDOWN_SECONDS), *arguments])
    except ChildFailedError as error:
        return _code_of(error)
    except SignalException as signal:
        return 128 + int(signal.sigval)
    return RunExit.OK


def _code_of(error: ChildFailedError) -> int:
    """The first failure's; one that only ended because another had says nothing."""
    failures = sorted(
        error.failures.values(), key=lambda one: (one.exitcode == RunExit.CANCELLED, one.timestamp)
    )
    code = int(failures[0].exitcode)
    return code if code > 0 else 128 - code  # killed by a signal, as a shell says it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
