"""The published package on the same checkpoint and text, in a process of its own: prints one line of JSON."""

import argparse
import json
import time
from typing import Any

import torch

from benchmarks.machine import peak_resident_mb
from benchmarks.speech import DESCRIPTION, REFERENCE_FRAMES, REFERENCE_TEXT, TEXT
from models.upstream import import_upstream


def _arguments(model: Any, frames: int) -> dict[str, Any]:
    arguments = {"text": TEXT, "language": "english", "max_new_tokens": frames + 1}
    if model.model.tts_model_type != "base":
        return {**arguments, "instruct": DESCRIPTION}
    config = model.model.config.talker_config
    item = import_upstream("qwen_tts.inference.qwen3_tts_model").VoiceClonePromptItem(
        ref_code=torch.randint(0, 2048, (REFERENCE_FRAMES, config.num_code_groups)),
        ref_spk_embedding=torch.randn(config.hidden_size),
        x_vector_only_mode=False,
        icl_mode=True,
        ref_text=REFERENCE_TEXT,
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
    speak(**_arguments(model, 3))
    factors: list[float] = []
    for _ in range(repetitions):
        started = time.perf_counter()
        waves, rate = speak(**_arguments(model, frames))
        factors.append((time.perf_counter() - started) / (len(waves[0]) / rate))
    median = sorted(factors)[len(factors) // 2]
    return {
        "name": f"qwen-tts {precision}",
        "rtf": round(median, 3),
        "load_s": round(load_s, 2),
        "peak_rss_mb": round(peak_resident_mb()),
    }


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
