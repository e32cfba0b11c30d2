"""A text of any length through an engine that speaks one utterance at a time: passage after passage, one stream."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from deployments.replica.bridge import EventBridge
from deployments.replica.passages import split_passages
from models import Accepted, AudioChunk, Finished, FinishReason, SpeechEngine, SynthesisRequest
from models.seeds import derived_seed

_COMPLETE = (FinishReason.EOS, FinishReason.LENGTH, FinishReason.RUNAWAY)  # the next passage may follow


class Reading:
    """One request: `start` it, then iterate `spoken`."""

    def __init__(self, engine: SpeechEngine, request: SynthesisRequest, longest: int) -> None:
        """`longest`: letters of a passage. Raises InvalidRequestError for a passage with nothing to speak in it."""
        self._engine = engine
        self._request = request
        self._parts = _parts(request, longest)
        self._current = request.request_id
        self._bridge = EventBridge(asyncio.get_running_loop())
        self._deadline = _deadline_after(request.timeout_s)
        self._seed = 0

    def start(self) -> Accepted:
        """Queue the first passage. Raises as `SpeechEngine.submit` does."""
        accepted = self._engine.submit(self._parts[0], self._bridge)
        self._seed = accepted.seed
        return accepted

    def extend(self, timeout_s: float | None) -> None:
        """Put the deadline off; see `SpeechEngine.extend`."""
        self._deadline = max(self._deadline, _deadline_after(timeout_s))
        self._engine.extend(self._current, timeout_s)

    def stop(self) -> None:
        """Abort what has not ended."""
        self._engine.abort(self._current)

    async def spoken(self) -> AsyncGenerator[AudioChunk | Finished]:
        """AudioChunks of at most 480 ms, then Finished, as for a single utterance; who reads it must stop it."""
        ends: list[Finished] = []
        for number, part in enumerate(self._parts):
            before = sum(end.frames for end in ends)
            if number > 0:
                self._go_on(part, number, before)
            async for event in self._bridge.events():
                if isinstance(event, AudioChunk):
                    yield replace(event, first_frame=event.first_frame + before)
                else:
                    ends.append(event)
            if ends[-1].reason not in _COMPLETE or self._used_up(ends):
                break
        yield _joined(ends)

    def _used_up(self, ends: Sequence[Finished]) -> bool:
        limit = self._request.max_frames
        return limit is not None and sum(end.frames for end in ends) >= limit

    def _go_on(self, part: SynthesisRequest, number: int, frames: int) -> None:
        """Queue a passage with what the ones before it have left of the request's limits, and a seed of its own."""
        request = self._request
        left = None if request.max_frames is None else request.max_frames - frames
        seconds = self._deadline - time.monotonic()
        self._current = f"{request.request_id}-{number}"
        self._engine.submit(
            replace(
                part,
                sampling=replace(request.sampling, seed=derived_seed(self._seed, number)),
                max_frames=left,
                timeout_s=None if math.isinf(seconds) else max(1e-3, seconds),
                request_id=self._current,
                begun=True,
            ),
            self._bridge,
        )


def _deadline_after(timeout_s: float | None) -> float:
    """On the monotonic clock."""
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def _parts(request: SynthesisRequest, longest: int) -> list[SynthesisRequest]:
    passages = split_passages(request.text, longest)
    if len(passages) == 1:
        return [request]
    spoken = [passage for passage in passages if any(character.isalnum() for character in passage)]
    lengths = [len(passage) for passage in spoken]
    parts = [replace(request, text=text, text_after=sum(lengths[at + 1 :])) for at, text in enumerate(spoken)]
    return parts or [replace(request, text=passages[0])]


def _joined(ends: Sequence[Finished]) -> Finished:
    """What is said of the whole: it ended as its last passage did, unless one before was cut."""
    cut = next((end.reason for end in ends if end.reason is FinishReason.RUNAWAY), ends[-1].reason)
    return replace(
        ends[-1],
        reason=cut,
        seed=ends[0].seed,
        frames=sum(end.frames for end in ends),
        prompt_tokens=sum(end.prompt_tokens for end in ends),
        queue_s=ends[0].queue_s,
        ttfa_s=ends[0].ttfa_s,
        total_s=sum(end.total_s for end in ends),
        retried=any(end.retried for end in ends),
    )
