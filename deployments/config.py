"""The deployment's configuration: typed once, strict, frozen. The only file that reads the environment."""

import hashlib
import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from models import Kind

WEIGHTS_VARIABLE = "QWEN3_TTS_WEIGHTS"
VOICES_VARIABLE = "QWEN3_TTS_VOICES"
API_KEYS_VARIABLE = "QWEN3_TTS_API_KEYS"  # separated by commas
KEYS_FILE_VARIABLE = "QWEN3_TTS_KEYS_FILE"
LOGS_VARIABLE = "QWEN3_TTS_LOGS"
KEY_DIGEST = r"sha256:[0-9a-f]{64}"

MIB = 1024 * 1024
EMBEDDED_BUDGET_MB = 1100  # what eight slots of the embedded voice take up to the last position
PACKED_CACHE_MB = 8192  # both models of the shipped file in bf16, and in nf4
EMBEDDED_NOTICE = (
    "the embedded voice is 24 MB and reads English like a plain speech synthesiser (built-in speakers, custom_voice, "
    "have random weights and babble); for natural speech set "
    f"{WEIGHTS_VARIABLE} to hub, or to a folder that holds the published checkpoints"
)
INGRESS = "ingress"  # the deployment before the models, so no model may be called that
RESIDENCY_POLICY = "deployments.residency:residency"  # the app's `autoscaling_policy` in serve_config.yaml
ROOM_FOR_QUESTIONS = 32  # requests in a replica that are no utterances of their own: refusals, reports, joined ones

_SERVES = {"num_cpus", "min_replicas", "idle_s", "drain_s"}  # of a model, what Ray Serve is told and not the engine

KeyDigest = Annotated[str, Field(pattern=f"^{KEY_DIGEST}$")]
Precision = Literal["fp32", "bf16", "int8", "nf4"]
Checkpoint = Literal[
    "Qwen3-TTS-12Hz-0.6B-Base",
    "Qwen3-TTS-12Hz-1.7B-Base",
    "Qwen3-TTS-12Hz-0.6B-CustomVoice",
    "Qwen3-TTS-12Hz-1.7B-CustomVoice",
    "Qwen3-TTS-12Hz-1.7B-VoiceDesign",
]
_KINDS: dict[str, Kind] = {"Base": "base", "CustomVoice": "custom_voice", "VoiceDesign": "voice_design"}

OPENAI_VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar",
)  # fmt: skip


class Settings(BaseModel):
    """Unknown keys are errors, types are not guessed, nothing changes after the start."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class ModelConfig(Settings):
    """One model: one deployment of one replica, named by its id."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    checkpoint: Checkpoint
    precision: Precision
    memory_budget_mb: PositiveInt  # MiB this model's replica may keep resident
    num_cpus: PositiveFloat = 0.2  # share that Ray admits by; the engine's threads are `threads`
    threads: PositiveInt | None = None  # None: the cores this process may use
    slots: PositiveInt = 8  # utterances that are computed together
    max_positions: PositiveInt = 2048  # of one utterance: prompt and frames, 12.5 of which are a second
    max_frames: PositiveInt = 1500  # of a request that names no limit
    max_waiting: PositiveInt = 32  # utterances that may wait for a slot, in each class; more are refused
    min_replicas: Literal[0, 1] = 1  # 0: loaded for its first request, gone when idle or when another needs its memory
    idle_s: PositiveFloat = 600.0  # after which an idle model leaves, where min_replicas is 0
    drain_s: PositiveFloat = 60.0  # how long a stopping replica may finish what it has begun

    @field_validator("id")
    @classmethod
    def _is_a_models(cls, name: str) -> str:
        if name == INGRESS:
            raise ValueError(f"{INGRESS!r} is what comes before the models")
        return name

    @property
    def max_ongoing_requests(self) -> int:
        """Requests that Ray Serve lets into the replica: the engine decides, so all it may accept and then some."""
        return self.slots + 2 * self.max_waiting + ROOM_FOR_QUESTIONS

    @property
    def kind(self) -> Kind:
        """What the checkpoint can do: clone (base), design (voice_design) or built-in speakers (custom_voice)."""
        return _KINDS[self.checkpoint.rsplit("-", 1)[1]]


