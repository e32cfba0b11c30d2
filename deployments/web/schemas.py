"""Wire types: what clients send and receive. validation.py turns what they send into the domain's types."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AudioFormat = Literal["wav", "pcm", "mp3", "opus", "flac"]
StreamFormat = Literal["audio", "sse"]
PriorityName = Literal["interactive", "batch"]
TaskType = Literal["Base", "CustomVoice", "VoiceDesign"]
VoiceKindName = Literal["cloned", "designed", "builtin", "broken"]
ModelState = Literal["cold", "loading", "ready", "failed"]


PRIORITY = "batch: computed only while nothing interactive is there to do; the audio is the same"


class Wire(BaseModel):
    """What clients send is taken as it is or refused: no unknown fields, no guessing of types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Shown(BaseModel):
    """What clients receive."""

    model_config = ConfigDict(frozen=True)


class SamplingBody(Wire):
    """How codes are drawn; what is left out is as the checkpoint says."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    predictor_temperature: float | None = None
    predictor_top_k: int | None = None
    predictor_top_p: float | None = None


class UtteranceBody(Wire):
    """What /api/v1's two ways of speaking share."""

    text: str
    model: str | None = Field(None, description="id of a configured model; left out: the first that can do it")
    language: str = "auto"
    format: AudioFormat = "wav"
    stream: bool = Field(False, description="send audio while it is being made")
    seed: int | None = Field(None, description="same seed, same audio; left out: drawn and told in X-Seed")
    sampling: SamplingBody | None = Field(None, description="what is left out is as the checkpoint says, seed or not")
    timeout_s: float | None = Field(None, description="deadline in seconds")
    priority: PriorityName = Field(default="interactive", description=PRIORITY)


class SynthesizeBody(UtteranceBody):
    """POST /api/v1/tts/synthesize."""

    voice: str = Field(description="name or id of a voice")


class DesignBody(UtteranceBody):
    """POST /api/v1/tts/design."""

    description: str = Field(description="what the voice sounds like")


class CloneBody(Wire):
    """POST /api/v1/tts/clone as JSON; as multipart the same fields, with the clip as a file."""

    voice_name: str
    reference_audio: str = Field(description="base64 of a clip of 1 to 30 s in any common format; a data URI is fine")
    reference_text: str | None = Field(None, description="its transcript; without it the clone is x-vector only")
    language: str | None = Field(None, description="the language the voice is meant for")
    description: str = ""


class VoiceId(Wire):
    """A voice as the official client's newer versions send it."""

    id: str


class SpeechBody(Wire):
    """POST /v1/audio/speech: OpenAI's fields, then the extensions of vllm-omni, then this project's."""

    input: str
    model: str
    voice: str | VoiceId | None = None
    instructions: str | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0
    stream_format: StreamFormat = "audio"
    stream: bool = Field(True, description="false: wait for the whole file, whose headers then hold true sizes")
    task_type: TaskType | None = None
    language: str = "auto"
    ref_audio: str | None = Field(None, description="base64, data URI or, where allowed, URL of a clip to clone once")
    ref_text: str | None = None
    x_vector_only_mode: bool = False
    seed: int | None = None
    max_new_tokens: int | None = Field(None, description="frames at most; 12.5 are a second")
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    instruct: str | None = Field(None, description="alias of instructions")
    speaker: str | None = Field(None, description="alias of voice")
    priority: PriorityName = Field(default="interactive", description=PRIORITY)


class VoiceUploadBody(Wire):
    """POST /v1/audio/voices as JSON."""

    name: str
    wav_b64: str
    ref_text: str | None = None
    consent: str | bool | None = Field(None, description="of who speaks in the clip; a no refuses")


class ErrorDetail(Shown):
    """Why a request was refused or failed."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Shown):
    """The form of every error."""

    error: ErrorDetail


class VoiceBody(Shown):
    """A voice as it is listed."""

    id: str
    name: str
    kind: VoiceKindName
    description: str
    languages: list[str]
    created_at: str | None
    mode: Literal["icl", "x_vector"] | None = Field(description="how a cloned voice is spoken")
    warnings: list[str] = Field(description="why it may not come out well; its transcript cannot be that of its clip")


class VoicesBody(Shown):
    """All voices."""

    voices: list[VoiceBody]


class VoiceNamesBody(Shown):
    """All voices, for clients that expect strings."""

    voices: list[str]


class DeletedBody(Shown):
    """A voice that is gone."""

    id: str
    deleted: Literal[True] = True


class SpeechJson(Shown):
    """A whole utterance for clients that accept application/json."""

    audio: str = Field(description="base64")
    format: AudioFormat
    sample_rate: int
    duration_s: float
    model: str
    voice: str | None
    rtf: float = Field(description="wall time over audio time: lower is better")
    seed: int
    finish_reason: str


class ModelCard(Shown):
    """A model in OpenAI's list."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "qwen3-tts-cpu"


class ModelCards(Shown):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class ModelStatus(Shown):
    """One model in /api/v1/status; what only a loaded model knows is null until it is ready."""

    id: str
    kind: str
    checkpoint: str
    precision: str
    weights: str
    state: ModelState
    budget_bytes: int
    resident_bytes: int | None = None
    peak_bytes: int | None = None
    load_seconds: float | None = None
    backend: str | None = None
    instructions: str | None = None
    slots: int | None = None
    slots_used: int | None = None
    queue: int | None = Field(default=None, description="utterances that wait for a slot")
    queue_batch: int | None = Field(default=None, description="of those, the batch class's")
    queued_audio_seconds: float | None = Field(default=None, description="audio still to be made, as expected")
    rejected: int | None = Field(default=None, description="requests answered 429")
    preempted: int | None = Field(default=None, description="times that batch work gave up its slot")
    rtf: float | None = None
    requests: int | None = None
    failures: int | None = None
    outcomes: dict[str, int] | None = Field(default=None, description="finished requests by how they ended")
    audio_seconds: float | None = None


class NodeStatus(Shown):
    """The machine."""

    memory_bytes: int
    memory_available_bytes: int
    cores: float


class StatusBody(Shown):
    """GET /api/v1/status."""

    version: str
    uptime_s: float
    weights: str
    notice: str | None
    warnings: list[str] = Field(description="what whoever runs the server should mend")
    node: NodeStatus
    models: list[ModelStatus]


class HealthBody(Shown):
    """GET /health."""

    status: Literal["ok", "loading"]
    models: dict[str, ModelState]


class LiveBody(Shown):
    """GET /livez and /readyz."""

    status: Literal["ok"] = "ok"
