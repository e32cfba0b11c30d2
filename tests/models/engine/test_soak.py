"""Two thousand requests, a third of them aborted: no slot lost, no memory gained, everybody answered once."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models import Finished, FinishReason, Sampling, SpeechEvent, SynthesisRequest, VoicePrompt, load_engine

REQUESTS = 2000
SETTLED = 200  # requests after which memory must not grow any more
IN_FLIGHT = 24
ALLOWED_GROWTH = 24 * 1024 * 1024  # bytes: allocators keep some of what they had


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class _Client:
    """Listens to one request; aborts it after so many frames when told to."""

    def __init__(self, abort_after: int | None, abort: Callable[[], None], done: Callable[[], object]) -> None:
        self.ends: list[FinishReason] = []
        self._frames = 0
        self._abort_after, self._abort, self._done = abort_after, abort, done

    def __call__(self, event: SpeechEvent) -> None:
        if isinstance(event, Finished):
            self.ends.append(event.reason)
            self._done()
            return
        self._frames += event.frames
        if self._abort_after is not None and self._frames >= self._abort_after:
            self._abort()


def test_two_thousand_requests_leave_nothing_behind(tiny_checkpoint: Callable[[str], Path]) -> None:
    engine = load_engine(tiny_checkpoint("base"), "bf16", threads=1, slots=8, max_positions=128)
    chance = random.Random(0)
    places = threading.Semaphore(IN_FLIGHT)
    embeddings = np.random.default_rng(0).standard_normal((7, 128)).astype(np.float32)
    clients: list[_Client] = []
    settled = 0
    try:
        for number in range(REQUESTS):
            places.acquire()
            request = SynthesisRequest(
                "Hi there.",
                voice=VoicePrompt(embeddings[number % 7]),
                sampling=Sampling(seed=number),
                max_frames=chance.randint(1, 8),
            )
            abort_after = chance.randint(0, 6) if chance.random() < 1 / 3 else None
            client = _Client(abort_after, lambda name=request.request_id: engine.abort(name), places.release)
            clients.append(client)
            engine.submit(request, client)
            if abort_after == 0:
                engine.abort(request.request_id)
            if number == SETTLED:
                settled = _resident()
        for _ in range(IN_FLIGHT):
            assert places.acquire(timeout=60)
        grown = _resident() - settled
        status = engine.status()
    finally:
        engine.close()
    assert all(len(client.ends) == 1 for client in clients)
    reasons = Counter(client.ends[0] for client in clients)
    assert set(reasons) <= {FinishReason.EOS, FinishReason.LENGTH, FinishReason.CANCELLED}
    assert reasons[FinishReason.CANCELLED] > REQUESTS / 20
    assert (status.slots_used, status.waiting, status.requests) == (0, 0, REQUESTS)
    assert grown < ALLOWED_GROWTH, f"{grown / 1e6:.0f} MB more resident memory"
