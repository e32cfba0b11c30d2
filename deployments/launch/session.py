"""Run something in a session of its own, so that signals reach it in order.

Whoever ends a server often signals its whole process group: Ray's processes would then die under the requests that
they should finish. In a session of its own the launcher alone hears of it and takes them down at the end. It hears of
it through a pipe and not by signals: Ray puts handlers of its own in place of those it finds, which leave from wherever
the program is just then.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

RELOAD_SIGNAL = signal.SIGUSR1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, RELOAD_SIGNAL)


def run_in_own_session(act: Callable[[], int], hear: Callable[[int], None]) -> int:
    """Call `act` in a child process and return its exit status; meanwhile a thread of the child calls `hear` with the
    number of each signal that comes here, and with SIGTERM's should this process be killed outright."""
    hearing, telling = os.pipe()
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # what comes before both are ready waits
    child = os.fork()
    if child == 0:
        os.close(telling)
        os.setsid()
        _forget_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        threading.Thread(target=_listen, args=(hearing, hear), daemon=True).start()
        sys.exit(act())
    os.close(hearing)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: _tell(telling, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, heard)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _forget_signals() -> None:
    """Drop those that wait: they were for the parent's group, to which this process belonged a moment ago."""
    for number in SIGNALS:
        signal.signal(number, signal.signal(number, signal.SIG_IGN))


def _tell(telling: int, number: int) -> None:
    """A child that has just ended needs no signal any more."""
    try:
        os.write(telling, bytes([number]))
    except BrokenPipeError:
        return


def _listen(hearing: int, hear: Callable[[int], None]) -> None:
    while number := os.read(hearing, 1):
        hear(number[0])
    hear(signal.SIGTERM)
