"""What can go wrong with voices; part of the tree in `models.errors`."""

from models.errors import InvalidRequestError, SpeechError


class VoiceError(SpeechError):
    """Root of the errors that concern one voice or the library."""


class VoiceNotFoundError(VoiceError):
    """No voice has this name or id."""


class VoiceExistsError(VoiceError):
    """The name is taken."""


class VoiceReadOnlyError(VoiceError):
    """A shipped voice can be neither changed nor deleted."""


class VoiceBrokenError(VoiceError):
    """The voice's folder is damaged; the message says how. It can only be deleted."""


class VoiceVersionError(VoiceBrokenError):
    """Another version of this program wrote the voice, in a form that this one does not read: it is not damaged."""


class VoiceStorageError(VoiceError):
    """The disk refused (full, read-only, ...); the library is as it was."""


class VoiceNameError(InvalidRequestError):
    """A name outside the grammar of `voices.name`."""


class ReferenceAudioError(InvalidRequestError):
    """A reference clip that is undecodable, too short, too long, silent or clipped; the message says which first."""
