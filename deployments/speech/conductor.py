"""The door by which something is spoken, whatever it was that carried the request here."""

from dataclasses import dataclass, replace

from deployments.config import AppConfig, ModelConfig
from deployments.speech.deadline import Deadline
from deployments.speech.record import note_model
from deployments.speech.router import Router
from deployments.speech.utterance import Route, Speech, check_language, open_speech
from deployments.speech.voices import VoiceService
from models import InvalidRequestError, Kind, SynthesisRequest
from voices import Voice, VoiceNotFoundError, check_style

KIND_OF_VOICE: dict[str, Kind] = {"cloned": "base", "designed": "voice_design", "builtin": "custom_voice"}


@dataclass(frozen=True, slots=True)
class Conductor:
    """Which voice, which model, until when; then a speech that has begun, which whoever asked has to close.

    `model` is the one that was asked for by name, None where the choice is ours; `kind` likewise. Errors are those of
    the tree in errors.py.
    """

    config: AppConfig
    router: Router
    voices: VoiceService

    async def in_voice(
        self,
        request: SynthesisRequest,
        voice: str,
        model: ModelConfig | None,
        style: str | None = None,
        kind: Kind | None = None,
        openai: bool = False,
    ) -> Speech:
        """Speak with a voice of the library, which is named as /v1 does where `openai` says so."""
        deadline = self._deadline(request)
        found = await self._find(request, deadline, voice, model, openai)
        check_style(found, style)
        needed = _same_kind(kind, KIND_OF_VOICE[found.kind])
        route = await self._reach(needed, model, request, deadline)
        async with deadline.kept():
            request = await self.voices.condition(request, found, route, style)
        return await open_speech(route, deadline.applied(request), found.id)

    async def described(self, request: SynthesisRequest, model: ModelConfig | None, kind: Kind | None = None) -> Speech:
        """Speak with the voice that the request describes."""
        deadline = self._deadline(request)
        route = await self._reach(_same_kind(kind, "voice_design"), model, request, deadline)
        return await open_speech(route, deadline.applied(request))

    async def like_clip(
        self,
        request: SynthesisRequest,
        clip: str,
        transcript: str | None,
        model: ModelConfig | None,
        kind: Kind | None = None,
    ) -> Speech:
        """Speak with a voice that is cloned for this one request from `clip`: base64, a data URI or, where that is
        allowed, a URL. Without its transcript it is an x-vector clone."""
        deadline = self._deadline(request)
        needed = _same_kind(kind, "base")
        self.router.choose(needed, model)
        async with deadline.kept():
            audio = await self.voices.hear(await self.voices.read_clip(clip))
        route = await self._reach(needed, model, request, deadline)
        async with deadline.kept():
            prompt = await self.voices.clone_once(audio, transcript, route)
        return await open_speech(route, deadline.applied(replace(request, voice=prompt)))

    async def _find(
        self, request: SynthesisRequest, deadline: Deadline, name: str, model: ModelConfig | None, openai: bool
    ) -> Voice:
        """The voice of this name. A model is loaded for it only where the request names one that has speakers and whose
        checkpoint was never downloaded: until then nobody knows them."""
        find = self.voices.get_openai if openai else self.voices.get
        try:
            async with deadline.kept():
                return await find(name)
        except VoiceNotFoundError:
            if model is None or model.kind != "custom_voice" or await self.router.names(model) is not None:
                raise
        await self._reach("custom_voice", model, request, deadline)
        async with deadline.kept():
            return await find(name)

    async def _reach(
        self, kind: Kind, named: ModelConfig | None, request: SynthesisRequest, deadline: Deadline
    ) -> Route:
        model = self.router.choose(kind, named)
        note_model(model.id)
        names = await self.router.names(model)
        if names is not None:
            check_language(request, names.languages)
        route = await self.router.reach(model, deadline.left_s)
        check_language(request, route.info.languages)
        return route

    def _deadline(self, request: SynthesisRequest) -> Deadline:
        return Deadline(request.timeout_s or self.config.default_timeout_s)


def _same_kind(asked: Kind | None, needed: Kind) -> Kind:
    if asked not in (None, needed):
        raise InvalidRequestError("kind", f"does not fit the voice, which needs a {needed} model")
    return needed
