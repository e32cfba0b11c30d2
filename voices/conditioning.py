"""A VoicePrompt as a safetensors file that says which model and which clip it was made from."""

import json
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from models import VoicePrompt
from models.errors import InvalidRequestError

FORMAT_VERSION = "1"
MAX_HEADER_BYTES = 1 << 16

_log = logging.getLogger(__name__)


def dump_prompt(prompt: VoicePrompt, model_size: str, source: str) -> bytes:
    """`prompt`, made by the model `model_size` from the clip `source` (a fingerprint), as safetensors."""
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "speaker_embedding": np.ascontiguousarray(prompt.speaker_embedding, np.float32),
    }
    metadata = _origin(model_size, source)
    if prompt.reference_codes is not None and prompt.reference_text is not None:
        tensors["reference_codes"] = np.ascontiguousarray(prompt.reference_codes, np.int64)
        metadata["reference_text"] = prompt.reference_text
    return safetensors.numpy.save(tensors, metadata)


def load_prompt(path: Path, model_size: str, source: str) -> VoicePrompt | None:
    """The prompt in `path`; None where there is none, it is damaged, or another model or clip made it.

    A prompt can always be made again from its clip, so damage is reported in the log and nowhere else.
    """
    try:
        data = path.read_bytes()
        tensors = safetensors.numpy.load(data)
        metadata = _metadata(data)
        if {key: metadata.get(key) for key in _origin(model_size, source)} != _origin(model_size, source):
            return None
        return _parse(tensors, metadata)
    except FileNotFoundError:
        return None
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, InvalidRequestError) as error:
        _log.warning("%s is damaged and will be made again: %s", path, error)
        return None


def is_stale(path: Path, source: str) -> bool:
    """Whether nobody can use the prompt in `path` any more: another clip or transcript, or another form, made it."""
    try:
        with path.open("rb") as file:
            metadata = _metadata(file.read(MAX_HEADER_BYTES))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return (metadata.get("format"), metadata.get("source")) != (FORMAT_VERSION, source)


def _origin(model_size: str, source: str) -> dict[str, str]:
    return {"format": FORMAT_VERSION, "model": model_size, "source": source}


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: eight bytes of length, then JSON. Raises ValueError."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _parse(tensors: dict[str, npt.NDArray[np.generic]], metadata: dict[str, str]) -> VoicePrompt:
    embedding = tensors.pop("speaker_embedding")
    codes = tensors.pop("reference_codes", None)
    if tensors or embedding.dtype != np.float32 or (codes is not None and codes.dtype != np.int64):
        raise ValueError("its tensors are not those of a voice")
    return VoicePrompt(
        embedding.astype(np.float32),
        None if codes is None else codes.astype(np.int64),
        metadata.get("reference_text"),
    )
