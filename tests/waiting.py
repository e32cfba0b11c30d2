"""Waiting for what happens elsewhere: for as long as a busy machine may take, and no longer."""

import time
from collections.abc import Callable

TIMEOUT = 120.0  # seconds for an answer, or a program
PAUSE_S = 0.05


def until(condition: Callable[[], bool], seconds: float = TIMEOUT) -> None:
    """Come back once it holds; fail when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(PAUSE_S)
