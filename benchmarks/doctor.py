"""Tell what this machine is, what each model would cost on it, and which configuration fits.

Nothing is downloaded or loaded. Memory is what the server's own preflight computes; the real-time factor is the least
that reading the weights allows at the bandwidth measured now, codec and attention not counted.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
import yaml

from benchmarks.bound import bytes_per_frame
from benchmarks.machine import Machine, describe_machine
from deployments.config import MIB
from deployments.machine import Node, read_node
from models import Kind
from models.architecture import Precision, Setting, estimate_memory
from models.catalog import SHAPES
from models.native import library

FRAME_S = 0.08
RAY_BYTES = 700 * MIB  # Ray, its proxy and the ingress
SYSTEM_SHARE = 0.05  # of the memory, left to the system
COMFORTABLE = 0.7  # a bound above this leaves no room for the codec and for company
POSITIONS = 1024  # 30 s of reference and 40 s of speech; longer texts are spoken in passages
SLOTS = (4, 2, 1)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8", "nf4")
PAIRS: tuple[tuple[Precision, Precision], ...] = (
    ("bf16", "bf16"), ("bf16", "int8"), ("int8", "int8"), ("int8", "nf4"), ("nf4", "nf4"),
)  # fmt: skip
MODELS: dict[str, tuple[str, Kind]] = {
    "Qwen3-TTS-12Hz-0.6B-Base": ("0.6b", "base"),
    "Qwen3-TTS-12Hz-1.7B-Base": ("1.7b", "base"),
    "Qwen3-TTS-12Hz-1.7B-VoiceDesign": ("1.7b", "voice_design"),
}  # CustomVoice costs what the Base model of its size costs, without encoding
CLONE, DESIGN = "Qwen3-TTS-12Hz-0.6B-Base", "Qwen3-TTS-12Hz-1.7B-VoiceDesign"


@dataclass(frozen=True, slots=True)
class Choice:
    """A model as it might be configured."""

    checkpoint: str
    precision: Precision
    slots: int

    @property
    def memory(self) -> int:
        """Bytes that its replica takes at most."""
        size, kind = MODELS[self.checkpoint]
        return estimate_memory(SHAPES[size], kind, Setting(self.precision, self.slots, POSITIONS)).total

    def bound(self, bandwidth: float) -> float:
        """The least real-time factor of one stream at so many bytes a second."""
        shape = SHAPES[MODELS[self.checkpoint][0]]
        return bytes_per_frame(shape, self.precision) / bandwidth / FRAME_S

    def settings(self, stays: bool) -> dict[str, Any]:
        """As serve_config.yaml has it; one that does not stay comes when it is asked for."""
        name = "clone" if self.checkpoint == CLONE else "design"
        chosen: dict[str, Any] = {
            "id": f"{name}-{self.precision}",
            "checkpoint": self.checkpoint,
            "precision": self.precision,
            "memory_budget_mb": ceil(self.memory / MIB / 10) * 10,
            "slots": self.slots,
            "max_positions": POSITIONS,
        }
        return chosen if stays else {**chosen, "min_replicas": 0}


@dataclass(frozen=True, slots=True)
class Advice:
    """The configuration that fits, and why it is this one."""

    why: str
    choices: tuple[Choice, ...]
    stay: bool = True  # all loaded at once; otherwise one gives way to the other

    @property
    def snippet(self) -> str:
        return yaml.safe_dump({"models": [choice.settings(self.stay) for choice in self.choices]}, sort_keys=False)


def advise(memory: int, bandwidth: float) -> Advice:
    """Cloning and designing, as exact as the machine's memory (bytes) and bandwidth (bytes a second) allow."""
    room = int(memory * (1 - SYSTEM_SHARE)) - RAY_BYTES
    fitting = [pair for pair in _pairs() if sum(choice.memory for choice in pair) <= room]
    for pair in fitting:
        if all(choice.bound(bandwidth) <= COMFORTABLE for choice in pair):
            return Advice("both models fit at once, and memory is fast enough for real time", pair)
    if fitting:
        quickest = min(fitting, key=lambda pair: sum(choice.bound(bandwidth) for choice in pair))
        return Advice("both models fit at once; real time is doubtful", quickest)
    for slots in SLOTS:
        pair = (Choice(CLONE, "nf4", slots), Choice(DESIGN, "nf4", slots))
        if max(choice.memory for choice in pair) <= room:
            return Advice("one model fits at a time: each comes when it is asked for", pair, stay=False)
    return Advice("no published model fits this machine beside Ray", ())


def _pairs() -> Iterator[tuple[Choice, Choice]]:
    """From the most exact to the smallest, of equal precision the one with most slots first."""
    for clone, design in PAIRS:
        for slots in SLOTS:
            yield Choice(CLONE, clone, slots), Choice(DESIGN, design, slots)


def report(machine: Machine, node: Node, kernels: str) -> str:
    """What the command prints."""
    advice = advise(node.memory_bytes, machine.bandwidth)
    lines = [
        f"processor     {machine.processor}",
        f"instructions  {' '.join(machine.flags) or 'none of interest'}; kernels: {kernels}",
        f"cores         {node.cores:g} granted, {machine.cores} visible, {node.threads} threads",
        f"memory        {node.memory_bytes / MIB:.0f} MiB granted, {node.memory_available_bytes / MIB:.0f} available",
        f"bandwidth     {machine.bandwidth / 1e9:.1f} GB/s read by {machine.threads} threads, just now{_caution(node)}",
        "",
        "Memory at most, in MiB with 1 slot and with 4, and the least real-time factor of one stream:",
        "",
        f"{'':34}{'precision':>10}{'1 slot':>9}{'4 slots':>9}{'RTF at best':>13}",
    ]
    for checkpoint in MODELS:
        for precision in PRECISIONS:
            one, four = (Choice(checkpoint, precision, slots).memory / MIB for slots in (1, 4))
            bound = Choice(checkpoint, precision, 1).bound(machine.bandwidth)
            lines.append(f"{checkpoint:34}{precision:>10}{one:9.0f}{four:9.0f}{bound:13.2f}")
    lines += ["", f"Recommended ({advice.why}); under `args` in serve_config.yaml:", "", advice.snippet]
    return "\n".join(lines)


def _caution(node: Node) -> str:
    """A busy machine measures too little."""
    load = os.getloadavg()[0]
    return f"; the machine is busy (load {load:.1f}): measure again when it is not" if load > node.cores / 2 else ""


def kernels_here() -> str:
    """What would compute: the best native kernels, or plain torch."""
    if (reason := library.why_unavailable()) is not None:
        return f"plain torch ({reason}; is g++ installed?)"
    return library.instruction_sets()[0]


def examine() -> str:
    """Measure this machine and report on it."""
    machine = read_node()
    torch.set_num_threads(machine.threads)
    return report(describe_machine(), machine, kernels_here())
