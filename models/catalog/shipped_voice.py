"""Where the embedded voice is shipped, if this copy of the package has it. Needs no torch."""

from pathlib import Path
from typing import Literal, TypeGuard, get_args

SpeakingKind = Literal["base", "voice_design"]  # kinds that are trained

SPEAKING_KINDS: tuple[SpeakingKind, ...] = get_args(SpeakingKind)
SHIPPED_VOICE = Path(__file__).parent / "embedded_voice"  # laid out as a Base checkpoint, but for its tensors
DESIGN_CONFIG = "config.voice_design.json"


def is_shipped(kind: str, source: Path = SHIPPED_VOICE) -> TypeGuard[SpeakingKind]:
    """Whether a trained voice of this kind is there; otherwise the embedded checkpoint is random."""
    return kind in SPEAKING_KINDS and (source / "model.safetensors").exists()
