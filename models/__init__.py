"""Qwen3-TTS for CPUs: load an engine, speak. Importing this package does not import torch."""

from pathlib import Path
from typing import Any

from models.engine_api import EngineInfo, EngineStatus, MemoryReport, SpeechEngine
from models.errors import (
    CheckpointError,
    EngineClosedError,
    GenerationError,
    InvalidRequestError,
    OutOfMemoryError,
    OverloadedError,
    RequestTooLargeError,
    SpeechError,
    WeightsUnavailableError,
)
from models.types import (
    Accepted,
    AudioChunk,
    Finished,
    FinishReason,
    Priority,
    Sampling,
    SamplingSettings,
    SpeechStream,
    SynthesisRequest,
    VoicePrompt,
)

__all__ = [
    "Accepted",
    "AudioChunk",
    "CheckpointError",
    "EngineClosedError",
    "EngineInfo",
    "EngineStatus",
    "FinishReason",
    "Finished",
    "GenerationError",
    "InvalidRequestError",
    "MemoryReport",
    "OutOfMemoryError",
    "OverloadedError",
    "Priority",
    "RequestTooLargeError",
    "Sampling",
    "SamplingSettings",
    "SpeechEngine",
    "SpeechError",
    "SpeechStream",
    "SynthesisRequest",
    "VoicePrompt",
    "WeightsUnavailableError",
    "load_engine",
]


def load_engine(
    checkpoint: str | Path, precision: str = "bf16", threads: int | None = None, **options: Any
) -> SpeechEngine:
    """Load a checkpoint: a folder, "embedded:base" (or custom_voice, voice_design) or "hub:Qwen/...".

    `precision` is fp32, bf16, int8 or nf4; `threads` None takes the cores this process may use; further options
    are the fields of `models.engine_options.EngineOptions`.
    Raises CheckpointError for weights that do not fit, WeightsUnavailableError for weights that cannot be had.
    """
    from models.engine import Engine
    from models.engine_options import EngineOptions

    return Engine.load(checkpoint, precision, EngineOptions(threads=threads, **options))
