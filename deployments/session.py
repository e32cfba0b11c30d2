"""Run something in a session of its own, so that signals reach it in order.

Whoever ends a server often signals its whole process group: Ray's processes would then die under the requests that
they should finish. In a session of its own the launcher alone hears of it and takes them down at the end.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

RELOAD_SIGNAL = signal.SIGUSR1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, RELOAD_SIGNAL)
_PR_SET_PDEATHSIG = 1


def run_in_own_session(act: Callable[[], int]) -> int:
    """Call `act` in a child process, pass signals on to it, and return its exit status."""
    child = os.fork()
    if child == 0:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # also when this parent is killed outright
        sys.exit(act())
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
