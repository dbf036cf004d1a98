"""Become another program that ends when the supervisor ends, even by `kill -9` (Linux).

`python -m sentops_cli.tether SUPERVISOR_PID COMMAND...`: runs between fork and exec in place of a
`preexec_fn`, which is unsafe where threads are. Elsewhere the next `up` ends what was left.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it ended before we asked
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the supervisor's own command line


if __name__ == "__main__":
    main()
