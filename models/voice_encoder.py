"""Reference audio to a voice: speaker embedding and reference codes, by upstream's own encoder classes.

Cloning is rare and these classes bring transformers with them (five seconds and 300 MB once a process), so they are
imported when first needed. The codec encoder's weights stay mapped from the checkpoint; nothing is kept afterwards.
"""

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.config_section import read_config
from models.encoder_architecture import (
    CodecEncoderDimensions,
    SpeakerEncoderDimensions,
    read_codec_encoder,
    read_speaker_encoder,
)
from models.errors import InvalidRequestError
from models.types import Codes, Samples, VoicePrompt
from models.upstream import import_upstream

# The mel spectrogram that the speaker encoder was trained on, fixed in upstream's source.
_MEL = {"n_fft": 1024, "hop_size": 256, "win_size": 1024, "fmin": 0, "fmax": 12000}
_SHORTEST = 0.1  # seconds; the spectrogram needs 385 samples


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
    """As upstream resamples: librosa's default, soxr in high quality."""
    if sample_rate == wanted:
        return samples
    import librosa

    return librosa.resample(y=samples, orig_sr=sample_rate, target_sr=wanted)


class VoiceEncoder:
    """Encodes reference audio with the encoders of a Base checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Raises InvalidRequestError for a kind of model that cannot clone, CheckpointError for missing tensors."""
        if checkpoint.architecture.kind != "base":
            raise InvalidRequestError("model", f"a {checkpoint.architecture.kind} model cannot clone voices")
        checkpoint.check(needs_encoder=True)
        self._checkpoint = checkpoint
        self._speaker: SpeakerEncoderDimensions = read_speaker_encoder(checkpoint.path)
        self._codec: CodecEncoderDimensions = read_codec_encoder(checkpoint.path)

    def encode(self, samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        """Mono samples [samples] of any rate, and their transcript; without one the voice is an x-vector clone.

        Equals upstream's `create_voice_clone_prompt` in float32. Raises InvalidRequestError.
        """
        _check(samples, sample_rate, text)
        samples = samples.astype(np.float32)
        with torch.inference_mode():
            embedding = self._speaker_embedding(_resample(samples, sample_rate, self._speaker.sample_rate))
            if text is None:
                return VoicePrompt(embedding)
            codes = self._reference_codes(_resample(samples, sample_rate, self._codec.sample_rate))
        return VoicePrompt(embedding, codes, text)

    def _speaker_embedding(self, samples: Samples) -> Samples:
        """float32 [talker hidden size]."""
        upstream: Any = import_upstream("qwen_tts.core.models.modeling_qwen3_tts")
        waveform = torch.from_numpy(samples)[None]
        dimensions = self._speaker
        mels = upstream.mel_spectrogram(
            waveform, num_mels=dimensions.mels, sampling_rate=dimensions.sample_rate, **_MEL
        )  # [1, mels, mel frames]
        encoder = self._speaker_encoder(upstream)
        return cast(Tensor, encoder(mels.transpose(1, 2)))[0].numpy()

    def _speaker_encoder(self, upstream: Any) -> torch.nn.Module:
        section = read_config(self._checkpoint.path / "config.json").section("speaker_encoder_config")
        config = upstream.Qwen3TTSSpeakerEncoderConfig(**section.values)
        with torch.device("meta"):
            encoder: torch.nn.Module = upstream.Qwen3TTSSpeakerEncoder(config)
        return self._filled(encoder, self._checkpoint.model, "speaker_encoder.")

    def _reference_codes(self, samples: Samples) -> Codes:
        """int64 [frames, code groups]; the last frame may be filled up with silence."""
        encoder: Any = self._codec_encoder()
        waveform = torch.from_numpy(samples)[None, None]
        groups = self._codec.code_groups
        encoded = encoder.encode(input_values=waveform, num_quantizers=groups, return_dict=True).audio_codes
        frames = math.ceil(len(samples) / self._codec.samples_per_frame)
        return encoded[0, :, :frames].T.contiguous().numpy()

    def _codec_encoder(self) -> torch.nn.Module:
        upstream: Any = import_upstream("qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2")
        config = read_config(self._checkpoint.path / "speech_tokenizer" / "config.json").section("encoder_config")
        modeling: Any = import_upstream("transformers.modeling_utils")
        with modeling.no_init_weights():
            encoder = upstream.Qwen3TTSTokenizerV2Encoder._from_config(upstream.MimiConfig(**config.values))
        return self._filled(encoder, self._checkpoint.speech_tokenizer, "encoder.")

    @staticmethod
    def _filled(module: torch.nn.Module, tensors: Any, prefix: str) -> torch.nn.Module:
        """The module with the checkpoint's tensors in place of its own; float32 ones stay mapped."""
        names = [name for name in tensors.names if name.startswith(prefix)]
        weights = {name.removeprefix(prefix): tensors.tensor(name).float() for name in names}
        module.load_state_dict(weights, strict=True, assign=True)
        return module.eval()
