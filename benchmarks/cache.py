"""What the cache of packed and embedded weights holds: qwen3-tts doctor --cache."""

import time

from deployments.config import MIB
from models.checkpoint import Entry, embedded_entries, packed_entries, trim
from models.storage import cache_directory


def listing() -> str:
    """A line for everything, what was used longest ago first."""
    entries = sorted((*packed_entries(), *embedded_entries()), key=lambda entry: entry.used_at)
    total = sum(entry.bytes for entry in entries) / MIB
    lines = [f"{cache_directory()}: {len(entries)} entries, {total:.0f} MiB", ""]
    lines += [f"{'MiB':>7}  {'last used':16}  {'':7}  name"] if entries else []
    return "\n".join([*lines, *(_line(entry) for entry in entries)])


def _line(entry: Entry) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at))
    state = "in use" if entry.in_use else "stale" if entry.stale else ""
    return f"{entry.bytes / MIB:7.0f}  {used}  {state:7}  {entry.path.relative_to(cache_directory())}"


def prune(limit_mb: int) -> str:
    """Remove what is stale, and what was used longest ago beyond so many MiB of packed weights."""
    gone = trim(limit_mb * MIB)
    return f"removed {len(gone)} entries, {sum(entry.bytes for entry in gone) / MIB:.0f} MiB"
