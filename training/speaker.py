"""The speaker encoder in training: it learns what helps the talker, and to tell the teacher's voices apart."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import SpeakerEncoderDimensions, speaker_encoder_tensors
from models.cloning import SpeakerEncoder

_SHARPNESS = 8.0  # of the cosines that tell voices apart
_FINE = 30.0  # weight of pitch and speed


class TrainedSpeakerEncoder(nn.Module):
    """models.cloning.speaker_encoder.SpeakerEncoder over parameters, and what it is asked besides."""

    def __init__(self, dimensions: SpeakerEncoderDimensions, voices: int) -> None:
        super().__init__()
        shapes = speaker_encoder_tensors(dimensions)
        self._places = {name: index for index, name in enumerate(shapes)}
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in shapes.values())
        for name, weight in zip(shapes, self.weights, strict=True):
            if name.endswith("weight"):
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
        self.voices = nn.Parameter(torch.randn(voices, dimensions.embedding))
        self.pitch_and_speed = nn.Linear(dimensions.embedding, 2)
        self._encoder = SpeakerEncoder(dimensions, lambda name: self.weights[self._places[name]])

    def forward(self, mels: Tensor) -> Tensor:
        """[batch, mels, mel frames] -> [batch, talker hidden]."""
        return self._encoder.embed(mels)

    def loss(self, embeddings: Tensor, voices: Tensor, pitches: Tensor, speeds: Tensor) -> Tensor:
        """Cross-entropy of the voice (int64 [batch]) and squared errors of pitch and speed in octaves (float32
        [batch]), as many times as they are finer than a voice."""
        cosines = F.normalize(embeddings, dim=1) @ F.normalize(self.voices, dim=1).T
        told = F.cross_entropy(_SHARPNESS * cosines, voices)
        return told + _FINE * F.mse_loss(self.pitch_and_speed(embeddings), torch.stack((pitches, speeds), dim=1))

    def published(self) -> dict[str, Tensor]:
        """Every tensor under its published name."""
        return {name: self.weights[index] for name, index in self._places.items()}
