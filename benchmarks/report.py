"""Measure the whole table on this machine and write it down: docs/PERFORMANCE.md is one."""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cold_start import seconds_to_first_sound
from benchmarks.machine import Machine, describe_machine
from benchmarks.parts import CODEC_CALLS, PREFILL_POSITIONS
from benchmarks.quality import HEADS as QUALITY_HEADS
from benchmarks.quality import cells, measure, read_sentences
from benchmarks.upstream_peer import measure_apart
from benchmarks.weights import benchmark_checkpoint
from models.architecture import PRECISIONS

ROWS = (
    ("0.6b", "nf4"),
    ("0.6b", "int8"),
    ("0.6b", "bf16"),
    ("0.6b", "fp32"),
    ("1.7b", "nf4"),
    ("1.7b", "int8"),
    ("1.7b", "bf16"),
)
AVX2_ROWS = (("0.6b", "nf4"), ("0.6b", "bf16"), ("1.7b", "nf4"))
PEERS = (("0.6b", "fp32"), ("0.6b", "bf16"), ("1.7b", "bf16"))
STREAMS = (1, 4, 8)
PART_HEADS = ("", "prefill s", "talker ms", "GB/s", "of bandwidth", *(f"codec {s} x {f}" for s, f in CODEC_CALLS))
AVX2_ENVIRONMENT = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # torch held to it as well

Record = dict[str, Any]


def _engine(model: str, precision: str, streams: int, frames: int, *options: str, avx2: bool = False) -> Record:
    what = ("--json", "--model", model, "--precision", precision)
    return _measured(
        "benchmarks.engine", *what, "--streams", str(streams), "--frames", str(frames), *options, avx2=avx2
    )


def _measured(*command: str, avx2: bool = False) -> Record:
    """What a benchmark prints last, run in a process of its own."""
    command = (sys.executable, "-m", *command)
    environment = {**os.environ, **(AVX2_ENVIRONMENT if avx2 else {})}
    print(" ".join(command[2:]), flush=True)
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _own_rows(frames: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for model, precision in ROWS:
        by_streams = {streams: _engine(model, precision, streams, frames) for streams in STREAMS}
        one = by_streams[1]
        cold = seconds_to_first_sound(benchmark_checkpoint(model), precision)
        bound = one["bound_ms_per_frame"]
        aggregates = [f"{by_streams[streams]['aggregate_rtf']:.2f}" for streams in STREAMS]
        times = (one["ms_per_frame"], bound, one["ttfa_ms"], f"{cold:.1f}")
        rows.append([f"{model} {precision}", *aggregates, *times, one["peak_rss_mb"]])
    return rows


def _part_rows() -> list[list[object]]:
    rows: list[list[object]] = []
    for model, precision in ROWS:
        parts = _measured("benchmarks.parts", "--model", model, "--precision", precision)
        reading = (parts["talker_ms"], parts["talker_gb_s"], f"{parts['bandwidth_share']:.0%}")
        rows.append([f"{model} {precision}", parts["prefill_s"], *reading, *parts["codec_ms"]])
    return rows


def _quality() -> str:
    sentences = read_sentences()
    rows = [cells(measure("embedded:base", precision, sentences)) for precision in PRECISIONS]
    return f"""## What a precision costs in quality

The embedded voice on {len(sentences)} sentences that it was not trained on. [QUALITY.md](QUALITY.md) says what the
columns mean.

{_table(QUALITY_HEADS, rows)}"""


def _document(machine: Machine, frames: int) -> str:
    own = _own_rows(frames)
    peers = [measure_apart(benchmark_checkpoint(model), precision, min(frames, 25)) for model, precision in PEERS]
    labels = [f"{model} {precision}" for model, precision in PEERS]
    avx2 = [_engine(model, precision, 1, frames, "--instructions", "avx2", avx2=True) for model, precision in AVX2_ROWS]
    own_heads = ["", "1 stream", "4 streams", "8 streams", "ms a frame", "bound", "TTFA ms", "cold start s", "peak MB"]
    peer_rows = [
        [label, peer["rtf"], peer["load_s"], peer["peak_rss_mb"]] for label, peer in zip(labels, peers, strict=True)
    ]
    held = " ".join(f"`{name}={value}`" for name, value in AVX2_ENVIRONMENT.items())
    avx2_rows = [[f"{r['model']} {r['precision']}", r["rtf"], r["ms_per_frame"], r["peak_rss_mb"]] for r in avx2]
    return f"""# Performance

Written by `qwen3-tts bench` on {datetime.date.today()}. Real-time factors include the codec; **lower is
better**, 1 is real time. Several streams: wall time over all audio made. Full-size random weights (cost does not
depend on values), {frames} frames a stream, medians of three runs.

Machine: {machine}.

The bound is what reading the weights of one frame takes at the bandwidth measured in the same run, for one stream and
without the codec. TTFA is inside the engine, for a cached voice with a reference of 3 s (0.6B) or a description (1.7B).
A cold start is from process start to first sound with packed weights in the page cache.

## This engine

{_table(own_heads, own)}

## Its parts

Prefill of {PREFILL_POSITIONS} positions. A talker step of one row with everything between its products: what it reads a
second, and which share that is of the bandwidth measured a moment before (above 100 %: the neighbours on a shared
machine have left meanwhile). The codec decoder alone, milliseconds a frame of one stream: one stream by one and by
twelve frames a call, four and eight streams by one frame.

{_table(PART_HEADS, _part_rows())}

## This engine, held to AVX2

Kernels forced to `avx2`, torch by {held}; one stream.

{_table(["", "RTF", "ms a frame", "peak MB"], avx2_rows)}

## qwen-tts 0.1.1, the same text on the same weights

{_table(["", "RTF", "load s", "peak MB"], peer_rows)}

{_quality()}
"""


def write(target: Path, frames: int) -> None:
    """Measure, write, say where."""
    for model in {model for model, _ in ROWS}:
        benchmark_checkpoint(model)
    target.write_text(_document(describe_machine(), frames), encoding="utf-8")
    print(f"wrote {target}")
