"""The door to `qwen_tts`."""

import subprocess
import sys


def test_import_leaves_no_stand_in_for_torchaudio() -> None:
    code = (
        "import sys; from models.upstream import import_upstream; package = import_upstream();"
        "print(package.Qwen3TTSModel.__name__, [name for name in sys.modules if name.startswith('torchaudio')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip().splitlines()[-1] == "Qwen3TTSModel []"
