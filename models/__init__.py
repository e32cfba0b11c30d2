"""Qwen3-TTS for CPUs: load an engine, speak. Importing this package does not import torch."""

from pathlib import Path
from typing import Any

from models.engine_api import EngineInfo, EngineStatus, Listener, MemoryReport, SpeechEngine
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
from models.events import Accepted, AudioChunk, Finished, FinishReason, SpeechEvent, SpeechStream
from models.request import Codes, Kind, Priority, Samples, Sampling, SamplingSettings, SynthesisRequest, VoicePrompt

__all__ = [
    "Accepted",
    "AudioChunk",
    "CheckpointError",
    "Codes",
    "EngineClosedError",
    "EngineInfo",
    "EngineStatus",
    "FinishReason",
    "Finished",
    "GenerationError",
    "InvalidRequestError",
    "Kind",
    "Listener",
    "MemoryReport",
    "OutOfMemoryError",
    "OverloadedError",
    "Priority",
    "RequestTooLargeError",
    "Samples",
    "Sampling",
    "SamplingSettings",
    "SpeechEngine",
    "SpeechError",
    "SpeechEvent",
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
    are the fields of `models.engine.EngineOptions`.
    Raises CheckpointError for weights that do not fit, WeightsUnavailableError for weights that cannot be had.
    """
    from models.engine import Engine, EngineOptions

    return Engine.load(checkpoint, precision, EngineOptions(threads=threads, **options))
