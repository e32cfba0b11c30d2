"""From a body to speech, and from speech to a response."""

from dataclasses import dataclass

from starlette.responses import Response

from deployments.config import AppConfig, ModelConfig
from deployments.errors import renamed_fields
from deployments.speech import Conductor, Speech
from deployments.web.requests import KIND_OF_TASK, OPENAI_FIELDS, either, openai_utterance, utterance
from deployments.web.responses import Delivery, event_response, streamed_response, whole_response
from deployments.web.schemas import DesignBody, SpeechBody, SynthesizeBody, UtteranceBody, VoiceId
from models import InvalidRequestError
from voices import with_description


@dataclass(frozen=True, slots=True)
class SpeechService:
    """Behind every route that answers with audio. Errors are those of the tree in errors.py."""

    config: AppConfig
    conductor: Conductor

    async def synthesize(self, body: SynthesizeBody, as_json: bool) -> Response:
        """Speak with a voice of the library."""
        _check_form(body, as_json)
        request = utterance(body, self.config)
        speech = await self.conductor.in_voice(request, body.voice, self._named(body))
        return await _deliver(speech, body, as_json)

    async def design(self, body: DesignBody, as_json: bool) -> Response:
        """Speak with a voice that is described."""
        _check_form(body, as_json)
        request = with_description(utterance(body, self.config), body.description)
        speech = await self.conductor.described(request, self._named(body))
        return await _deliver(speech, body, as_json)

    async def openai_speech(self, body: SpeechBody) -> Response:
        """OpenAI's way of asking, with vllm-omni's extensions."""
        with renamed_fields(OPENAI_FIELDS):
            speech = await self._openai_begun(body)
        assert body.response_format != "aac", "refused above"
        delivery = Delivery(body.response_format)
        if body.stream_format == "sse":
            return event_response(speech, delivery)
        return streamed_response(speech, delivery) if body.stream else await whole_response(speech, delivery)

    async def _openai_begun(self, body: SpeechBody) -> Speech:
        request = openai_utterance(body, self.config)
        named = self.conductor.router.find_leniently(body.model)
        kind = None if body.task_type is None else KIND_OF_TASK[body.task_type]
        style = either(("instructions", body.instructions), ("instruct", body.instruct))
        spoken_by = body.voice.id if isinstance(body.voice, VoiceId) else body.voice
        voice = either(("voice", spoken_by), ("speaker", body.speaker))
        if body.ref_audio is not None:
            _refuse("voice", voice, "comes from ref_audio: send one of them")
            _refuse("instructions", style, "a cloned voice takes none")
            return await self.conductor.like_clip(request, body.ref_audio, _transcript(body), named, kind)
        _refuse("ref_text", body.ref_text, "goes with ref_audio")
        _refuse("x_vector_only_mode", body.x_vector_only_mode or None, "goes with ref_audio")
        if voice is not None:
            return await self.conductor.in_voice(request, voice, named, style, kind, openai=True)
        if style is None:
            raise InvalidRequestError("voice", "is missing: name a voice, or describe one in instructions")
        return await self.conductor.described(with_description(request, style), named, kind)

    def _named(self, body: UtteranceBody) -> ModelConfig | None:
        return None if body.model is None else self.conductor.router.find(body.model)


def _transcript(body: SpeechBody) -> str | None:
    """Of the clip that a body brings."""
    if body.ref_text is None and not body.x_vector_only_mode:
        raise InvalidRequestError("ref_text", "is missing: send the transcript, or set x_vector_only_mode")
    return None if body.x_vector_only_mode else body.ref_text


def _check_form(body: UtteranceBody, as_json: bool) -> None:
    if body.stream and as_json:
        raise InvalidRequestError("stream", "JSON is sent whole: do not accept application/json")


async def _deliver(speech: Speech, body: UtteranceBody, as_json: bool) -> Response:
    delivery = Delivery(body.format, as_json)
    return streamed_response(speech, delivery) if body.stream else await whole_response(speech, delivery)


def _refuse(field: str, value: object | None, why: str) -> None:
    if value is not None:
        raise InvalidRequestError(field, why)
