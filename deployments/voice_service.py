"""The voice library as the ingress uses it: disk and audio work in threads, encoding in a Base model's replica."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from deployments.config import AppConfig, ModelConfig
from deployments.errors import ModelUnavailableError
from deployments.fetch import Limits, fetch, is_url
from deployments.router import Router
from deployments.schemas import VoiceBody
from deployments.speech import Route
from deployments.validation import Conditioner, decode_audio, renamed_fields
from models import InvalidRequestError, SynthesisRequest, VoicePrompt
from models.types import Samples
from voices import BrokenVoice, Encode, Voice, VoiceLibrary, VoiceNotFoundError, read_reference_audio

ENCODE_TIMEOUT_S = 120.0
ENCODING_THREADS = 4
FETCHING_THREADS = 4


@dataclass(frozen=True, slots=True)
class Clip:
    """A voice to be made from a reference clip; `field_names` are the client's names of the fields."""

    name: str
    audio: bytes
    text: str | None
    description: str = ""
    languages: tuple[str, ...] = ()
    field_names: Mapping[str, str] = field(default_factory=dict)


class VoiceService:
    """Voices by name, for every route."""

    def __init__(self, config: AppConfig, router: Router, library: VoiceLibrary) -> None:
        self._config = config
        self._router = router
        self._library = library
        # Apart from the loop's own threads, which must stay free for short work while clips are waiting.
        self._encoding = ThreadPoolExecutor(ENCODING_THREADS, "encoding")
        self._fetching = ThreadPoolExecutor(FETCHING_THREADS, "fetching")

    async def get(self, name: str) -> Voice:
        """The voice of this name or id, built-in speakers included. Raises VoiceNotFoundError, VoiceBrokenError."""
        try:
            return await asyncio.to_thread(self._library.get, name)
        except VoiceNotFoundError:
            speakers = await self._speakers(wake=True)
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

    async def list(self) -> list[VoiceBody]:
        """Every voice; broken ones last, with what is wrong as their description."""
        found = await asyncio.to_thread(self._library.list)
        broken = await asyncio.to_thread(self._library.broken)
        speakers = await self._speakers(wake=False)
        return [
            *(describe_voice(voice) for voice in [*found, *speakers.values()]),
            *(_describe_broken(voice) for voice in broken),
        ]

    async def clone(self, clip: Clip) -> Voice:
        """Make a voice that stays. Raises as `VoiceLibrary.create_cloned`; then nothing has changed on disk."""
        route = await self._router.reach(self._router.choose("base", None), ENCODE_TIMEOUT_S)
        conditioner = self._conditioner(route)
        with renamed_fields(clip.field_names):
            create = partial(
                self._library.create_cloned,
                clip.name,
                clip.audio,
                clip.text,
                conditioner.encode,
                conditioner.weights,
                clip.description,
                clip.languages,
            )
            return await asyncio.get_running_loop().run_in_executor(self._encoding, create)

    async def read_clip(self, field_name: str, text: str) -> bytes:
        """A clip that comes as base64 or, where that is allowed, by URL. Raises InvalidRequestError."""
        if not is_url(text):
            return await decode_audio(field_name, text)
        if not self._config.fetch_urls:
            raise InvalidRequestError(field_name, "is a URL, which this server does not fetch: send base64")
        limits = Limits(self._config.max_body_bytes, self._config.fetch_timeout_s)
        return await asyncio.get_running_loop().run_in_executor(self._fetching, fetch, field_name, text, limits)

    async def clone_once(self, model: ModelConfig, clip: bytes, text: str | None, field_name: str) -> VoicePrompt:
        """The prompt of a clip that is used for one request and not kept. Raises ReferenceAudioError."""
        audio = await asyncio.to_thread(read_reference_audio, clip, field_name)
        return await self._encode(model, audio.samples, audio.sample_rate, text)

    async def delete(self, name: str) -> str:
        """Remove a voice; returns its id. Raises VoiceNotFoundError, VoiceReadOnlyError, VoiceStorageError."""
        return await asyncio.to_thread(self._library.delete, name)

    async def condition(
        self, request: SynthesisRequest, voice: Voice, route: Route, style: str | None = None
    ) -> SynthesisRequest:
        """The request, spoken by `voice` with the model of `route`; slow when the voice is new to the model."""
        apply = self._conditioner(route).apply
        return await asyncio.get_running_loop().run_in_executor(self._encoding, apply, request, voice, style)

    def _conditioner(self, route: Route) -> Conditioner:
        return Conditioner(route.info.fingerprint, self._encode_from_thread(route.config))

    def _encode_from_thread(self, model: ModelConfig) -> Encode:
        """For the library, which works in threads: the call goes back to the event loop and on to the replica."""
        loop = asyncio.get_running_loop()

        def encode(samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
            return asyncio.run_coroutine_threadsafe(self._encode(model, samples, sample_rate, text), loop).result()

        return encode

    async def _encode(self, model: ModelConfig, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        try:
            async with asyncio.timeout(ENCODE_TIMEOUT_S):
                return await self._router.clients[model.id].encode_voice(samples, sample_rate, text)
        except TimeoutError:
            raise ModelUnavailableError(f"{model.id} did not encode the voice in {ENCODE_TIMEOUT_S:.0f} s") from None

    async def _speakers(self, wake: bool) -> dict[str, Voice]:
        """Built-in speakers by name. Only a model that was never loaded has to be woken for them, if it may be."""
        speakers: dict[str, Voice] = {}
        for model in self._router.models:
            if model.kind != "custom_voice":
                continue
            info = await self._router.known_info(model)
            if info is None and wake:
                info = (await self._router.reach(model, self._config.default_timeout_s)).info
            speakers |= {speaker.lower(): Voice.builtin(speaker) for speaker in (info.speakers if info else ())}
        return speakers


def describe_voice(voice: Voice) -> VoiceBody:
    """A voice as it is listed."""
    return VoiceBody(
        id=voice.id,
        name=voice.name,
        kind=voice.kind,
        description=voice.description,
        languages=list(voice.languages),
        created_at=voice.created_at,
        mode=voice.mode,
    )


def _describe_broken(voice: BrokenVoice) -> VoiceBody:
    return VoiceBody(
        id=voice.id,
        name=voice.id,
        kind="broken",
        description=voice.reason,
        languages=[],
        created_at=None,
        mode=None,
    )
