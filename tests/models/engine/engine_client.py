"""How tests speak with an engine."""

import threading
import time

import numpy as np

from models import AudioChunk, Finished, Sampling, SpeechEngine, SpeechEvent, SynthesisRequest, VoicePrompt

TEXTS = ("Hi.", "Hello, this is a test.", "A somewhat longer sentence, which goes on for a little while.")


def some_voice(engine: SpeechEngine, number: int) -> VoicePrompt:
    """An x-vector clone or an ICL clone."""
    random = np.random.default_rng(number)
    embedding = random.standard_normal(engine.info.speaker_embedding_size).astype(np.float32)
    if number % 3 == 0:
        return VoicePrompt(embedding)
    return VoicePrompt(embedding, random.integers(0, 512, (5 + 20 * (number % 3), 16)), "What the clip says.")


def speech_request(engine: SpeechEngine, number: int, frames: int = 12) -> SynthesisRequest:
    """One of many different requests; the same number gives the same."""
    return SynthesisRequest(
        TEXTS[number % len(TEXTS)],
        voice=some_voice(engine, number % 5),
        text_at_once=[None, True, False][number % 3],
        sampling=Sampling(seed=number, top_k=0 if number % 4 == 0 else 50, top_p=0.9 if number % 2 else 1.0),
        max_frames=frames,
    )


class Recorder:
    """A listener that keeps what it hears and waits for the end."""

    def __init__(self) -> None:
        self.chunks: list[AudioChunk] = []
        self.ends: list[Finished] = []
        self.first = threading.Event()
        self._done = threading.Event()

    def __call__(self, event: SpeechEvent) -> None:
        if isinstance(event, Finished):
            self.ends.append(event)
            self._done.set()
        else:
            self.chunks.append(event)
            self.first.set()

    def wait(self) -> Finished:
        assert self._done.wait(60), "no end within a minute"
        return self.ends[0]


def becomes_idle(engine: SpeechEngine) -> bool:
    """Whether nothing runs or waits any more, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = engine.status()
        if status.slots_used == 0 and status.waiting == 0:
            return True
        time.sleep(0.01)
    return False
