"""What a model's parts reach: prefill, a talker step against memory, the codec decoder alone.

`python -m benchmarks.parts --model 0.6b --precision nf4` prints the machine, a table, and last one line of JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.bound import talker_bytes
from benchmarks.machine import describe_machine
from benchmarks.weights import benchmark_checkpoint
from models.architecture import PRECISIONS, Precision
from models.checkpoint import Checkpoint, open_checkpoint
from models.codec import Codec
from models.engine import EngineOptions
from models.language import Talker
from models.loading import load_codec, load_language_model

PREFILL_POSITIONS = 300
POSITION = 100  # of the talker step that is timed
CODEC_CALLS = ((1, 1), (1, 12), (4, 1), (8, 1))  # streams and frames of a call: an engine's chunks grow to 12 frames


def _median_seconds(act: Callable[[], object], repetitions: int) -> float:
    act()
    times: list[float] = []
    for _ in range(repetitions):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _prefill(talker: Talker, x: torch.Tensor, rows: int) -> None:
    """A prompt as the engine takes it, piece by piece."""
    for start in range(0, len(x), rows):
        piece = x[start : start + rows]
        talker.forward(piece, [0] * len(piece), list(range(start, start + len(piece))))


def _codec_milliseconds(codec: Codec, streams: int, frames: int, groups: int) -> float:
    """Of one frame of one stream."""
    slots: Sequence[int] = range(streams)
    for slot in slots:
        codec.clear(slot)
    codes = torch.zeros(streams, frames, groups, dtype=torch.int64)
    return _median_seconds(lambda: codec.decode(slots, codes), 10) * 1e3 / (streams * frames)


def _language_model(checkpoint: Checkpoint, precision: Precision, options: EngineOptions) -> tuple[float, float]:
    """Seconds of a prefill and of a talker step of one row."""
    talker = load_language_model(checkpoint, precision, options).talker
    x = torch.randn(PREFILL_POSITIONS, checkpoint.architecture.talker.hidden)
    prefill = _median_seconds(lambda: _prefill(talker, x, options.prefill_rows), 3)
    return prefill, _median_seconds(lambda: talker.forward(x[:1], [0], [POSITION]), 20)


def measure(model: str, precision: Precision) -> dict[str, Any]:
    """One record."""
    checkpoint = open_checkpoint(benchmark_checkpoint(model))
    architecture, options = checkpoint.architecture, EngineOptions(max_positions=512)
    with torch.inference_mode():
        codec = load_codec(checkpoint, precision, options).codec
        calls = {call: _codec_milliseconds(codec, *call, architecture.code_groups) for call in CODEC_CALLS}
        prefill, step = _language_model(checkpoint, precision, options)
    machine = describe_machine()
    read = talker_bytes(architecture, precision) / step
    return {
        "model": model,
        "precision": precision,
        "machine": str(machine),
        "prefill_s": round(prefill, 3),
        "talker_ms": round(step * 1e3, 2),
        "talker_gb_s": round(read / 1e9, 1),
        "bandwidth_share": round(read / machine.bandwidth, 2),
        "codec_ms": [round(milliseconds, 1) for milliseconds in calls.values()],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="0.6b", help="0.6b, 1.7b or a checkpoint directory")
    parser.add_argument("--precision", default="nf4", choices=PRECISIONS)
    arguments = parser.parse_args()
    record = measure(arguments.model, arguments.precision)
    for name, value in record.items():
        print(f"  {name:<16} {value}")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
