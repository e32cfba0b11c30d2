"""Voices on disk: cloned from a clip, designed by a description, or built into a model. Does not import torch."""

from voices.errors import (
    ReferenceAudioError,
    VoiceBrokenError,
    VoiceError,
    VoiceExistsError,
    VoiceNameError,
    VoiceNotFoundError,
    VoiceReadOnlyError,
    VoiceStorageError,
)
from voices.library import BrokenVoice, VoiceLibrary
from voices.reference_audio import ReferenceAudio, read_reference_audio
from voices.voice import CloneMode, Encode, Reference, Voice, VoiceKind

__all__ = [
    "BrokenVoice",
    "CloneMode",
    "Encode",
    "Reference",
    "ReferenceAudio",
    "ReferenceAudioError",
    "Voice",
    "VoiceBrokenError",
    "VoiceError",
    "VoiceExistsError",
    "VoiceKind",
    "VoiceLibrary",
    "VoiceNameError",
    "VoiceNotFoundError",
    "VoiceReadOnlyError",
    "VoiceStorageError",
    "read_reference_audio",
]
