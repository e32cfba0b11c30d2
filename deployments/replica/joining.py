"""The same request again while it is being computed: computed once.

- Requests that name a seed and are alike are the same audio in any case: they are one reading.
- Requests with the same Idempotency-Key are one reading too, if they are alike.
- A client that tries again by itself, as OpenAI's do after a timeout, leaves before it comes back. What it left and had
  nothing of goes on for GRACE_S, and the same request of the same client takes it over.

All hear it from its first chunk, each with a deadline of its own. Without a grace, a reading ends when the last one who
listens has left.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass, replace

from deployments.contract import Repeat, ServerEvent
from deployments.replica.reading import Reading
from models import Finished, FinishReason, SpeechEvent, SynthesisRequest, VoicePrompt

MAX_KEPT_BYTES = 6 * 1024 * 1024  # a minute of samples: longer, and nobody can join any more
GRACE_S = 2.0  # OpenAI's clients try again after half a second, then after one


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may join a reading."""

    key: Hashable | None  # by which it is found; None: nobody finds it
    while_heard: bool = False  # also while somebody listens; else only once it was left
    grace_s: float = 0.0  # for which it goes on when it was left by one who had nothing of it
    whole: bool = False  # nothing is had before the end

    @classmethod
    def of(cls, request: SynthesisRequest, repeat: Repeat | None) -> "Terms":
        """What a request may share with another that is like it."""
        grace_s = 0.0 if repeat is None else GRACE_S
        if request.sampling.seed is not None:
            return cls(identity(request), True, grace_s, request.whole)
        if repeat is not None:
            return cls((repeat, identity(request)), repeat.named, grace_s, request.whole)
        return cls(None)


class Joining:
    """The readings of one replica."""

    def __init__(self, read: Callable[[SynthesisRequest], Reading]) -> None:
        """`read` makes a reading that has not started."""
        self._read = read
        self._open: dict[Hashable, _SharedReading] = {}  # those that can be joined now

    async def events(self, request: SynthesisRequest, repeat: Repeat | None = None) -> AsyncGenerator[ServerEvent]:
        """Accepted, AudioChunks of at most 480 ms, Finished. Leaving early aborts what nobody else hears, at once or
        after a grace. Raises as `Reading.start` does."""
        terms = Terms.of(request, repeat)
        reading = self._open.get(terms.key) or _SharedReading(self._read(request), terms, self._open)
        async with aclosing(reading.listen(request.timeout_s)) as events:
            async for event in events:
                yield event


class _SharedReading:
    """One reading, those who listen, and what a newcomer has missed."""

    def __init__(self, reading: Reading, terms: Terms, shelf: "dict[Hashable, _SharedReading]") -> None:
        """It lies on the `shelf` while it can be joined. Raises as `Reading.start` does."""
        self._reading = reading
        self._terms = terms
        self._shelf = shelf
        self._accepted = reading.start()
        self._accepted_at = time.monotonic()
        self._said: list[SpeechEvent] = []  # for newcomers
        self._said_bytes = 0
        self._keeps = terms.key is not None  # what was said: else there are no newcomers
        self._was_had = False
        self._has_finished = False
        self._listeners: list[asyncio.Queue[SpeechEvent | None]] = []
        self._end_of_grace: asyncio.TimerHandle | None = None
        if terms.while_heard:
            shelf[terms.key] = self
        self._task = asyncio.create_task(self._run())

    async def listen(self, timeout_s: float | None) -> AsyncGenerator[ServerEvent]:
        """All events, the first of which is told at once; a deadline of one's own."""
        deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        heard: asyncio.Queue[SpeechEvent | None] = asyncio.Queue()
        for event in self._said:
            heard.put_nowait(event)
        self._come(heard, timeout_s)
        try:
            yield self._accepted_now()
            async for event in self._heard(heard, deadline):
                self._note_had(event)
                yield event
        finally:
            self._listeners.remove(heard)
            if not self._listeners:
                self._be_left()

    def _come(self, heard: asyncio.Queue[SpeechEvent | None], timeout_s: float | None) -> None:
        self._listeners.append(heard)
        self._reading.extend(timeout_s)
        if self._end_of_grace is not None:
            self._end_of_grace.cancel()
        if self._has_finished or not self._terms.while_heard:
            self._leave_shelf()

    def _note_had(self, event: SpeechEvent) -> None:
        """From now on nobody would come for what was left, as everything would have to be said again."""
        if isinstance(event, Finished) or not self._terms.whole:
            self._was_had = True
            if not self._terms.while_heard:
                self._forget()

    def _be_left(self) -> None:
        """Nobody listens: end, unless one who had nothing may come again."""
        may_come = self._keeps and not self._was_had and self._terms.grace_s > 0
        if may_come and self._shelf.setdefault(self._terms.key, self) is self:
            self._end_of_grace = asyncio.get_running_loop().call_later(self._terms.grace_s, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._leave_shelf()
        self._task.cancel()
        self._reading.stop()

    def _leave_shelf(self) -> None:
        """What lies there of the same key may be another."""
        if self._shelf.get(self._terms.key) is self:
            del self._shelf[self._terms.key]

    def _forget(self) -> None:
        """Take no newcomers any more."""
        self._keeps = False
        self._said.clear()
        self._leave_shelf()

    async def _heard(
        self, heard: asyncio.Queue[SpeechEvent | None], deadline: float | None
    ) -> AsyncGenerator[SpeechEvent]:
        frames = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await heard.get()
            except TimeoutError:
                event = Finished(FinishReason.DEADLINE, frames, self._accepted.seed)
            if event is None:
                await self._task  # raises what ended it
                return
            yield event
            if isinstance(event, Finished):
                return
            frames += event.frames

    def _accepted_now(self) -> ServerEvent:
        """What was said of the first request, as it is by now."""
        if self._said:
            return replace(self._accepted, queue_position=0, eta_s=0.0)
        passed = time.monotonic() - self._accepted_at
        return replace(self._accepted, eta_s=max(0.0, self._accepted.eta_s - passed))

    async def _run(self) -> None:
        try:
            async with aclosing(self._reading.spoken()) as events:
                async for event in events:
                    self._has_finished = isinstance(event, Finished)
                    self._keep(event)
                    for heard in self._listeners:
                        heard.put_nowait(event)
        finally:
            if self._listeners or not self._has_finished:
                self._leave_shelf()
            self._reading.stop()
            for heard in self._listeners:
                heard.put_nowait(None)

    def _keep(self, event: SpeechEvent) -> None:
        """For those who come later, while there are not too many samples."""
        if not self._keeps:
            return
        self._said.append(event)
        self._said_bytes += 0 if isinstance(event, Finished) else event.samples.nbytes
        if self._said_bytes > MAX_KEPT_BYTES:
            self._forget()


def identity(request: SynthesisRequest) -> Hashable:
    """The same for requests that ask for the same; where they name a seed, their audio is the same too."""
    return (
        *(request.text, request.language, _voice_identity(request.voice), request.description, request.speaker),
        *(request.sampling, request.max_frames, request.text_at_once, request.whole, request.priority),
    )


def _voice_identity(voice: VoicePrompt | None) -> Hashable | None:
    if voice is None:
        return None
    codes = voice.reference_codes
    digest = hashlib.blake2b(voice.speaker_embedding.tobytes(), digest_size=16)
    digest.update(b"" if codes is None else codes.tobytes())
    return digest.digest(), None if codes is None else codes.shape, voice.reference_text
