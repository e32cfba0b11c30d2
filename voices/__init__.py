"""Voices on disk: cloned from a clip, designed by a description, or built into a model. Does not import torch."""

from voices.conditioner import Conditioner, check_style, spoken_by, with_description
from voices.errors import (
    ReferenceAudioError,
    VoiceBrokenError,
    VoiceError,
    VoiceExistsError,
    VoiceNameError,
    VoiceNotFoundError,
    VoiceReadOnlyError,
    VoiceStorageError,
    VoiceVersionError,
)
from voices.library import BrokenVoice, Listing, VoiceLibrary
from voices.reference_audio import ReferenceAudio, read_reference_audio
from voices.voice import CloneMode, Encode, Reference, Voice, VoiceKind

__all__ = [
    "BrokenVoice",
    "CloneMode",
    "Conditioner",
    "Encode",
    "Listing",
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
    "VoiceVersionError",
    "check_style",
    "read_reference_audio",
    "spoken_by",
    "with_description",
]
