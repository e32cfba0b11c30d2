"""What Base models need to speak with cloned voices: remembered, read from the disk, or made."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from deployments.contract import ModelClient
from deployments.errors import ModelUnavailableError
from deployments.speech.places import Places
from deployments.speech.sharing import Sharing
from deployments.speech.utterance import Route
from models import Samples, VoicePrompt
from voices import Voice

ENCODE_TIMEOUT_S = 120.0  # for one clip, from its turn on
MAY_WAIT = 16  # clips, for each model: it encodes one at a time
REMEMBERED = 256  # prompts; the longest has 60 KB

Key = tuple[str, str]  # fingerprints of the weights and of clip and transcript: what never changes is never outdated


class Prompts:
    """For every voice and model. A prompt that is there waits for nothing that is being made."""

    def __init__(self, clients: Mapping[str, ModelClient]) -> None:
        self._clients = clients
        self._queues = {model_id: Places("voices to be encoded", 1, MAY_WAIT) for model_id in clients}
        self._making = Sharing[Key, VoicePrompt]()
        self._remembered = OrderedDict[Key, VoicePrompt]()

    async def of(self, voice: Voice, route: Route) -> VoicePrompt:
        """What the model of `route` needs to speak with a cloned voice.

        Raises OverloadedError, ModelUnavailableError, and as `Voice.reference_audio` and the model do.
        """
        assert voice.reference is not None, "a cloned voice"
        key = (route.info.fingerprint, voice.reference.fingerprint)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        prompt = await asyncio.to_thread(voice.stored_prompt, route.info.fingerprint)
        if prompt is None:
            queue = self._queues[route.config.id]
            prompt = await self._making.get(key, partial(queue.run, partial(self._make, voice, route)))
        self._remember(key, prompt)
        return prompt

    async def of_clip(self, samples: Samples, sample_rate: int, text: str | None, route: Route) -> VoicePrompt:
        """What the model needs to speak like a clip. Raises OverloadedError and ModelUnavailableError."""
        queue = self._queues[route.config.id]
        return await queue.run(partial(self._encode, samples, sample_rate, text, route))

    async def _make(self, voice: Voice, route: Route) -> VoicePrompt:
        """Made and kept, though those who asked may have left meanwhile."""
        weights = route.info.fingerprint
        stored = await asyncio.to_thread(voice.stored_prompt, weights)  # while this waited it may have been made
        if stored is not None:
            return stored
        samples, sample_rate = await asyncio.to_thread(voice.reference_audio)
        assert voice.reference is not None
        prompt = await self._encode(samples, sample_rate, voice.reference.text, route)
        await asyncio.to_thread(voice.store_prompt, weights, prompt)
        return prompt

    async def _encode(self, samples: Samples, sample_rate: int, text: str | None, route: Route) -> VoicePrompt:
        try:
            async with asyncio.timeout(ENCODE_TIMEOUT_S):
                return await self._clients[route.config.id].encode_voice(samples, sample_rate, text)
        except TimeoutError:
            raise ModelUnavailableError(
                f"{route.config.id} did not encode the voice in {ENCODE_TIMEOUT_S:.0f} s"
            ) from None

    def _remember(self, key: Key, prompt: VoicePrompt) -> None:
        self._remembered[key] = prompt
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
