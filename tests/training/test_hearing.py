"""The speaker encoder learns to hear changed clips as it heard the unchanged ones."""

import torch

from training.codec_shape import CODES
from training.hearing import teach
from training.quantizer import CODEBOOK
from training.shape import voice_shape
from training.speaker import TrainedSpeakerEncoder
from training.vocabulary import sound_vocabulary

CLIPS, MELS, FRAMES = 130, 128, 24


def test_what_was_made_is_heard_as_what_was_said() -> None:
    torch.manual_seed(0)
    encoder = TrainedSpeakerEncoder(voice_shape(sound_vocabulary(), CODES, CODEBOOK).speaker_encoder, 3)
    said = torch.randn(CLIPS, MELS, FRAMES)
    made = 0.5 * said.flip(1) + 1
    with torch.no_grad():
        wanted, before = encoder(said), encoder(made)
    teach(encoder, said, made, steps=120)
    with torch.no_grad():
        after, kept = encoder(made), encoder(said)
    first, last, own = (torch.cosine_similarity(one, wanted).mean() for one in (before, after, kept))
    assert last > first + 0.3 * (1 - first)
    assert own > 0.8
