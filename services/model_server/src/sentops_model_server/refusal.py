"""How a server ends that can never serve what its deployment names: with a sentence, and a code that says so."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from sentops_core.domain.errors import PlatformError

REFUSED = 3  # another start of the same pod would find the same artefact
CRASHED = 1
_LONGEST_MESSAGE = 4096  # bytes; Kubernetes keeps no more


def end_for(error: Exception, termination_log: Path) -> NoReturn:
    """Leave the reason where a pod's termination message is read, and end the process."""
    is_refusal = isinstance(error, PlatformError)
    sentence = str(error) if is_refusal else f"{type(error).__name__}: {error}"
    with suppress(OSError):  # outside a pod there is no such file, and the log has the reason too
        if termination_log.exists():
            termination_log.write_bytes(sentence.encode()[:_LONGEST_MESSAGE])
    logging.shutdown()
    # At once: nothing was ever served, and uvicorn has no way to be stopped with an exit code from a task.
    os._exit(REFUSED if is_refusal else CRASHED)
