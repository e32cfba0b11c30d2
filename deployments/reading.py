"""A text of any length through an engine that speaks one utterance at a time: passage after passage, one stream."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from deployments.events import EventBridge, ServerEvent
from models import AudioChunk, Finished, FinishReason, SpeechEngine, SynthesisRequest
from models.passages import split_passages
from models.seeds import derived_seed

_COMPLETE = (FinishReason.EOS, FinishReason.LENGTH, FinishReason.RUNAWAY)  # the next passage may follow


class Reading:
    """One request; iterate `events` once."""

    def __init__(self, engine: SpeechEngine, request: SynthesisRequest, longest: int) -> None:
        """`longest`: letters of a passage. Raises InvalidRequestError for a passage with nothing to speak in it."""
        self._engine = engine
        self._request = request
        self._parts = _parts(request, longest)
        self._current = request.request_id
        self._began = time.monotonic()

    async def events(self) -> AsyncGenerator[ServerEvent]:
        """Accepted, AudioChunks of at most 480 ms, Finished: as for a single utterance. Leaving early aborts."""
        ends: list[Finished] = []
        seed: int | None = None
        try:
            for number, part in enumerate(self._parts):
                bridge = EventBridge(asyncio.get_running_loop())
                part = self._continued(part, seed, number, sum(end.frames for end in ends))
                self._current = part.request_id
                accepted = self._engine.submit(part, bridge)
                if seed is None:
                    seed = accepted.seed
                    yield accepted
                async for event in bridge.events():
                    if isinstance(event, AudioChunk):
                        yield replace(event, first_frame=event.first_frame + sum(end.frames for end in ends))
                    else:
                        ends.append(event)
                if ends[-1].reason not in _COMPLETE or self._used_up(ends):
                    break
            yield _joined(ends)
        finally:
            self._engine.abort(self._current)

    def _used_up(self, ends: Sequence[Finished]) -> bool:
        limit = self._request.max_frames
        return limit is not None and sum(end.frames for end in ends) >= limit

    def _continued(self, part: SynthesisRequest, seed: int | None, number: int, frames: int) -> SynthesisRequest:
        """A passage with what the ones before it have left of the request's limits, and a seed of its own."""
        if seed is None:
            return part
        request = self._request
        sampling = replace(request.sampling or self._engine.info.generation_defaults, seed=derived_seed(seed, number))
        left = None if request.max_frames is None else request.max_frames - frames
        timeout = request.timeout_s
        if timeout is not None:
            timeout = max(1e-3, timeout - (time.monotonic() - self._began))
        name = f"{request.request_id}-{number}"
        return replace(part, sampling=sampling, max_frames=left, timeout_s=timeout, request_id=name, begun=True)


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
