"""A loaded model: the parts that the engine thread puts together and owns, built once."""

import logging
import threading
import time
from pathlib import Path

import torch

from models.architecture import PRECISIONS, Precision
from models.checkpoint import Checkpoint, open_checkpoint
from models.errors import InvalidRequestError
from models.language import give_back_heap
from models.loading.codec import load_codec
from models.loading.language_model import load_language_model
from models.loading.options import LoadOptions
from models.request import Samples, VoicePrompt

_log = logging.getLogger(__name__)


class Model:
    """One checkpoint at one precision."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision, options: LoadOptions) -> None:
        started = time.monotonic()
        self.checkpoint = checkpoint
        self.architecture = checkpoint.architecture
        self.precision = precision
        language_model = load_language_model(checkpoint, precision, options)
        self.talker = language_model.talker
        self.predictor = language_model.predictor
        self.backend = language_model.backend
        self.instructions = language_model.instructions
        loaded = load_codec(checkpoint, precision, options)
        self.codec = loaded.codec
        self.weight_bytes = language_model.weight_bytes + loaded.weight_bytes
        self.load_seconds = time.monotonic() - started
        self._encoding = threading.Lock()

    @classmethod
    def load(cls, spec: str | Path, precision: str, options: LoadOptions) -> "Model":
        """Open, check and build. Raises CheckpointError, or InvalidRequestError for an unknown precision."""
        checked = _check_precision(precision)
        checkpoint = open_checkpoint(spec)
        checkpoint.check()
        with torch.inference_mode():
            model = cls(checkpoint, checked, options)
        give_back_heap()  # of what loading needed, half of it the tokenizer's tables
        _log.info("loaded %s in %s, %s, in %.1f s", checkpoint.path, precision, model.instructions, model.load_seconds)
        return model

    @property
    def mapped_bytes(self) -> int:
        """Of the weights, those that are read where they are mapped; torch copies them."""
        return self.weight_bytes if self.backend == "native" else 0

    def encode_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """See SpeechEngine.encode_voice; runs in the caller's thread, one at a time."""
        from models.cloning import VoiceEncoder

        if self.architecture.kind != "base":
            raise InvalidRequestError("model", f"a {self.architecture.kind} model cannot clone voices")
        with self._encoding:
            try:
                return VoiceEncoder(self.checkpoint).make_voice(samples, sample_rate, text)
            finally:  # the encoders are 200 MiB of mapped weights, and rarely needed
                for file in (self.checkpoint.model, self.checkpoint.speech_tokenizer):
                    file.release()
                give_back_heap()

    def intact(self) -> bool:
        """Whether the weights are those that were loaded. They are mapped: what is written over them is spoken."""
        path = self.checkpoint.overwritten()
        if path is not None:
            _log.error("%s was written to while it was in use: this process must end, and load it anew", path)
        return path is None


def _check_precision(precision: str) -> Precision:
    for known in PRECISIONS:
        if known == precision:
            return known
    raise InvalidRequestError("precision", f"{precision!r} is not one of {', '.join(PRECISIONS)}")
