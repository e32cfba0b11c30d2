"""From a body to speech: which voice, which model, and how the audio leaves."""

from dataclasses import dataclass, replace

from starlette.responses import Response

from deployments.config import AppConfig, ModelConfig
from deployments.errors import renamed_fields
from deployments.speech.deadline import Deadline
from deployments.speech.record import note_model
from deployments.speech.router import Router
from deployments.speech.utterance import Route, open_speech
from deployments.speech.voices import VoiceService
from deployments.web.requests import (
    KIND_OF_TASK,
    KIND_OF_VOICE,
    OPENAI_FIELDS,
    check_language,
    check_style,
    either,
    openai_utterance,
    utterance,
    with_description,
)
from deployments.web.responses import Delivery, event_response, streamed_response, whole_response
from deployments.web.schemas import DesignBody, SpeechBody, SynthesizeBody, UtteranceBody, VoiceId
from models import InvalidRequestError, SynthesisRequest
from models.architecture import Kind
from voices import Voice, VoiceNotFoundError


@dataclass(frozen=True, slots=True)
class Voiced:
    """A request that lacks nothing any more."""

    request: SynthesisRequest
    route: Route
    voice: str | None  # its id; None where the request itself describes or brings it
    deadline: Deadline

    @property
    def timed(self) -> SynthesisRequest:
        """The request with the time that it has left. Raises DeadlinePassedError."""
        return self.deadline.applied(self.request)


@dataclass(frozen=True, slots=True)
class SpeechService:
    """Behind every route that answers with audio. Errors are those of the tree in errors.py."""

    config: AppConfig
    router: Router
    voices: VoiceService

    async def synthesize(self, body: SynthesizeBody, as_json: bool) -> Response:
        """Speak with a voice of the library."""
        request = utterance(body, self.config)
        deadline = self._deadline(request)
        named = None if body.model is None else self.router.find(body.model)
        voiced = await self._with_voice(request, deadline, body.voice, named, style=None)
        return await self._deliver(voiced, body, as_json)

    async def design(self, body: DesignBody, as_json: bool) -> Response:
        """Speak with a voice that is described."""
        request = with_description(utterance(body, self.config), body.description)
        deadline = self._deadline(request)
        named = None if body.model is None else self.router.find(body.model)
        route = await self._reach("voice_design", named, request, deadline)
        return await self._deliver(Voiced(request, route, None, deadline), body, as_json)

    async def openai_speech(self, body: SpeechBody) -> Response:
        """OpenAI's way of asking, with vllm-omni's extensions."""
        with renamed_fields(OPENAI_FIELDS):
            request = openai_utterance(body, self.config)
            voiced = await self._openai_voiced(body, request, self._deadline(request))
            speech = await open_speech(voiced.route, voiced.timed)
        assert body.response_format != "aac", "refused above"
        delivery = Delivery(body.response_format, voiced.voice)
        if body.stream_format == "sse":
            return event_response(speech, delivery)
        return streamed_response(speech, delivery) if body.stream else await whole_response(speech, delivery)

    async def _openai_voiced(self, body: SpeechBody, request: SynthesisRequest, deadline: Deadline) -> Voiced:
        named = self.router.find_leniently(body.model)
        task = None if body.task_type is None else KIND_OF_TASK[body.task_type]
        style = either(("instructions", body.instructions), ("instruct", body.instruct))
        spoken_by = body.voice.id if isinstance(body.voice, VoiceId) else body.voice
        voice = either(("voice", spoken_by), ("speaker", body.speaker))
        if body.ref_audio is not None:
            _refuse("voice", voice, "comes from ref_audio: send one of them")
            _refuse("instructions", style, "a cloned voice takes none")
            return await self._with_clip(request, deadline, body, named, _same_task(task, "base"))
        _refuse("ref_text", body.ref_text, "goes with ref_audio")
        _refuse("x_vector_only_mode", body.x_vector_only_mode or None, "goes with ref_audio")
        if voice is not None:
            return await self._with_voice(request, deadline, voice, named, style, task, openai=True)
        if style is None:
            raise InvalidRequestError("voice", "is missing: name a voice, or describe one in instructions")
        described = with_description(request, style)
        route = await self._reach(_same_task(task, "voice_design"), named, described, deadline)
        return Voiced(described, route, None, deadline)

    async def _with_voice(
        self,
        request: SynthesisRequest,
        deadline: Deadline,
        name: str,
        named: ModelConfig | None,
        style: str | None,
        task: Kind | None = None,
        openai: bool = False,
    ) -> Voiced:
        voice = await self._find(request, deadline, name, named, openai)
        check_style(voice, style)
        route = await self._reach(_same_task(task, KIND_OF_VOICE[voice.kind]), named, request, deadline)
        async with deadline.kept():
            request = await self.voices.condition(request, voice, route, style)
        return Voiced(request, route, voice.id, deadline)

    async def _find(
        self, request: SynthesisRequest, deadline: Deadline, name: str, named: ModelConfig | None, openai: bool
    ) -> Voice:
        """The voice of this name. A model is loaded for it only where the request names one that has speakers and whose
        checkpoint was never downloaded: until then nobody knows them."""
        find = self.voices.get_openai if openai else self.voices.get
        try:
            async with deadline.kept():
                return await find(name)
        except VoiceNotFoundError:
            if named is None or named.kind != "custom_voice" or await self.router.names(named) is not None:
                raise
        await self._reach("custom_voice", named, request, deadline)
        async with deadline.kept():
            return await find(name)

    async def _with_clip(
        self, request: SynthesisRequest, deadline: Deadline, body: SpeechBody, named: ModelConfig | None, kind: Kind
    ) -> Voiced:
        """A voice that is cloned for this one request."""
        assert body.ref_audio is not None
        if body.ref_text is None and not body.x_vector_only_mode:
            raise InvalidRequestError("ref_text", "is missing: send the transcript, or set x_vector_only_mode")
        self.router.choose(kind, named)
        async with deadline.kept():
            clip = await self.voices.read_clip("ref_audio", body.ref_audio)
            audio = await self.voices.hear(clip, "ref_audio")
        route = await self._reach(kind, named, request, deadline)
        text = None if body.x_vector_only_mode else body.ref_text
        async with deadline.kept():
            prompt = await self.voices.clone_once(audio, text, route)
        return Voiced(replace(request, voice=prompt), route, None, deadline)

    def _deadline(self, request: SynthesisRequest) -> Deadline:
        return Deadline(request.timeout_s or self.config.default_timeout_s)

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

    async def _deliver(self, voiced: Voiced, body: UtteranceBody, as_json: bool) -> Response:
        if body.stream and as_json:
            raise InvalidRequestError("stream", "JSON is sent whole: do not accept application/json")
        speech = await open_speech(voiced.route, voiced.timed)
        delivery = Delivery(body.format, voiced.voice, as_json)
        return streamed_response(speech, delivery) if body.stream else await whole_response(speech, delivery)


def _same_task(asked: Kind | None, needed: Kind) -> Kind:
    if asked not in (None, needed):
        raise InvalidRequestError("task_type", f"does not fit the voice, which needs a {needed} model")
    return needed


def _refuse(field: str, value: object | None, why: str) -> None:
    if value is not None:
        raise InvalidRequestError(field, why)
