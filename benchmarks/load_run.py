"""A load: client processes that send their plans to a server, and what came of it, summed up."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.load_client import Outcome
from benchmarks.load_plan import Ask, Pattern

START_S = 2.0  # what a client process takes to import what it needs
AIR_S = 30.0  # beyond the last request's limit, after which a client process itself counts as hung
PERCENTILES = (50, 90, 99)


def run_load(url: str, plans: Mapping[Pattern, Sequence[Ask]], limit_s: float) -> list[Outcome]:
    """Send every plan from a process of its own, all starting at one moment; each request may take `limit_s`.

    Raises subprocess.TimeoutExpired when a client process does not end.
    """
    start = time.monotonic() + START_S  # the same clock in all processes
    busy = [list(asks) for asks in plans.values() if asks]
    with ThreadPoolExecutor(max(1, len(busy))) as threads:
        clients = [threads.submit(_client, url, asks, start, limit_s) for asks in busy]
        return [outcome for client in clients for outcome in client.result()]


def _client(url: str, asks: Sequence[Ask], start: float, limit_s: float) -> list[Outcome]:
    plan = {"url": url, "start": start, "limit_s": limit_s, "asks": [asdict(ask) for ask in asks]}
    bound = asks[-1].at + limit_s + START_S + AIR_S
    command = [sys.executable, "-m", "benchmarks.load_client"]
    said = subprocess.run(
        command, input=json.dumps(plan), stdout=subprocess.PIPE, text=True, timeout=bound, check=True
    ).stdout
    return [Outcome(**outcome) for outcome in json.loads(said)]


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of a run; times in seconds, by percentile."""
    answered = [outcome for outcome in outcomes if outcome.kind == "ok"]
    patient = [outcome for outcome in answered if outcome.pattern != "slow"]
    wall = max(outcome.at + outcome.seconds for outcome in outcomes) - min(outcome.at for outcome in outcomes)
    refused = [outcome.seconds for outcome in outcomes if outcome.kind.startswith("429")]
    return {
        "requests": len(outcomes),
        "kinds": dict(sorted(Counter(outcome.kind for outcome in outcomes).items())),
        "latency_s": _percentiles([outcome.seconds for outcome in patient]),
        "first_audio_s": _percentiles([o.first_audio_s for o in outcomes if o.first_audio_s is not None]),
        "refused_after_s": _percentiles(refused),
        "audio_s": round(sum(outcome.audio_s for outcome in outcomes), 1),
        "audio_s_per_s": round(sum(outcome.audio_s for outcome in answered) / wall, 2),
        "wall_s": round(wall, 1),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    values = np.percentile(seconds, PERCENTILES)
    return {f"p{place}": round(float(value), 3) for place, value in zip(PERCENTILES, values, strict=True)}
