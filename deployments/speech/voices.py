"""The voice library as the ingress uses it: disk work in threads, clips decoded in a process of their own, encoding in
a Base model's replica. No model is woken before everything that needs none was looked at."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from deployments.config import AppConfig
from deployments.speech.clip import CLIP_FIELD, Clip, decode_audio
from deployments.speech.deadline import Deadline
from deployments.speech.fetch import Limits, fetch, is_url
from deployments.speech.places import Places
from deployments.speech.prompts import Prompts
from deployments.speech.router import Router
from deployments.speech.utterance import Route
from models import InvalidRequestError, SynthesisRequest, VoicePrompt
from voices import Listing, ReferenceAudio, Voice, VoiceLibrary, VoiceNotFoundError, spoken_by
from voices.clip_decoder import ClipDecoder
from voices.reference_audio import SAMPLE_RATE

CLIPS_WAITING = 32  # to be decoded, one after the other
FETCHES = 4  # at once
FETCHES_WAITING = 16


class VoiceService:
    """Voices by name, for every route."""

    def __init__(self, config: AppConfig, router: Router, library: VoiceLibrary) -> None:
        self._config = config
        self._router = router
        self._library = library
        self._prompts = Prompts(router.clients)
        self._decoder = ClipDecoder()
        self._clips = Places("clips to be decoded", 1, CLIPS_WAITING)
        self._fetches = Places("URLs to be fetched", FETCHES, FETCHES_WAITING)
        # Apart from the loop's own threads, which must stay free for short work.
        self._decoding = ThreadPoolExecutor(1, "decoding")
        self._fetching = ThreadPoolExecutor(FETCHES, "fetching")

    async def get(self, name: str) -> Voice:
        """The voice of this name or id, built-in speakers included. Raises VoiceNotFoundError, VoiceBrokenError."""
        try:
            return await asyncio.to_thread(self._library.get, name)
        except VoiceNotFoundError:
            speakers = await self._speakers()
            if name.strip().lower() not in speakers:
                raise
            return speakers[name.strip().lower()]

    async def get_openai(self, name: str) -> Voice:
        """The same for /v1, where OpenAI's own voice names stand for configured voices unless a voice has the name."""
        stands_for = self._config.openai_voices.get(name.strip().lower())
        try:
            return await self.get(name)
        except VoiceNotFoundError:
            if stands_for is None:
                raise
        return await self.get(stands_for)

    async def listing(self) -> Listing:
        """Every voice, built-in speakers included."""
        found = await asyncio.to_thread(self._library.listing)
        speakers = await self._speakers()
        return Listing((*found.voices, *speakers.values()), found.broken)

    async def clone(self, clip: Clip) -> Voice:
        """Make a voice that stays. Raises as `VoiceLibrary.create_cloned`, and DeadlinePassedError, OverloadedError,
        ModelUnavailableError; then nothing has changed on disk, nor has it when whoever asked has left."""
        deadline = Deadline(self._config.default_timeout_s)
        model = self._router.choose("base", None)
        async with deadline.kept():
            new = await asyncio.to_thread(
                self._library.new_clone, clip.name, clip.text, clip.description, clip.languages
            )
            recording = await asyncio.to_thread(new.recorded, await self.hear(clip.audio))
        route = await self._router.reach(model, deadline.left_s)
        async with deadline.kept():
            heard = ReferenceAudio(recording.samples, SAMPLE_RATE)
            prompt = await self.clone_once(heard, new.text, route)
        return await asyncio.to_thread(self._library.add, recording, route.info.fingerprint, prompt)

    async def read_clip(self, text: str) -> bytes:
        """A clip that comes as base64 or, where that is allowed, by URL. Raises InvalidRequestError."""
        if not is_url(text):
            return await decode_audio(CLIP_FIELD, text)
        if not self._config.fetch_urls:
            raise InvalidRequestError(CLIP_FIELD, "is a URL, which this server does not fetch: send base64")
        limits = Limits(self._config.max_body_bytes, self._config.fetch_timeout_s)

        async def fetched() -> bytes:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._fetching, fetch, CLIP_FIELD, text, limits)

        return await self._fetches.run(fetched)

    async def hear(self, clip: bytes) -> ReferenceAudio:
        """A clip, decoded and checked. Raises ReferenceAudioError, OverloadedError."""

        async def heard() -> ReferenceAudio:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._decoding, self._decoder.read, clip, CLIP_FIELD)

        return await self._clips.run(heard)

    async def clone_once(self, clip: ReferenceAudio, text: str | None, route: Route) -> VoicePrompt:
        """What a Base model needs to speak like a clip. Raises OverloadedError, ModelUnavailableError."""
        return await self._prompts.of_clip(clip.samples, clip.sample_rate, text, route)

    async def delete(self, name: str) -> str:
        """Remove a voice; returns its id. Raises VoiceNotFoundError, VoiceReadOnlyError, VoiceStorageError."""
        return await asyncio.to_thread(self._library.delete, name)

    async def condition(
        self, request: SynthesisRequest, voice: Voice, route: Route, style: str | None = None
    ) -> SynthesisRequest:
        """The request, spoken by `voice` with the model of `route`; slow when the voice is new to the model."""
        prompt = await self._prompts.of(voice, route) if voice.kind == "cloned" else None
        return spoken_by(request, voice, prompt, route.info.languages, style)

    async def _speakers(self) -> dict[str, Voice]:
        """Built-in speakers by name, of models that need not be loaded."""
        speakers: dict[str, Voice] = {}
        for model in self._router.models:
            if model.kind == "custom_voice" and (names := await self._router.names(model)) is not None:
                speakers |= {speaker.lower(): Voice.builtin(speaker) for speaker in names.speakers}
        return speakers
