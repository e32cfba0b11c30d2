"""Reference audio to a voice: speaker embedding and reference codes, equal to upstream's.

Upstream's own encoder classes would bring transformers, librosa and more with them: ten seconds and 650 MB on the
first clone, most of which never comes back. These use the checkpoint's mapped weights and keep nothing.
"""

import math

import numpy as np
import soxr
import torch

from models.architecture import read_codec_encoder, read_speaker_encoder
from models.checkpoint import Checkpoint
from models.cloning.codec_encoder import CodecEncoder
from models.cloning.speaker_encoder import SpeakerEncoder
from models.errors import InvalidRequestError
from models.reference_clip import end_in_silence
from models.request import Codes, Samples, VoicePrompt

_SHORTEST = 0.1  # seconds


def _check(samples: Samples, sample_rate: int, text: str | None) -> None:
    """Raises InvalidRequestError for what cannot become a voice."""
    if not 1000 <= sample_rate <= 1_000_000:
        raise InvalidRequestError("sample_rate", f"{sample_rate} is outside 1000 to 1000000")
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise InvalidRequestError("samples", f"must be mono floats [samples], not {samples.dtype} {samples.shape}")
    if len(samples) < _SHORTEST * sample_rate:
        raise InvalidRequestError("samples", f"{len(samples)} samples are shorter than {_SHORTEST} seconds")
    if not np.isfinite(samples).all():
        raise InvalidRequestError("samples", "hold values that are not finite")
    if text is not None and not text.strip():
        raise InvalidRequestError("text", "is empty: a clone without a transcript takes None")


def _resample(samples: Samples, sample_rate: int, wanted: int) -> Samples:
    """As upstream resamples (librosa's default), down to the number of samples."""
    if sample_rate == wanted:
        return samples
    resampled = np.asarray(soxr.resample(samples, sample_rate, wanted, quality="soxr_hq"), dtype=np.float32)
    count = math.ceil(len(samples) * (wanted / sample_rate))
    return np.pad(resampled[:count], (0, max(count - len(resampled), 0)))


class VoiceEncoder:
    """Encodes reference audio with the encoders of a Base checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Raises InvalidRequestError for a kind of model that cannot clone, CheckpointError for missing tensors."""
        if checkpoint.architecture.kind != "base":
            raise InvalidRequestError("model", f"a {checkpoint.architecture.kind} model cannot clone voices")
        checkpoint.check(needs_encoder=True)
        self._in_context = checkpoint.architecture.in_context
        self._speaker = read_speaker_encoder(checkpoint.path)
        self._codec = read_codec_encoder(checkpoint.path)
        self._speaker_encoder = SpeakerEncoder(self._speaker, checkpoint.model.tensor)
        self._codec_encoder = CodecEncoder(self._codec, checkpoint.speech_tokenizer.tensor)

    def make_voice(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """As `encode`, of a clip that is made to end in silence. Raises InvalidRequestError."""
        _check(samples, sample_rate, text)
        return self.encode(end_in_silence(samples.astype(np.float32), sample_rate), sample_rate, text)

    def encode(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """Mono samples [samples] of any rate, and their transcript; without one, or where the
        checkpoint does not clone in context, the voice is an x-vector clone.

        Equals upstream's `create_voice_clone_prompt` in float32. Raises InvalidRequestError.
        """
        _check(samples, sample_rate, text)
        samples = samples.astype(np.float32)
        embedding = self._embedding(_resample(samples, sample_rate, self._speaker.sample_rate))
        if text is None or not self._in_context:
            return VoicePrompt(embedding)
        return VoicePrompt(embedding, self._codes(_resample(samples, sample_rate, self._codec.sample_rate)), text)

    @torch.inference_mode()
    def _embedding(self, samples: Samples) -> Samples:
        return self._speaker_encoder.encode(torch.as_tensor(samples)).numpy()

    @torch.inference_mode()
    def _codes(self, samples: Samples) -> Codes:
        return self._codec_encoder.encode(torch.as_tensor(samples)).numpy()