class AppConfig(Settings):
    """Everything that may be set in serve_config.yaml under `args`."""

    models: Annotated[tuple[ModelConfig, ...], Field(strict=False, min_length=1)]
    weights: str = "embedded"  # "embedded", "hub", or a folder that holds the published directories
    memory_mb: PositiveInt | None = None  # MiB for the whole server, Ray included; None: what the machine grants
    packed_cache_mb: PositiveInt = PACKED_CACHE_MB  # MiB on disk; beyond, what was not used of late goes
    voices: str | None = None  # folder of cloned voices; None: ~/.local/share/qwen3-tts-cpu/voices
    logs: str | None = None  # folder of JSON log files; None: ~/.local/state/qwen3-tts-cpu/logs
    # Digests of API keys, as deployments/keys.py makes them: this file travels through Ray, a key must not.
    api_keys: Annotated[tuple[KeyDigest, ...], Field(strict=False)] = ()  # none, and no file: loopback clients only
    keys_file: str | None = None  # more of them, which may change; None: ~/.config/qwen3-tts-cpu/keys
    open_listing: bool = False  # voices and models may be listed without a key
    open_metrics: bool = False  # /metrics may be read without a key
    max_text_characters: PositiveInt = 4096  # /api/v1
    max_passage_characters: PositiveInt = 400  # longer texts are spoken passage after passage, as one stream
    max_input_characters: PositiveInt = 4096  # /v1/audio/speech
    max_body_mb: PositiveInt = 16  # MiB of one request body
    max_bodies_mb: PositiveInt = 64  # MiB of the bodies of all requests that are being answered
    fetch_urls: bool = False  # whether ref_audio may be a URL of the public internet, held to the same size
    fetch_timeout_s: PositiveFloat = 20.0
    default_timeout_s: PositiveFloat = 600.0
    max_timeout_s: PositiveFloat = 3600.0
    openai_voices: dict[str, str] = Field(default_factory=lambda: dict.fromkeys(OPENAI_VOICES, "narrator_cloned"))

    @field_validator("models")
    @classmethod
    def _ids_differ(cls, models: tuple[ModelConfig, ...]) -> tuple[ModelConfig, ...]:
        if len({model.id for model in models}) != len(models):
            raise ValueError("two models share an id")
        return models

    @model_validator(mode="after")
    def _largest_body_fits(self) -> Self:
        if self.max_bodies_mb < self.max_body_mb:
            raise ValueError(f"max_bodies_mb: {self.max_bodies_mb} is less than max_body_mb, {self.max_body_mb}")
        return self

    def with_environment(self, environment: Mapping[str, str] | None = None) -> Self:
        """This configuration with the overrides of the environment (by default this process's)."""
        variables = os.environ if environment is None else environment
        overrides: dict[str, Any] = {}
        if weights := variables.get(WEIGHTS_VARIABLE):
            overrides["weights"] = weights
        if voices := variables.get(VOICES_VARIABLE):
            overrides["voices"] = voices
        if logs := variables.get(LOGS_VARIABLE):
            overrides["logs"] = logs
        if keys := variables.get(API_KEYS_VARIABLE):
            overrides["api_keys"] = (*self.api_keys, *_digests(keys))
        if keys_file := variables.get(KEYS_FILE_VARIABLE):
            overrides["keys_file"] = keys_file
        return type(self).model_validate({**dict(self), **overrides})

    @property
    def weights_source(self) -> Literal["embedded", "hub", "folder"]:
        if self.weights == "embedded" or self.weights == "hub":
            return self.weights
        return "folder"

    def source(self, model: ModelConfig) -> str:
        """Where a model's checkpoint comes from, as `models.load_engine` takes it."""
        match self.weights_source:
            case "embedded":
                return f"embedded:{model.kind}"
            case "hub":
                return f"hub:Qwen/{model.checkpoint}"
            case "folder":
                return str(Path(self.weights).expanduser().resolve() / model.checkpoint)

    def budget_bytes(self, model: ModelConfig) -> int:
        """What a model's replica may keep resident. Embedded checkpoints are tiny: they get no more than they need,
        so that every configured model starts on any machine."""
        if self.weights_source == "embedded":
            return min(model.memory_budget_mb, EMBEDDED_BUDGET_MB) * MIB
        return model.memory_budget_mb * MIB

    def for_replica(self, model: ModelConfig) -> Self:
        """All that a model's replica needs to know: what concerns others does not reach it."""
        return type(self)(
            models=(model,),
            weights=self.weights,
            voices=self.voices,
            logs=self.logs,
            max_passage_characters=self.max_passage_characters,
        )

    def loaded_with(self, model: ModelConfig) -> str:
        """A digest of all that a replica cannot change once its model is loaded."""
        chosen = {**model.model_dump(exclude=_SERVES), "source": self.source(model), "budget": self.budget_bytes(model)}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()

    @property
    def kept_bytes(self) -> int:
        """Memory of the models that are never cold."""
        return sum(self.budget_bytes(model) for model in self.models if model.min_replicas)

    @property
    def least_memory_bytes(self) -> int:
        """What all models need, one after the other: those that are never cold, and the largest of the others."""
        return self.kept_bytes + max(
            (self.budget_bytes(model) for model in self.models if not model.min_replicas), default=0
        )

    @property
    def voices_directory(self) -> Path:
        if self.voices is not None:
            return Path(self.voices).expanduser().resolve()
        return Path.home() / ".local" / "share" / "qwen3-tts-cpu" / "voices"

    @property
    def logs_directory(self) -> Path:
        if self.logs is not None:
            return Path(self.logs).expanduser().resolve()
        return Path.home() / ".local" / "state" / "qwen3-tts-cpu" / "logs"

    @property
    def keys_path(self) -> Path:
        return default_keys_path({}) if self.keys_file is None else Path(self.keys_file).expanduser().resolve()

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * MIB

    @property
    def max_bodies_bytes(self) -> int:
        return self.max_bodies_mb * MIB


def default_keys_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where API keys are kept unless the deployment file says otherwise."""
    variables = os.environ if environment is None else environment
    chosen = variables.get(KEYS_FILE_VARIABLE)
    return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".config" / "qwen3-tts-cpu" / "keys"


def key_digest(key: str | bytes) -> str:
    """All that is ever kept of an API key."""
    sent = key.encode() if isinstance(key, str) else key
    return f"sha256:{hashlib.sha256(sent).hexdigest()}"


def _digests(keys: str) -> list[str]:
    """Of keys that are separated by commas. Raises ValueError for an empty one."""
    separate = [key.strip() for key in keys.split(",")]
    if not all(separate):
        raise ValueError(f"a key in {API_KEYS_VARIABLE} is empty")
    return [key_digest(key) for key in separate]


def is_loopback(host: str) -> bool:
    """Whether an address or host name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
