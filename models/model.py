"""A loaded model: everything the engine thread owns, built once."""

import logging
import threading
import time
from pathlib import Path

import torch

from models.checkpoint import Checkpoint, open_checkpoint
from models.codec import load_codec
from models.engine_api import EngineInfo, MemoryReport
from models.engine_options import EngineOptions
from models.errors import InvalidRequestError
from models.language_model import LanguageModel, load_language_model
from models.layout import LayoutBuilder
from models.lazy_memory import give_back_heap
from models.prefix_cache import PrefixCache
from models.prompt import PromptBuilder
from models.quantization import PRECISIONS, Precision
from models.runner import Runner
from models.types import Samples, VoicePrompt

_log = logging.getLogger(__name__)


class Model:
    """One checkpoint at one precision."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision, options: EngineOptions) -> None:
        started = time.monotonic()
        self.architecture = architecture = checkpoint.architecture
        self.generation_defaults = checkpoint.generation_defaults
        self._checkpoint = checkpoint
        self._encoding = threading.Lock()
        self._language_model = language_model = load_language_model(checkpoint, precision, options)
        self._codec = codec = load_codec(checkpoint, precision, options)
        self.layouts = LayoutBuilder(architecture, checkpoint.text_tokenizer)
        self.prompts = PromptBuilder(architecture, language_model.talker, language_model.predictor)
        self.runner = Runner(
            architecture,
            self.prompts,
            language_model.talker,
            language_model.predictor,
            codec.codec,
            PrefixCache(options.prefix_bytes),
            options.prefill_rows,
        )
        self.info = _info(checkpoint, precision, language_model, options, time.monotonic() - started)

    @classmethod
    def load(cls, spec: str | Path, precision: str, options: EngineOptions) -> "Model":
        """Open, check and build. Raises CheckpointError, or InvalidRequestError for an unknown precision."""
        checked = _check_precision(precision)
        checkpoint = open_checkpoint(spec)
        checkpoint.check()
        with torch.inference_mode():
            model = cls(checkpoint, checked, options)
        give_back_heap()  # of what loading needed, half of it the tokenizer's tables
        _log.info("loaded %s: %s", checkpoint.path, model.info)
        return model

    def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """See SpeechEngine.encode_voice; runs in the caller's thread, one at a time."""
        from models.voice_encoder import VoiceEncoder

        if self.architecture.kind != "base":
            raise InvalidRequestError("model", f"a {self.architecture.kind} model cannot clone voices")
        if text is not None:
            self.layouts.check_transcript("reference_text", text)
        with self._encoding:
            try:
                return VoiceEncoder(self._checkpoint).make_voice(samples, sample_rate, text)
            finally:  # the encoders are 200 MiB of mapped weights, and rarely needed
                for file in (self._checkpoint.model, self._checkpoint.speech_tokenizer):
                    file.release()
                give_back_heap()

    def intact(self) -> bool:
        """Whether the weights are those that were loaded. They are mapped: what is written over them is spoken."""
        path = self._checkpoint.overwritten()
        if path is not None:
            _log.error("%s was written to while it was in use: this process must end, and load it anew", path)
        return path is None

    def memory_report(self) -> MemoryReport:
        """Bytes by purpose."""
        runner = self.runner
        weights = self._language_model.weight_bytes + self._codec.weight_bytes
        return MemoryReport(
            weights=weights,
            mapped=weights if self._language_model.backend == "native" else 0,  # torch copies them
            caches=runner.cache_bytes,
            untouched=runner.untouched_bytes,
            codec_state=runner.codec_bytes,
            prefixes=runner.prefix_bytes,
        )


def _check_precision(precision: str) -> Precision:
    for known in PRECISIONS:
        if known == precision:
            return known
    raise InvalidRequestError("precision", f"{precision!r} is not one of {', '.join(PRECISIONS)}")


def _info(
    checkpoint: Checkpoint, precision: str, language_model: LanguageModel, options: EngineOptions, seconds: float
) -> EngineInfo:
    architecture = checkpoint.architecture
    return EngineInfo(
        kind=architecture.kind,
        size=architecture.size,
        precision=precision,
        backend=language_model.backend,
        instructions=language_model.instructions,
        weights=checkpoint.source,
        sample_rate=architecture.sample_rate,
        samples_per_frame=architecture.samples_per_frame,
        speaker_embedding_size=architecture.talker.hidden,
        languages=architecture.spoken_languages,
        speakers=tuple(architecture.speakers),
        slots=options.slots,
        max_frames=options.max_frames,
        load_seconds=seconds,
        fingerprint=checkpoint.fingerprint,
        generation_defaults=checkpoint.generation_defaults,
    )
