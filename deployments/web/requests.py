"""From what a client sent to what an engine accepts. Every refusal names the field that is to blame."""

from deployments.config import AppConfig
from deployments.web.schemas import SamplingBody, SpeechBody, UtteranceBody
from models import (
    InvalidRequestError,
    Kind,
    Priority,
    Sampling,
    SynthesisRequest,
)

# The engine's names of fields, as /v1/audio/speech calls them.
OPENAI_FIELDS = {
    "text": "input",
    "max_frames": "max_new_tokens",
    "description": "instructions",
    "kind": "task_type",
    "reference_audio": "ref_audio",
}
KIND_OF_TASK: dict[str, Kind] = {"Base": "base", "CustomVoice": "custom_voice", "VoiceDesign": "voice_design"}


def utterance(body: UtteranceBody, config: AppConfig) -> SynthesisRequest:
    """The request of an /api/v1 body, its voice still to be filled in."""
    check_length("text", body.text, config.max_text_characters)
    return SynthesisRequest(
        text=body.text,
        language=body.language.strip().lower(),
        sampling=_sampling(body.sampling, body.seed),
        timeout_s=_timeout(body.timeout_s, config),
        whole=not body.stream,
        priority=Priority(body.priority),
    )


def openai_utterance(body: SpeechBody, config: AppConfig) -> SynthesisRequest:
    """The request of a /v1/audio/speech body, its voice still to be filled in. Errors name the engine's fields."""
    check_length("input", body.input, config.max_input_characters)
    if body.speed != 1.0:
        raise InvalidRequestError("speed", f"{body.speed} is not available: this server speaks at speed 1.0 only")
    if body.response_format == "aac":
        raise InvalidRequestError("response_format", "aac is not available; mp3, opus, flac, wav and pcm are")
    sampling = SamplingBody(
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=body.top_p,
        repetition_penalty=body.repetition_penalty,
    )
    if body.stream_format == "sse" and not body.stream:
        raise InvalidRequestError("stream", "false does not go with stream_format sse")
    return SynthesisRequest(
        text=body.input,
        language=body.language.strip().lower(),
        sampling=_sampling(sampling, body.seed),
        max_frames=body.max_new_tokens,
        timeout_s=config.default_timeout_s,
        whole=not body.stream,
        priority=Priority(body.priority),
    )


def either(first: tuple[str, str | None], second: tuple[str, str | None]) -> str | None:
    """The value of a field that has two names. Raises InvalidRequestError when both are used."""
    if first[1] is not None and second[1] is not None:
        raise InvalidRequestError(second[0], f"is another name of {first[0]}: send one of them")
    return first[1] if first[1] is not None else second[1]


def check_length(field: str, text: str, limit: int) -> None:
    """Raises InvalidRequestError for a text past the configured cap."""
    if len(text) > limit:
        raise InvalidRequestError(field, f"has {len(text)} characters, at most {limit} are allowed")


def _sampling(body: SamplingBody | None, seed: int | None) -> Sampling:
    chosen = {} if body is None else body.model_dump()
    return Sampling(**chosen, seed=seed)


def _timeout(seconds: float | None, config: AppConfig) -> float:
    if seconds is None:
        return config.default_timeout_s
    if seconds > config.max_timeout_s:
        raise InvalidRequestError("timeout_s", f"{seconds} is above the limit of {config.max_timeout_s}")
    return seconds
