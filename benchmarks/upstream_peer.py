"""The published package on the same checkpoint and text, in a process of its own: prints one line of JSON."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import peak_resident_mb
from benchmarks.speech import DESCRIPTION, TEXT, benchmark_voice
from models.architecture import read_architecture
from models.upstream import import_upstream


def _arguments(directory: str, frames: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {"text": TEXT, "language": "english", "max_new_tokens": frames + 1}
    voice = benchmark_voice(read_architecture(Path(directory)))
    if voice is None:
        return {**arguments, "instruct": DESCRIPTION}
    item = import_upstream("qwen_tts.inference.qwen3_tts_model").VoiceClonePromptItem(
        ref_code=torch.from_numpy(voice.reference_codes),
        ref_spk_embedding=torch.from_numpy(voice.speaker_embedding),
        x_vector_only_mode=False,
        icl_mode=True,
        ref_text=voice.reference_text,
    )
    return {**arguments, "voice_clone_prompt": [item]}


def measure(directory: str, precision: str, frames: int, repetitions: int) -> dict[str, Any]:
    """Load, warm up, speak a few times; the median real-time factor."""
    started = time.perf_counter()
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    model = import_upstream().Qwen3TTSModel.from_pretrained(directory, dtype=dtype)
    load_s = time.perf_counter() - started
    base = model.model.tts_model_type == "base"
    speak = model.generate_voice_clone if base else model.generate_voice_design
    speak(**_arguments(directory, 3))
    factors: list[float] = []
    for _ in range(repetitions):
        started = time.perf_counter()
        waves, rate = speak(**_arguments(directory, frames))
        factors.append((time.perf_counter() - started) / (len(waves[0]) / rate))
    median = sorted(factors)[len(factors) // 2]
    return {
        "name": f"qwen-tts {precision}",
        "rtf": round(median, 3),
        "load_s": round(load_s, 2),
        "peak_rss_mb": round(peak_resident_mb()),
    }


def measure_apart(directory: Path, precision: str, frames: int) -> dict[str, Any]:
    """The same in a process of its own, so that neither side has the other's memory."""
    command = [sys.executable, "-m", "benchmarks.upstream_peer", str(directory)]
    command += ["--precision", precision, "--frames", str(frames)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--repetitions", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(json.dumps(measure(arguments.directory, arguments.precision, arguments.frames, arguments.repetitions)))


if __name__ == "__main__":
    main()
