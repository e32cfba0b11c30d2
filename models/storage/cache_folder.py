"""Where files are kept that can always be made again. The only place in `models` that reads the environment."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """$QWEN3_TTS_CACHE, or ~/.cache/qwen3-tts-cpu. Not created here."""
    chosen = os.environ.get("QWEN3_TTS_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "qwen3-tts-cpu"
