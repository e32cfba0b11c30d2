"""A voice out of a clip: speaker embedding and reference codes. Imported when a voice is first made."""

from models.cloning.speaker_encoder import SpeakerEncoder, mel_filters, mel_spectrogram
from models.cloning.voice_encoder import VoiceEncoder

__all__ = [
    "SpeakerEncoder",
    "VoiceEncoder",
    "mel_filters",
    "mel_spectrogram",
]
