"""The whole of what is trained here: network and speaker encoder."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.architecture import Architecture, SpeakerEncoderDimensions
from training.layout import Batch
from training.network import Layer, Network
from training.speaker import TrainedSpeakerEncoder


@dataclass(frozen=True, slots=True)
class Heard:
    """What the speaker encoder hears beside a batch."""

    mels: Tensor  # [clips, mels, mel frames]
    places: Tensor  # int64 [examples]: those of the batch that the first clips belong to; the others are heard besides
    voices: Tensor  # int64 [clips]
    pitches: Tensor  # float32 [clips], octaves
    speeds: Tensor  # float32 [clips], octaves


@dataclass(frozen=True, slots=True)
class VoiceLosses:
    """Means, in nats where not said otherwise."""

    first: Tensor  # of code 0, end of speech included
    others: Tensor  # of codes 1..
    voice: Tensor  # of the speaker encoder's own task
    correct: Tensor  # share of codes 0 that are the most likely one


class VoiceNetwork(nn.Module):
    """Talker, code predictor, speaker encoder."""

    def __init__(
        self, architecture: Architecture, encoder: SpeakerEncoderDimensions, voices: int, longest: int
    ) -> None:
        super().__init__()
        self.network = Network(architecture, longest)
        self.speaker_encoder = TrainedSpeakerEncoder(encoder, voices)

    def forward(self, batch: Batch, heard: Heard) -> VoiceLosses:
        """Teacher-forced losses of a batch."""
        speakers = torch.zeros(len(batch.text), self.network.architecture.talker.hidden)
        embeddings = self.speaker_encoder(heard.mels).float()
        speakers = speakers.index_copy(0, heard.places, embeddings[: len(heard.places)])
        voice = self.speaker_encoder.loss(embeddings, heard.voices, heard.pitches, heard.speeds)
        losses = self.network(batch, speakers)
        return VoiceLosses(losses.first, losses.others, voice, losses.correct)

    def layers(self) -> Iterator[Layer]:
        """Of talker and code predictor."""
        return (module for module in self.modules() if isinstance(module, Layer))

    def matrices(self) -> Iterator[Tensor]:
        """The weights of the layers' products."""
        for layer in self.layers():
            for product in (layer.qkv, layer.output, layer.gate_up, layer.down):
                yield product.weight

    def published(self) -> dict[str, Tensor]:
        """Every tensor of a Base checkpoint's model.safetensors under its name."""
        return dict(self.network.published()) | self.speaker_encoder.published()
